"""What tables say of the levels they describe: all that describes, or single columns by name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype
from scipy import sparse

from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.features.context import Context, Side
from fm.design import Block
from fm.validation import nearest

N_BINS = 10
"""Quantile bins of a number (age, year) that becomes 0/1 columns."""


def side(context: Context) -> Iterator[Side]:
    """Give what the tables of the fields say of each level."""
    dataset = context.dataset
    if not dataset.tables:
        raise UserError(f"{dataset.name} has no user or item table, which the feature 'side' needs")
    for name, table in dataset.tables.items():
        yield _described(context.field(name, "side"), table)


def column(context: Context, of: str, name: str) -> Iterator[Side]:
    """One column of the table that describes the field `of`.

    Of a number or a date its quantile bin, of
    anything else, text too, its value.
    """
    values = column_of(context.dataset, of, name)
    if is_datetime64_any_dtype(values):
        values = _binned(values)
    elif not (is_bool_dtype(values) or is_numeric_dtype(values)):
        values = values.astype("category")
    yield _described(context.field(of), values.to_frame())


def column_of(dataset: Dataset, of: str, name: str) -> pd.Series:
    """Return a column of the table that describes the field `of`; UserError where there is none."""
    table = dataset.tables.get(of)
    if table is None:
        raise UserError(f"{dataset.name} has no {of} table, which the feature '{of}.{name}' needs")
    if name not in table:
        raise UserError(
            f"the {of} table of {dataset.name} has no column {name!r}"
            f"{nearest(name, table.columns)}; there are {', '.join(map(str, table.columns))}"
        )
    return table[name]


def _described(block: Block, table: pd.DataFrame) -> Side:
    """0/1 columns of a table's booleans, categories and (in bins) numbers.

    A level without a value has
    none. Text and dates are left out.
    """
    numbers = table.select_dtypes("number").apply(_binned)
    described = table.select_dtypes(["bool", "category"]).join(numbers)
    columns = (
        pd.get_dummies(described, prefix_sep=":", dtype=bool)
        if len(described.columns)
        else described
    )
    row, column = np.nonzero(columns.to_numpy(bool))
    level = pd.Index(block.labels).get_indexer(table.index)
    shape = (block.n_levels, columns.shape[1])
    matrix = sparse.csr_array((np.ones(len(row)), (level[row], column)), shape=shape)
    return Side(block.name, matrix, tuple(columns.columns))


def _binned(values: pd.Series) -> pd.Series:
    """Quantile bins; of few values, each is its own."""
    if values.nunique() <= N_BINS:
        return values.astype("category")
    return pd.qcut(values, N_BINS, duplicates="drop")
