"""What others wrote: whether it is installed, and programs run on rows of a design as text.

Vowpal Wabbit: `RATING |u USER |i ITEM`. A namespace a block, named by a letter, since that is what
VW's -q and --lrq call it; in it the level's label, then the level's side features as `@NAME:VALUE`,
or nothing for a row without information. Names are percent-encoded, since blanks, colons and bars
mean something to VW, and the @ keeps side features apart from labels. VW doesn't hash labels that
are whole numbers but adds them to the namespace's hash, as in every published run on MovieLens
(https://github.com/VowpalWabbit/vowpal_wabbit/wiki/Input-format).

LIBFFM: `RATING FIELD:FEATURE:VALUE ...`; a block's levels are a field, and so are its side
features.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from string import ascii_letters, digits
from types import ModuleType
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fm.design import Block, Design

LOG_SHOWN = 4000
"""Characters of a program's output, from its end, that an error repeats."""
ROWS = 4096
"""Lines made at once; with the items that a user rated among her features a line has kilobytes."""


class Package:
    """Mixin of models that need a Python package, `package`, of the extra [peers]."""

    package: str
    title: str

    @classmethod
    def unavailable(cls) -> str | None:
        """Return why the model cannot be fitted here; None if it can."""
        try:
            importlib.import_module(cls.package)
        except ImportError as error:  # of what it needs: myFM's `pkg_resources`, of setuptools < 81
            if importlib.util.find_spec(cls.package) is None:
                return f"{cls.title} is not installed, see the extra [peers]"
            return f"{cls.title} is installed, but cannot be imported: {error}"
        return None

    @classmethod
    def module(cls) -> ModuleType:
        """Import the package; ImportError where it is not installed."""
        if reason := cls.unavailable():
            raise ImportError(reason)
        return importlib.import_module(cls.package)


class Program:
    """Mixin of models that are programs, named by path or as a shell finds them."""

    title: str

    def programs(self) -> Sequence[str]:
        raise NotImplementedError

    def unavailable(self) -> str | None:
        """Return why the model cannot be fitted here; None if it can."""
        try:
            self.located()
        except FileNotFoundError as error:
            return str(error)
        return None

    def located(self) -> list[str]:
        """Return the programs' paths; FileNotFoundError if one is not there."""
        paths = {program: shutil.which(program) for program in self.programs()}
        for program, path in paths.items():
            if path is None:
                raise FileNotFoundError(
                    f"{self.title} is not installed: there is no program {program}, give its path"
                )
        return [os.path.abspath(path) for path in paths.values() if path is not None]


def run_program(
    command: Sequence[str],
    folder: str,
    *,
    name: str,
    shown: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[str, int | None]:
    """Run a program; return what it printed and its peak memory in bytes (None without /proc).

    Raise RuntimeError with the end of what it printed if it failed; errors call it `name`, and its
    command `shown`.
    """
    log, peak, nothing = Path(folder, "log"), None, subprocess.DEVNULL
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdin=nothing, stdout=output, stderr=output
        ) as process,
    ):
        try:
            while process.poll() is None:
                peak = peak_memory(process.pid) or peak
                time.sleep(0.005)
        except BaseException:
            process.kill()
            raise
    printed = log.read_text("utf-8", errors="replace")
    if process.returncode:
        raise RuntimeError(
            f"{name} failed with exit status {process.returncode}: {shown or ' '.join(command)}\n"
            f"{printed[-LOG_SHOWN:]}"
        )
    return printed, peak


def peak_memory(pid: int) -> int | None:
    """Return the high-water mark of a running process (`ru_maxrss` begins at the parent's)."""
    try:
        mark = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return 1024 * int(mark[1]) if mark else None


def write_rows(path: Path, lines: Iterable[str]) -> None:
    """Write the lines that a program is to read."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(lines)


def read_predictions(path: Path, n_rows: int, name: str) -> NDArray[np.float64]:
    """Read the n_rows finite numbers that a program wrote, one a line; RuntimeError for others."""
    written = path.read_text().split() if path.exists() else []
    prediction = np.array(written, dtype=np.float64)
    if len(prediction) != n_rows or not np.isfinite(prediction).all():
        raise RuntimeError(f"{name} gave no finite prediction for each of {n_rows} rows")
    return prediction


def vw_lines(X: Design, y: NDArray[np.float64] | None = None) -> Iterator[str]:
    """Yield VW's lines, `ROWS` at once, with ratings where y is given.

    ValueError as `namespaces`.
    """
    texts = []
    for block, letter in zip(X, namespaces(X), strict=True):
        labels = range(block.n_levels) if block.labels is None else block.labels
        levels = [f" |{letter} {quote(str(label), safe='') or '%'}" for label in labels]
        described = block.side_feature_names or range(block.n_side_features)
        names = [f" @{quote(str(name), safe='')}:" for name in described]
        texts.append(_level_texts(block, levels, names, unknown=f" |{letter}"))
    return _lines(X, texts, y)


def ffm_lines(X: Design, y: NDArray[np.float64]) -> Iterator[str]:
    """Yield LIBFFM's lines, `ROWS` at once; a level that is not known has nothing of its block."""
    texts, field, feature = [], 0, 0
    for block in X:
        levels = [f" {field}:{feature + level}:1" for level in range(block.n_levels)]
        first = feature + block.n_levels
        names = [f" {field + 1}:{first + j}:" for j in range(block.n_side_features)]
        texts.append(_level_texts(block, levels, names, unknown=""))
        field += 1 + (block.side_features is not None)
        feature += block.n_features
    return _lines(X, texts, y)


def namespaces(X: Design) -> list[str]:
    """Return for each block the first letter of its name, or of all, that no other has before it.

    `user` is u and `item` i, and `item_age` after them t. ValueError for more blocks than letters
    and digits.
    """
    letters: list[str] = []
    for block in X:
        own = (a for a in block.name if a.isascii() and a.isalnum())
        free = (a for a in chain(own, ascii_letters, digits) if a not in letters)
        letters.append(next(free, ""))
        if not letters[-1]:
            raise ValueError(
                "VW names a block by a letter or digit of its own: there are "
                f"{len(letters) - 1} for {len(X.blocks)} blocks"
            )
    return letters


def _lines(
    X: Design, texts: Sequence[NDArray[np.object_]], y: NDArray[np.float64] | None
) -> Iterator[str]:
    for start in range(0, len(X), ROWS):
        rows = slice(start, min(start + ROWS, len(X)))
        lines = np.full(rows.stop - start, "", dtype=object) if y is None else _numbers(y[rows])
        for block, of_level in zip(X, texts, strict=True):
            lines = lines + of_level[block.levels[rows]]
        yield "".join(f"{line}\n" for line in lines.tolist())


def _numbers(y: NDArray[np.float64]) -> NDArray[np.object_]:
    values, rows = np.unique(y, return_inverse=True)
    return np.array([f"{value:.9g}" for value in values], dtype=object)[rows]


def _level_texts(
    block: Block, levels: list[str], names: list[str], unknown: str
) -> NDArray[np.object_]:
    """(n_levels + 1,) a level's part of a line; last, where -1 finds it, that of no information."""
    side = block.side_features
    if side is not None:
        features = [
            f"{names[j]}{value:.9g}" for j, value in zip(side.indices, side.data, strict=True)
        ]
        bounds = pairwise(side.indptr.tolist())
        levels = [
            text + "".join(features[i:j]) for text, (i, j) in zip(levels, bounds, strict=True)
        ]
    return np.array([*levels, unknown], dtype=object)
