"""From a data set to what models are fitted on: named features, each a function, all models alike.

A feature gives blocks (a categorical variable: a level per rating) or side columns of a block (what
is known about each level). `FEATURES` is the list of those there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import sparse

from bench.data.dataset import Dataset, Rows
from bench.errors import UserError, checked
from fm.design import Block, Design
from fm.params import check_choice

SECONDS_PER_DAY = 86_400

SESSIONS = {"second": 1, "minute": 60, "half_hour": 1800}
"""Linear blocks of `sessions` and their length in seconds: a page of ratings sent at once, a run of them, a sitting."""

N_BINS = 10
"""Quantile bins of a number (age, year) that becomes 0/1 columns."""


@dataclass(frozen=True, eq=False)
class Context:
    """What a feature may look at: every rating's user, item and time, and of `train_rows` alone
    also the fact that they were given. Never a rating's value."""

    dataset: Dataset
    train_rows: Rows

    @cached_property
    def users(self) -> Block:
        return _identity("user", self.dataset.ratings["user"], self.dataset.users)

    @cached_property
    def items(self) -> Block:
        return _identity("item", self.dataset.ratings["item"], self.dataset.items)


@dataclass(frozen=True, eq=False)
class Side:
    """Side columns of `block`: `matrix` (n_levels, n_columns) and their names."""

    block: str
    matrix: sparse.csr_array
    labels: tuple[str, ...]


def ids(context: Context) -> Iterator[Block]:
    """Blocks `user` and `item`; a level for every id in ratings or tables."""
    yield context.users
    yield context.items


def side(context: Context) -> Iterator[Side]:
    """What the user and item tables say of each level."""
    dataset = context.dataset
    if dataset.users is None and dataset.items is None:
        raise UserError(f"{dataset.name} has no user or item table, which the feature 'side' needs")
    for block, table in ((context.users, dataset.users), (context.items, dataset.items)):
        if table is not None:
            yield _described(block, table)


def day(context: Context) -> Iterator[Block]:
    """Block `day`: the UTC day of the rating, which takes up drifts of taste and of scale."""
    if "timestamp" not in context.dataset.ratings:
        raise UserError(f"{context.dataset.name} has no timestamps, which the feature 'day' needs")
    days = context.dataset.ratings["timestamp"] // SECONDS_PER_DAY
    yield _identity("day", days, None)


def sessions(context: Context) -> Iterator[Block]:
    """Linear blocks `second`, `minute` and `half_hour`: the user within that span of UTC time, which takes up her
    mood and what she was shown. Koren's b_u(t) ("Collaborative Filtering with Temporal Dynamics", KDD 2009) on
    three scales. Between training ratings of the same session it interpolates; it says nothing of later ones."""
    if "timestamp" not in context.dataset.ratings:
        raise UserError(f"{context.dataset.name} has no timestamps, which the feature 'sessions' needs")
    user, time = context.users.levels, context.dataset.ratings["timestamp"].to_numpy()
    for name, seconds in SESSIONS.items():
        _, levels = np.unique(np.stack([user, time // seconds]), axis=1, return_inverse=True)
        yield Block(name, levels, int(levels.max()) + 1, linear=True)


def implicit(context: Context) -> Iterator[Side]:
    """Of each user the items she rated in training, as one row of length 1: SVD++ (Koren, KDD 2008)."""
    labels = tuple(f"rated {label}" for label in context.items.labels)
    yield Side("user", _normalized(_given(context)), labels)


def implicit_items(context: Context) -> Iterator[Side]:
    """Of each item the users who rated it in training, as one row of length 1: SVD++ turned over."""
    labels = tuple(f"rated by {label}" for label in context.users.labels)
    yield Side("item", _normalized(_given(context).T.tocsr()), labels)


FEATURES: dict[str, Callable[[Context], Iterable[Block | Side]]] = {
    feature.__name__: feature for feature in (ids, side, day, implicit, implicit_items, sessions)
}


def encode(dataset: Dataset, features: Sequence[str], train_rows: Rows) -> Design:
    """The design of every rating of `dataset`, in order; take rows of it for train and test.

    Raises
    ------
    UserError : an unknown or repeated feature, or one that this data set cannot give.
    """
    with checked():
        for name in features:
            check_choice("feature", name, FEATURES)
    if len(set(features)) < len(features):
        raise UserError(f"each feature can be named once, got {', '.join(features)}")
    context = Context(dataset, train_rows)
    parts = [part for name in features for part in FEATURES[name](context)]
    blocks = sorted((part for part in parts if isinstance(part, Block)), key=lambda block: block.linear)
    sides = [part for part in parts if isinstance(part, Side)]
    missing = {s.block for s in sides} - {b.name for b in blocks}
    if missing or not blocks:
        raise UserError(f"features {', '.join(features)} need 'ids' among them")
    return Design(tuple(_joined(block, [s for s in sides if s.block == block.name]) for block in blocks))


def _joined(block: Block, sides: list[Side]) -> Block:
    if not sides:
        return block
    matrix = sparse.hstack([s.matrix for s in sides], format="csr")
    return replace(block, side=matrix, side_labels=sum((s.labels for s in sides), ()))


def _identity(name: str, column: pd.Series, table: pd.DataFrame | None) -> Block:
    labels = pd.Index(column.unique())
    if table is not None:
        labels = labels.union(table.index)
    labels = labels.sort_values()
    return Block(name, labels.get_indexer(column), len(labels), labels=labels.to_numpy())


def _given(context: Context) -> sparse.csr_array:
    """(n_users, n_items), 1 where a user has rated an item in training."""
    users, items = (block.levels[context.train_rows] for block in (context.users, context.items))
    shape = context.users.n_levels, context.items.n_levels
    return sparse.coo_array((np.ones(len(users)), (users, items)), shape=shape).tocsr().sign()


def _normalized(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows scaled to length 1; empty ones stay empty."""
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    return sparse.csr_array(matrix.multiply(1 / np.maximum(lengths, 1)[:, None]))


def _described(block: Block, table: pd.DataFrame) -> Side:
    """0/1 columns of a table's booleans, categories and (in bins) numbers; a level without a value has
    none. Text and dates are left out."""
    numbers = table.select_dtypes("number").apply(_binned)
    described = table.select_dtypes(["bool", "category"]).join(numbers)
    columns = pd.get_dummies(described, prefix_sep=":", dtype=bool) if len(described.columns) else described
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
