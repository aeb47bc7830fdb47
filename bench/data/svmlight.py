"""Text of libFM, libSVM and svmlight: rows of `target column:value ...`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from bench.data.dataset import TASKS, Bag, Dataset
from bench.data.delimited import split_of_parts
from bench.errors import UserError, checked, quoted
from fm.rows import conflict_free_sets
from fm.svmlight import read_svmlight
from fm.validation import check_choice

MISSING = -1
"""Level of a field of which a row has no column."""


def svmlight_file(
    path: str | Path,
    *,
    validation_path: str | Path | None = None,
    test_path: str | Path | None = None,
    task: str | None = None,
    field_names: Sequence[str] | None = None,
) -> Dataset:
    """Read rows in the text format of libFM, columns numbered from 0.

    Where all values are 1 and columns form groups of which no row has two, the groups are fields
    and the columns their levels; `Dataset.source` says how many. Groups of neighbors go before any
    others. Otherwise the columns stay as they are, in the bag "columns".

    The parameters are those of `conf/data/svmlight.yaml`.
    """
    with checked():
        if task is not None:
            check_choice("task", task, [name for name in TASKS if name != "rating"])
    if validation_path is not None and test_path is None:
        raise UserError("validation_path needs test_path: rows that the chosen is judged on")
    paths = [Path(p).expanduser() for p in (path, validation_path, test_path) if p is not None]
    parts = [_read(p) for p in paths]
    width = max(X.shape[1] for X, _ in parts)
    for X, _ in parts:
        X.resize(X.shape[0], width)
    X = sparse.csr_array(sparse.vstack([X for X, _ in parts], format="csr"))
    y, task, classes = _target(np.concatenate([y for _, y in parts]), task)
    levels = _fields(X)
    if field_names is not None and len(levels) != len(field_names):
        raise UserError(
            f"{paths[0]}: there are {len(levels)} groups of columns for the {len(field_names)} "
            f"fields {quoted(', '.join(field_names))}"
        )
    names = field_names or [f"field_{f}" for f in range(1, len(levels) + 1)]
    fields = dict(zip(names, levels, strict=True))
    splits = split_of_parts(np.cumsum([0, *(len(y) for _, y in parts)]).tolist())
    what = f"{len(fields)} fields recognized" if fields else f"{width:,} columns"
    balance = f", {y.mean():.1%} are {classes[1]}" if classes else ""
    return Dataset(
        name=paths[0].stem,
        rows=pd.DataFrame({"target": y, **fields}),
        scale=(float(y.min()), float(y.max())),
        source=f"{len(y):,} rows of {paths[0]}: {task}{balance}; {what}",
        task=task,
        target="target",
        fields=tuple(fields),
        bags={} if fields else {"columns": Bag(X, tuple(map(str, range(width))))},
        classes=classes,
        splits=splits,
        default_split=next(iter(splits), None),
    )


def _read(path: Path) -> tuple[sparse.csr_array, NDArray[np.float64]]:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        X, y = read_svmlight(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{quoted(str(error), 400)[1:-1]}") from error
    if not len(y):
        raise UserError(f"{path} is empty: there is no row in it")
    X.sum_duplicates()
    return X, y


def _target(
    y: NDArray[np.float64], task: str | None
) -> tuple[NDArray[np.float64], str, tuple[str, str] | None]:
    values = np.unique(y)
    if task == "binary" and len(values) != 2:
        raise UserError(f"a binary target has two values, there are {len(values):,}")
    if task == "regression" or len(values) != 2:
        return y, "regression", None
    return (y == values[1]).astype(np.float64), "binary", (f"{values[0]:g}", f"{values[1]:g}")


def _fields(X: sparse.csr_array) -> list[NDArray[np.int64]]:
    """Column that each row has of each group, or `MISSING`; none where there are no groups.

    Of a group no row has two columns. There are none where values differ from 1, or where it takes
    more than twice as many groups as a row has columns on average.
    """
    n_rows, n_columns = X.shape
    most = max(2, 2 * X.nnz // n_rows)
    if not X.nnz or (X.data != 1).any() or np.diff(X.indptr).max() > most:
        return []
    row = np.repeat(np.arange(n_rows), np.diff(X.indptr))
    groups = _neighbors(X, row, most)
    if groups is None:
        groups = np.empty(n_columns, dtype=np.intp)
        for number, members in enumerate(conflict_free_sets(sparse.csc_array(X))):
            groups[members] = number
    n_groups = int(groups.max()) + 1
    if n_groups > most:
        return []
    levels = np.full((n_groups, n_rows), MISSING, dtype=np.int64)
    levels[groups[X.indices], row] = X.indices
    return list(levels)


def _neighbors(X: sparse.csr_array, row: NDArray[np.intp], most: int) -> NDArray[np.intp] | None:
    """Group each column with its neighbors; None where that takes more than `most` groups."""
    same_row = row[1:] == row[:-1]
    left, right = X.indices[:-1][same_row], X.indices[1:][same_row]
    starts = [0]
    while len(left):
        starts.append(int(right.min()))
        if len(starts) > most:
            return None
        kept = left >= starts[-1]
        left, right = left[kept], right[kept]
    return np.searchsorted(starts, np.arange(X.shape[1]), side="right") - 1
