"""Malformed files by the thousand.

The loader of ratings against a slow, independent reading of the same bytes: a file may be refused;
what is read must be what Python's own `csv`, `int` and `float` read. `fm.load` on damaged models.
Everything is drawn from one generator, so that a finding can be repeated.
"""

from __future__ import annotations

import csv
import io
import math
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from bench.data.ratings import ratings_file
from bench.errors import UserError
from fm import FMRegressor, load, save

SEPARATORS = (",", "\t", ";", "|", "::")
IDS = (
    ("1", "2", "30", "-4", "9223372036854775807"),
    ("01", "1", "a b", "é", "tt1", "x,y", 'say "hi"', "1.0", "NA", "null", "18446744073709551615"),
)
RATINGS = ("1", "5", "3.5", "0.1", "-2", "1e3", "4.999999999999999", "1e-320", ".5", "5.")
TIMES = (
    ("0", "881250949", "-5", "4503599627370495"),
    ("1997-12-04", "1600-01-01", "2500-06-30 12:00:00", "1970-01-02T00:00:00+01:00"),
)
BITS = (*"\",\n\r\t \0\\-é\ufeff'", '""', "nan", "inf", "1e999")
"""What a mutation puts in."""
END = "the end of the text"

Row = tuple[object, ...]


class Finding(NamedTuple):
    """What is wrong ("traceback", "misread", "refused though valid"), the bytes, what was seen."""

    kind: str
    content: bytes
    detail: str


def fuzz(n_files: int, seed: int = 0) -> Iterator[Finding]:
    """Yield what is wrong with the reading of `n_files` files, half of them damaged."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ratings.csv")
        for _ in range(n_files):
            content, separator = _valid(rng)
            damaged = bool(rng.random() < 0.5)
            if damaged:
                content = _damaged(rng, content)
            path.write_bytes(content)
            finding = _judged(path, content, separator, damaged)
            if finding is not None:
                yield finding


def fuzz_models(n_files: int, seed: int = 0) -> Iterator[Finding]:
    """Yield what is wrong with the loading of `n_files` damaged files of a fitted model."""
    rng = np.random.default_rng(seed)
    X = sparse.csr_array(rng.normal(size=(20, 4)) * (rng.random((20, 4)) < 0.5))
    model = FMRegressor(k=2, n_iter=3, random_state=0).fit(X, rng.normal(size=20))
    expected = model.predict(X)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        save(model, path)
        whole = path.read_bytes()
        for _ in range(n_files):
            content = _damaged(rng, whole)
            path.write_bytes(content)
            try:
                predicted = load(path).predict(X)
            except ValueError:
                continue
            except Exception as error:
                yield Finding("traceback", content, f"{type(error).__name__}: {error}")
                continue
            if not np.array_equal(predicted, expected):
                yield Finding("misread", content, f"{predicted} instead of {expected}")


def _judged(path: Path, content: bytes, separator: str, damaged: bool) -> Finding | None:
    try:
        expected: list[Row] | str = read_slowly(content, separator)
    except ValueError as error:
        expected = str(error)
    try:
        data = ratings_file(path, separator=separator, header=False, duplicates="first")
    except UserError as error:
        if not damaged and not isinstance(expected, str):
            return Finding("refused though valid", content, str(error))
        return None
    except Exception as error:
        return Finding("traceback", content, f"{type(error).__name__}: {error}")
    rows = list(data.rows.itertuples(index=False, name=None))
    if isinstance(expected, str) or rows != expected:
        return Finding("misread", content, f"{rows} instead of {expected}")
    return None


def read_slowly(content: bytes, separator: str) -> list[Row]:
    """Return the first rating of each user and item; ValueError for what is none."""
    text = content.decode("utf-8-sig")
    if len(separator) == 1:
        *cells, last = csv.reader(io.StringIO(f"{text}\n{END}", newline=""), delimiter=separator)
        if last != [END]:
            raise ValueError("the end is within quotes")
        cells = [line for line in cells if line]
    else:
        plain = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        cells = [line.split(separator) for line in plain if line]
    if not cells or len({len(line) for line in cells}) > 1 or len(cells[0]) < 3:
        raise ValueError("lines of different lengths, or none")
    columns = [list(column) for column in zip(*cells, strict=True)]
    if "" in columns[0] or "" in columns[1]:
        raise ValueError("an id is missing")
    parsed = [_ids(columns[0]), _ids(columns[1]), [_finite(cell) for cell in columns[2]]]
    if len(columns) > 3:
        parsed.append(_times(columns[3]))
    first: dict[tuple, Row] = {}
    for row in zip(*parsed, strict=True):
        first.setdefault(row[:2], row)
    return list(first.values())


def _ids(cells: Sequence[str]) -> list[object]:
    try:
        whole = [int(cell) for cell in cells]
    except ValueError:
        return list(cells)
    usual = [str(n) for n in whole] == list(cells)
    return list(whole) if usual and all(-(2**63) <= n < 2**63 for n in whole) else list(cells)


def _finite(cell: str) -> float:
    if not math.isfinite(float(cell)):
        raise ValueError(f"{cell} is not finite")
    return float(cell)


def _times(cells: Sequence[str]) -> list[int]:
    try:
        float(cells[0])
    except ValueError:
        moments = [datetime.fromisoformat(cell.strip()) for cell in cells]
        zoned = [m if m.tzinfo else m.replace(tzinfo=UTC) for m in moments]
        return [math.floor((m - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) for m in zoned]
    return [math.floor(_finite(cell)) for cell in cells]


def _valid(rng: np.random.Generator) -> tuple[bytes, str]:
    """Return a file of 1 to 6 ratings as some program may write it, and its separator."""
    separator = str(rng.choice(SEPARATORS))
    n = int(rng.integers(1, 7))
    kinds = [IDS[rng.integers(2)], IDS[rng.integers(2)], RATINGS, TIMES[rng.integers(2)]]
    columns = [rng.choice(kind, n).tolist() for kind in kinds[: rng.integers(3, 5)]]
    out = io.StringIO(newline="")
    end = str(rng.choice(["\n", "\r\n"]))
    if len(separator) == 1:
        dialect = csv.unix_dialect if rng.random() < 0.2 else csv.excel  # quotes all, or few
        writer = csv.writer(out, dialect, delimiter=separator, lineterminator=end)
        writer.writerows(zip(*columns, strict=True))
    else:
        out.writelines(separator.join(row) + end for row in zip(*columns, strict=True))
    text = out.getvalue()
    return (text if rng.random() < 0.8 else text.rstrip("\r\n")).encode(), separator


def _damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """Content with one to three bytes or words put in, taken out, or with its end cut off."""
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(content) + 1))
        put_in = (str(rng.choice(BITS)).encode(), b"", b"", bytes([int(rng.integers(256))]))
        taken_out = (0, int(rng.integers(1, 4)), len(content), 0)
        kind = rng.integers(4)
        content = content[:at] + put_in[kind] + content[at + taken_out[kind] :]
    return content
