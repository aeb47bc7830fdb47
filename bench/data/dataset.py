"""The one representation of data: every loader returns a `Dataset`, everything else reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype
from scipy import sparse

Rows = NDArray[np.int64]
"""Positions of rows in `Dataset.rows`."""
TASKS = ("rating", "regression", "binary")


@dataclass(frozen=True, eq=False)
class Bag:
    """Columns (n_rows, n_columns) of the levels of a bag, or of real values, and their names."""

    matrix: sparse.csr_array
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows with a target, what describes them, and tables that describe the fields' levels.

    Ratings are the case of the fields `user` and `item` and the target `rating`, which are the
    defaults.

    Parameters
    ----------
    name : the choice of `data=` that gives this data set.
    rows : a column for the target, each field, each numeric column and, where known, time and
        weight; in file order. Fields are int64 or text (`str` or `category`), all others numbers.
    scale : lowest and highest possible target; of classes (0, 1), of a regression what was
        observed.
    source : where it came from, for a person, in plain text.
    tables : field -> table that describes its levels, indexed by level. Numbers, booleans and
        categories describe; text and dates are for people. A level may be without rows, and one
        with rows without a row here.
    task : "rating", a number on a scale; "regression", any number; or "binary", 0 or 1.
    target, fields, numeric : names of columns.
    ids : the fields, numeric columns and bags that the feature `ids` stands for; by default all.
    time, weight : names of the columns of seconds since 1970 and of sample weights, or None.
    bags : name -> columns with several levels, or any values, a row.
    classes : what 0 and 1 are called in the source; binary only.
    splits : published splits, name -> (train, test) or (train, validation, test) rows, each in the
        published file's order.
    default_split : the one of `splits` that `split=default` is.
    simulated : whether the targets were drawn rather than observed.
    expected, variance : (n_rows,) true mean and variance of each target given the model it was
        drawn from, the error that no model can go below; simulated data only, never a feature.
    licence : conditions of use, or None.
    """

    name: str
    rows: pd.DataFrame
    scale: tuple[float, float]
    source: str
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    task: str = "rating"
    target: str = "rating"
    fields: tuple[str, ...] = ("user", "item")
    numeric: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    time: str | None = None
    weight: str | None = None
    bags: Mapping[str, Bag] = field(default_factory=dict)
    classes: tuple[str, str] | None = None
    splits: Mapping[str, tuple[Rows, ...]] = field(default_factory=dict)
    default_split: str | None = None
    simulated: bool = False
    expected: NDArray[np.float64] | None = None
    variance: NDArray[np.float64] | None = None
    licence: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def y(self) -> NDArray[np.float64]:
        """(n_rows,) targets."""
        return self.rows[self.target].to_numpy(np.float64)

    @cached_property
    def digest(self) -> str:
        """sha256, hexadecimal, of rows, roles, tables, bags and splits."""
        roles = [self.task, self.target, self.fields, self.numeric, self.time, self.weight]
        state = hashlib.sha256(json.dumps([*roles, self.classes, self.scale]).encode())
        _add_table(state, self.rows)
        for name, table in sorted(self.tables.items()):
            _add(state, f"table {name}")
            _add_table(state, table.reset_index())
        for name, bag in sorted(self.bags.items()):
            _add(state, f"bag {name} {bag.matrix.shape} {json.dumps(bag.labels)}")
            for part in (bag.matrix.indptr, bag.matrix.indices, bag.matrix.data):
                _add_array(state, part)
        if isinstance(self.splits, LazySplits):
            _add(state, f"splits {self.splits.key} {list(self.splits)}")
        else:
            for name, parts in sorted(self.splits.items()):
                _add(state, f"split {name}")
                for part in parts:
                    _add_array(state, part)
        return state.hexdigest()


class LazySplits(Mapping[str, tuple[Rows, ...]]):
    """Splits of the given names, each made by `make(name)` when first needed.

    `key` identifies what they are made of, beside the rows themselves: two data sets of the same
    rows and the same key have the same splits.
    """

    def __init__(
        self, names: Sequence[str], make: Callable[[str], tuple[Rows, ...]], key: str
    ) -> None:
        self.key = key
        self._names, self._make = tuple(names), cache(make)

    def __getitem__(self, name: str) -> tuple[Rows, ...]:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _add(state: hashlib._Hash, text: str) -> None:
    """Add a text with its length, so that no two sequences of texts are the same bytes."""
    content = text.encode("utf-8", "surrogatepass")
    state.update(len(content).to_bytes(8, "little") + content)


def _add_array(state: hashlib._Hash, values: NDArray) -> None:
    """Add numbers, whole ones as int64 and others as float64: storage does not matter."""
    kind = np.int64 if values.dtype.kind in "iub" else np.float64
    _add(state, f"{values.shape} {kind.__name__}")
    state.update(np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<")).data)


def _add_table(state: hashlib._Hash, table: pd.DataFrame) -> None:
    """Add each column's name, and its values as numbers or as texts in order of appearance."""
    for name, column in table.items():
        _add(state, f"column {name}")
        if is_datetime64_any_dtype(column):
            _add_array(state, column.astype("datetime64[s]").astype("int64").to_numpy())
        elif is_bool_dtype(column) or is_numeric_dtype(column):
            _add_array(state, column.to_numpy())
        else:
            codes, words = pd.factorize(column)
            _add(state, json.dumps([str(word) for word in words]))
            _add_array(state, codes)
