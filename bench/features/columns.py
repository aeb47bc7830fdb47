"""What features are made of: columns, tables that describe levels, times, who rated what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype
from scipy import sparse

from bench.data.dataset import Bag, Dataset, Rows
from bench.errors import UserError
from fm.design import Block
from fm.validation import nearest

N_BINS = 10
"""Bins of a number, between quantiles: of the training rows, or of the levels that it describes."""
SECONDS_PER_DAY = 86_400
SESSIONS = {"second": 1, "minute": 60, "half_hour": 1800}
"""Linear blocks of `sessions` and their length in seconds: a page, a run of ratings, a sitting."""
WEEKDAYS = np.array(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"])


@dataclass(frozen=True, eq=False)
class Context:
    """What a feature may use: every row's columns but the target, and counts of `train_rows`."""

    dataset: Dataset
    train_rows: Rows
    _blocks: dict[str, Block] = attribute(default_factory=dict, repr=False)

    def field(self, name: str, feature: str | None = None) -> Block:
        """Return the block of a field; UserError where there is none, which `feature` needs."""
        if name not in self.dataset.fields:
            raise UserError(
                f"{self.dataset.name} has no field {name!r}, which the feature {feature!r} needs"
            )
        if name not in self._blocks:
            table = self.dataset.tables.get(name)
            self._blocks[name] = identity(name, self.dataset.rows[name], table)
        return self._blocks[name]

    def seconds(self, feature: str) -> NDArray[np.int64]:
        """Return (n_rows,) seconds; UserError where there are none, which `feature` needs."""
        if self.dataset.time is None:
            raise UserError(
                f"{self.dataset.name} has no timestamps, which the feature {feature!r} needs"
            )
        return self.dataset.rows[self.dataset.time].to_numpy()


@dataclass(frozen=True, eq=False)
class Side:
    """Columns (n_levels, n_columns) that describe the levels of `block`, and their names."""

    block: str
    matrix: sparse.csr_array
    labels: tuple[str, ...]


def field(context: Context, name: str) -> Iterator[Block]:
    """Give a block with a level for every value in the rows or in the table that describes it."""
    yield context.field(name)


def crossed(context: Context, names: Sequence[str]) -> Iterator[Block]:
    """Give a block with a level for every combination of several fields' levels that occurs."""
    blocks = [context.field(name) for name in names]
    levels = blocks[0].levels
    for block in blocks[1:]:
        _, levels = np.unique(levels * block.n_levels + block.levels, return_inverse=True)
    codes, first = np.unique(levels, return_index=True)
    words = [np.asarray(block.feature_names(), dtype=object) for block in blocks]
    labels = [
        "*".join(word[block.levels[row]] for word, block in zip(words, blocks, strict=True))
        for row in first
    ]
    yield Block("*".join(names), levels, len(codes), labels=np.array(labels, dtype=object))


def number(context: Context, name: str, standardized: bool) -> Iterator[Block | Bag]:
    """Give a number in bins between quantiles of training rows, or standardized by them."""
    values = context.dataset.rows[name].to_numpy(np.float64)
    if standardized:
        center, spread = center_and_spread(values[context.train_rows])
        z = np.nan_to_num((values - center) / spread)
        yield Bag(sparse.csr_array(z[:, None]), (name,))
        return
    edges = bin_edges(values, context.train_rows)
    levels = np.searchsorted(edges, values, side="left")
    labels = [f"<= {edge:g}" for edge in edges] + [f"> {edges[-1]:g}" if len(edges) else "any"]
    missing = np.isnan(values)
    if missing.any():
        levels[missing] = len(labels)
        labels.append("missing")
    yield Block(name, levels, len(labels), labels=np.array(labels, dtype=object))


def bag(context: Context, name: str) -> Iterator[Bag]:
    """Give a column for each level of a bag, or each column of a matrix."""
    yield context.dataset.bags[name]


def side(context: Context) -> Iterator[Side]:
    """Give what the tables of the fields say of each level."""
    dataset = context.dataset
    if not dataset.tables:
        raise UserError(f"{dataset.name} has no user or item table, which the feature 'side' needs")
    for name, table in dataset.tables.items():
        yield _described(context.field(name), table)


def column(context: Context, of: str, name: str) -> Iterator[Side]:
    """Give one column of the table that describes the field `of`.

    Of a number or a date its quantile bin, of anything else, text too, its value.
    """
    values = column_of(context.dataset, of, name)
    if is_datetime64_any_dtype(values):
        values = _binned(values)
    elif not (is_bool_dtype(values) or is_numeric_dtype(values)):
        values = values.astype("category")
    yield _described(context.field(of), values.to_frame())


def implicit(context: Context) -> Iterator[Side]:
    """Give of each user the items she rated in training, as one row of length 1.

    SVD++ (Koren, KDD 2008). It says nothing of a user without training ratings.
    """
    labels = tuple(
        f"rated {label}" for label in np.asarray(context.field("item", "implicit").labels)
    )
    yield Side("user", _normalized(_given(context)), labels)


def implicit_items(context: Context) -> Iterator[Side]:
    """Give of each item the users who rated it, as one row of length 1: SVD++ turned over."""
    users = np.asarray(context.field("user", "implicit_items").labels)
    labels = tuple(f"rated by {label}" for label in users)
    yield Side("item", _normalized(_given(context).T.tocsr()), labels)


def day(context: Context) -> Iterator[Block]:
    """Block `day`: the UTC day of the rating, which takes up drifts of taste and of scale."""
    yield identity("day", pd.Series(context.seconds("day") // SECONDS_PER_DAY))


def sessions(context: Context) -> Iterator[Block]:
    """Linear blocks `second`, `minute` and `half_hour`: the user within that span of UTC time.

    It takes up her mood and what she was shown: Koren's b_u(t) ("Collaborative Filtering with
    Temporal Dynamics", KDD 2009) on three scales. It says nothing of later sessions.
    """
    user, time = context.field("user", "sessions").levels, context.seconds("sessions")
    for name, seconds in SESSIONS.items():
        spans, rank = np.unique(time // seconds, return_inverse=True)
        _, levels = np.unique(user * len(spans) + rank, return_inverse=True)
        yield Block(name, levels, int(levels.max()) + 1, linear=True)


def cyclic(context: Context) -> Iterator[Block]:
    """Blocks `hour` (0 to 23) and `weekday`, both UTC, whatever the date."""
    time = context.seconds("cyclic")
    yield Block("hour", time % SECONDS_PER_DAY // 3600, 24, labels=np.arange(24))
    days = time // SECONDS_PER_DAY
    yield Block("weekday", (days + 3) % 7, 7, labels=WEEKDAYS)  # 1 January 1970 was a Thursday


def identity(name: str, column: pd.Series, table: pd.DataFrame | None = None) -> Block:
    """Return a block with a level for every value of `column` or the table's index, in order."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        if table is None:
            names, codes = column.cat.categories, column.cat.codes.to_numpy(np.intp)
            return Block(name, codes, len(names), labels=names.to_numpy(object))
        column = column.astype("str")
    labels = pd.Index(column.unique())
    if table is not None:
        labels = labels.union(table.index)
    labels = labels.sort_values()
    return Block(name, labels.get_indexer(column), len(labels), labels=labels.to_numpy())


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


def center_and_spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and standard deviation, 1 where they do not differ, of what is not missing."""
    values = values[~np.isnan(values)]
    return (float(values.mean()), float(values.std()) or 1.0) if len(values) else (0.0, 1.0)


def bin_edges(values: NDArray[np.float64], train_rows: Rows) -> NDArray[np.float64]:
    """Return the highest values of all bins but the last: quantiles of training rows.

    Of all rows where training has no value. Some quantiles may be the same value.
    """
    train, every = (some[~np.isnan(some)] for some in (values[train_rows], values))
    known = train if len(train) else every
    if not len(known):
        return known
    quantiles = np.quantile(known, np.linspace(0, 1, N_BINS + 1)[1:-1], method="inverted_cdf")
    edges = np.unique(quantiles)
    return edges[edges < known.max()]


def _described(block: Block, table: pd.DataFrame) -> Side:
    """0/1 columns of a table's booleans, categories and binned numbers; text and dates are not."""
    numbers = table.select_dtypes("number").apply(_binned)
    described = table.select_dtypes(["bool", "category"]).join(numbers)
    if len(described.columns):
        described = pd.get_dummies(described, prefix_sep=":", dtype=bool)
    row, column = np.nonzero(described.to_numpy(bool))
    level = pd.Index(block.labels).get_indexer(table.index)
    shape = (block.n_levels, described.shape[1])
    matrix = sparse.csr_array((np.ones(len(row)), (level[row], column)), shape=shape)
    return Side(block.name, matrix, tuple(described.columns))


def _binned(values: pd.Series) -> pd.Series:
    """Quantile bins; of few values, each is its own."""
    if values.nunique() <= N_BINS:
        return values.astype("category")
    return pd.qcut(values, N_BINS, duplicates="drop")


def _given(context: Context) -> sparse.csr_array:
    """(n_users, n_items), 1 where a user has rated an item in training."""
    blocks = [context.field(name, "implicit") for name in ("user", "item")]
    users, items = (block.levels[context.train_rows] for block in blocks)
    shape = tuple(block.n_levels for block in blocks)
    return sparse.coo_array((np.ones(len(users)), (users, items)), shape=shape).tocsr().sign()


def _normalized(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows scaled to length 1; empty ones stay empty."""
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    return sparse.csr_array(matrix.multiply(1 / np.maximum(lengths, 1)[:, None]))
