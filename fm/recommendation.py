"""Predictions for every pair of levels of two blocks, such as every user with every item, and the best of them.

With q_u, q_i the factors of two levels and a_u, a_i what they add by themselves (`fm.model.level_tables`),

    f(u, i) = w0 + a_u + a_i + <q_u, q_i>

so that a slice of users costs one matrix product. All other blocks, whose levels are unknown here, are first
made part of the item.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from fm.base import FactorizationMachine
from fm.design import UNKNOWN, Design
from fm.draws import Draws
from fm.model import Coefficients, level_tables
from fm.validation import check_integer, check_X

SLICE = 2**20
"""Pairs predicted at a time: 8 MiB of float64."""


def predict_pairs(
    estimator: FactorizationMachine,
    design: Design,
    rows: str,
    columns: str,
    levels: ArrayLike | None = None,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Slices (levels of block `rows`, their predictions for all levels of block `columns`).

    A prediction is that of `predict`, or for a classifier the probability of the second class; the other
    blocks are at level -1. The slices, (n_levels of the slice, n_levels of `columns`), hold at most about
    `SLICE` numbers. `design` says what the blocks are; its rows play no part.

    levels : levels of block `rows`, all if None.
    """
    check_is_fitted(estimator, "machine_")
    check_X(estimator, design)
    row_block, column_block = design.block(rows), design.block(columns)
    if rows == columns:
        raise ValueError(f"rows and columns must be different blocks, both are {rows!r}")
    levels = np.arange(row_block.n_levels) if levels is None else np.asarray(levels, dtype=np.intp)
    if levels.size and not (0 <= levels.min() and levels.max() < row_block.n_levels):
        raise ValueError(f"levels of {rows!r} must lie in [0, {row_block.n_levels})")
    machine = estimator.machine_
    machines = list(machine.each()) if isinstance(machine, Draws) else [machine]
    step = max(1, SLICE // column_block.n_levels)
    for first in range(0, len(levels), step):
        chosen = levels[first : first + step]
        mean = sum(
            estimator._expectation(_pairs(design, c, row_block.name, column_block.name, chosen), c)
            for c in machines
        ) / len(machines)
        yield chosen, estimator._value(mean).reshape(len(chosen), column_block.n_levels)


def recommend(
    estimator: FactorizationMachine,
    design: Design,
    n: int = 10,
    *,
    users: str = "user",
    items: str = "item",
    levels: ArrayLike | None = None,
    seen: Design | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The n items with the highest predictions for each user, best first.

    Parameters
    ----------
    users, items : names of the blocks.
    levels : for which users, all if None.
    seen : pairs that occur in its rows are left out; usually the training rows.

    Returns
    -------
    items, predictions : both (n_users, n). Where a user has fewer than n items left, -1 and -infinity.
    """
    check_integer("n", n, low=1)
    n = min(n, design.block(items).n_levels)
    known = None if seen is None else _occurring_pairs(seen, users, items)
    best = [(np.empty((0, n), dtype=np.intp), np.empty((0, n)))]
    for chosen, scores in predict_pairs(estimator, design, users, items, levels):
        if known is not None:
            scores[known[chosen].nonzero()] = -np.inf
        top = np.argpartition(-scores, n - 1, axis=1)[:, :n]
        top_scores = np.take_along_axis(scores, top, axis=1)
        order = np.lexsort((top, -top_scores))
        top, top_scores = (np.take_along_axis(a, order, axis=1) for a in (top, top_scores))
        best.append((np.where(np.isfinite(top_scores), top, UNKNOWN), top_scores))
    found, scores = zip(*best, strict=True)
    return np.vstack(found), np.vstack(scores)


def _pairs(
    design: Design, coefficients: Coefficients, rows: str, columns: str, levels: NDArray
) -> NDArray[np.float64]:
    """f of each pair, (len(levels) * n_columns,)."""
    tables = dict(
        zip((block.name for block in design), level_tables(design, coefficients), strict=True)
    )
    left, right = tables.pop(rows)[levels], tables.pop(columns)[:-1].copy()
    k = right.shape[1] - 1
    for table in tables.values():
        *q, alone = table[UNKNOWN]
        right[:, k] += alone + right[:, : len(q)] @ q
        right[:, : len(q)] += q
    f = left[:, :k] @ right[:, :k].T
    f += left[:, k, None] + (right[:, k] + coefficients.w0)
    return f.ravel().astype(np.float64, copy=False)


def _occurring_pairs(design: Design, rows: str, columns: str) -> sparse.csr_array:
    left, right = design.block(rows), design.block(columns)
    known = (left.levels >= 0) & (right.levels >= 0)
    pairs = left.levels[known], right.levels[known]
    return sparse.csr_array(
        (np.ones(known.sum(), bool), pairs), shape=(left.n_levels, right.n_levels)
    )
