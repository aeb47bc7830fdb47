"""Tables (DataFrames) as rows of a factorization machine.

A column of text or categories is a field: each label is a feature. A column of numbers is a feature
of its own. A column of lists is a bag: each label in a list is a feature, as often as it occurs. A
label that `fit` has not seen, or a missing one, carries no information; a missing number is
refused. Labels are those of the first table, of a pandas column of categories all of these,
whether they occur in it or not.

A table of fields alone becomes a `Design`, so that Gibbs sampling predicts the unseen from the
prior that it has learned; any other becomes a sparse matrix, in which the unseen are zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from fm.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from fm.design import UNKNOWN, Block, Design

FIELD, NUMBER, BAG = "field", "number", "bag"
OBJECTS = {
    (list, tuple, set, frozenset, np.ndarray): BAG,
    (str,): FIELD,
    (int, float, np.number, np.bool_): NUMBER,
}
"""Types of a column's first object -> the column's kind."""


@dataclass(frozen=True)
class Column:
    """A column: its name, its kind (`FIELD`, `NUMBER` or `BAG`) and the labels of a field or bag.

    labels : (n_labels,) distinct numbers or strings, ascending.
    """

    name: str
    kind: str
    labels: AnyArray

    @property
    def n_features(self) -> int:
        """Return the number of features that the column becomes."""
        return 1 if self.kind == NUMBER else len(self.labels)


def is_table(X: Any) -> bool:
    """Return whether X is a DataFrame (of pandas or Polars) with other columns than numbers."""
    if not (hasattr(X, "columns") and hasattr(X, "dtypes") and hasattr(X, "shape")):
        return False
    return any(_kind(X[name]) != NUMBER for name in X.columns)


def learn_columns(table: Any) -> list[Column]:
    """Return kind and labels of each column of a table."""
    names = [str(name) for name in table.columns]
    if len(set(names)) < len(names):
        raise ValueError(f"column names must differ, got {str(names)[:80]}")
    columns = []
    for name, given in zip(names, table.columns, strict=True):
        values, kind = table[given], _kind(table[given])
        labels: AnyArray = np.empty(0)
        if kind != NUMBER:
            declared = getattr(getattr(values, "cat", None), "categories", None)
            every = _present(values) if declared is None else np.asarray(declared)
            labels = unique_labels(list(chain.from_iterable(every)) if kind == BAG else every)
        columns.append(Column(name, kind, labels))
    return columns


def rows_of_table(table: Any, columns: Sequence[Column]) -> Design | sparse.csr_array:
    """Return the rows of a table that has these columns, in any order and others beside them."""
    given = {str(name): name for name in table.columns}
    for column in columns:
        if column.name not in given:
            raise ValueError(
                f"the table has no column {column.name!r}, which fit had; it has "
                f"{str(list(given))[:80]}"
            )
    values = [table[given[column.name]] for column in columns]
    if all(column.kind == FIELD for column in columns):
        return Design(
            tuple(
                Block(c.name, _field(c, v), c.n_features, labels=c.labels)
                for c, v in zip(columns, values, strict=True)
            )
        )
    parts = [_matrix(column, v) for column, v in zip(columns, values, strict=True)]
    return sparse.csr_array(sparse.hstack(parts, format="csr"))


def unique_labels(values: Sequence[object] | AnyArray) -> AnyArray:
    """Return the distinct labels, ascending: numbers if all are, else strings."""
    labels = np.asarray(values)
    return np.unique(labels if labels.dtype.kind in "biuf" else np.array(list(map(str, values))))


def level_numbers(labels: AnyArray, values: ArrayLike) -> IndexArray:
    """Return the number of the label that each value equals, or `UNKNOWN`."""
    values = np.asarray(values)
    if not len(labels):
        return np.full(len(values), UNKNOWN)
    if labels.dtype.kind in "OU":
        labels, values = labels.astype(np.str_), values.astype(np.str_)
    else:
        values = as_numbers_or_nan(values)
    order = np.argsort(labels, kind="stable")
    at = np.minimum(np.searchsorted(labels, values, sorter=order), len(labels) - 1)
    return np.where(labels[order[at]] == values, order[at], UNKNOWN)


def bag_matrix(labels: AnyArray, bags: Sequence[Sequence[object]]) -> sparse.csr_array:
    """Return (n_rows, n_labels): how often each bag has each label."""
    rows = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    every: list[object] = list(chain.from_iterable(bags))
    levels = level_numbers(labels, np.array(every, dtype=object))
    known = levels != UNKNOWN
    entries = np.ones(known.sum()), (rows[known], levels[known])
    return sparse.csr_array(entries, shape=(len(bags), len(labels)))


def _kind(values: Any) -> str:
    """Return what a column is; TypeError where it is nothing of the kind."""
    dtype = values.dtype
    if hasattr(dtype, "categories"):
        return FIELD
    data = values.to_numpy()
    if data.dtype.kind in "biuf":
        return NUMBER
    if data.dtype.kind in "OUT":
        first = next(iter(_present(values)), "")
        for types, kind in OBJECTS.items():
            if isinstance(first, types):
                return kind
        dtype = type(first).__name__
    raise TypeError(
        f"column {values.name!r} has values of type {dtype}: make it numbers, text, categories, or "
        "lists of labels"
    )


def _missing(values: Any) -> BoolArray:
    return np.asarray(values.isna() if hasattr(values, "isna") else values.is_null(), dtype=bool)


def _present(values: Any) -> AnyArray:
    """Return the values that are not missing."""
    return np.asarray(values.to_numpy())[~_missing(values)]


def _field(column: Column, values: Any) -> IndexArray:
    """Return the level of each row."""
    missing = _missing(values)
    levels = np.full(len(missing), UNKNOWN)
    levels[~missing] = level_numbers(column.labels, _present(values))
    return levels


def _matrix(column: Column, values: Any) -> sparse.csr_array:
    """Return the features (n_rows, n_features) of a column."""
    if column.kind == NUMBER:
        return sparse.csr_array(_numbers(column.name, values)[:, None])
    if column.kind == FIELD:
        return Block(column.name, _field(column, values), column.n_features).to_csr()
    bags = [[] if m else list(v) for v, m in zip(values, _missing(values), strict=True)]
    return bag_matrix(column.labels, bags)


def _numbers(name: str, values: Any) -> FloatArray:
    missing = _missing(values)
    if missing.any():
        raise ValueError(
            f"column {name!r} has no number in row {int(np.argmax(missing))}: fill it, or make the "
            "column one of categories"
        )
    try:
        return np.asarray(values.to_numpy()).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {name!r} had numbers in fit: {str(error)[:80]}") from None


def as_numbers_or_nan(values: AnyArray) -> AnyArray:
    """Return numbers, also those that are text, as they are, and nan for what is none."""
    if values.dtype.kind not in "OU":
        return values
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        with suppress(TypeError, ValueError):
            numbers[row] = float(value)
    return numbers
