"""What a data set's own columns say: fields, crossed fields, numbers and bags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.features.context import Columns, Context
from fm.design import Block

N_BINS = 10
"""Bins of a number, between quantiles of the training rows."""


def field(context: Context, name: str) -> Iterator[Block]:
    """Block of a field: a level for every value in the rows or in the table that describes it."""
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


def number(context: Context, name: str, standardized: bool) -> Iterator[Block | Columns]:
    """Give a number in bins between quantiles of training rows, or standardized by them."""
    values = context.dataset.rows[name].to_numpy(np.float64)
    train = values[context.train_rows]
    train = train[~np.isnan(train)]
    if standardized:
        center, spread = (train.mean(), train.std()) if len(train) else (0.0, 1.0)
        z = np.nan_to_num((values - center) / (spread or 1.0))
        yield Columns(sparse.csr_array(z[:, None]), (name,))
        return
    if not len(train):
        train = values[~np.isnan(values)]
    edges = _edges(train)
    levels = np.searchsorted(edges, values, side="left")
    labels = [f"<= {edge:g}" for edge in edges] + [f"> {edges[-1]:g}" if len(edges) else "any"]
    missing = np.isnan(values)
    if missing.any():
        levels[missing] = len(labels)
        labels.append("missing")
    yield Block(name, levels, len(labels), labels=np.array(labels, dtype=object))


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Highest values of all bins but the last: quantiles, of which some may be the same value."""
    if not len(values):
        return values
    quantiles = np.quantile(values, np.linspace(0, 1, N_BINS + 1)[1:-1], method="inverted_cdf")
    edges = np.unique(quantiles)
    return edges[edges < values.max()]


def bag(context: Context, name: str) -> Iterator[Columns]:
    """Give a column for each level of a bag, or each column of a matrix."""
    given = context.dataset.bags[name]
    yield Columns(given.matrix, given.labels)
