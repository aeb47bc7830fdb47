"""Predictions for every pair of levels of two blocks, the best of them, and levels that are alike.

With q_u, q_i the factors of two levels and a_u, a_i what they add by themselves
(`fm.model.level_tables`),

    f(u, i) = w0 + a_u + a_i + <q_u, q_i>

so that a slice of users costs one matrix product. All other blocks, whose levels are unknown here,
are first made part of the item.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from fm.arrays import FloatArray, IndexArray, RealArray
from fm.base import FactorizationMachine
from fm.design import UNKNOWN, Design
from fm.model import Machine, level_tables, noise_rows
from fm.validation import check_integer, check_X, names_of_fields, nearest

SLICE = 2**20
"""Pairs predicted at a time: 8 MiB of float64."""


def predict_pairs(
    estimator: FactorizationMachine,
    design: Any,
    rows: str,
    columns: str,
    levels: ArrayLike | None = None,
) -> Iterator[tuple[IndexArray, FloatArray]]:
    """Predict all pairs of levels of two blocks, the other blocks being unknown.

    Parameters
    ----------
    estimator : fitted FMRegressor, FMClassifier, FMOrdinal or FMRanker
    design : Design or DataFrame
        Has the blocks, which are the columns of a DataFrame; its rows play no part.
    rows, columns : str
        Names of two blocks.
    levels : array of int, optional
        Levels of block `rows`; by default all.

    Yields
    ------
    levels, predictions : (n,), (n, n_levels of `columns`)
        Predictions of `predict`, or for a classifier probabilities of the second class, in slices
        of about 2^20 numbers.

    Raises
    ------
    KeyError, ValueError
        No such block, or no such levels.
    """
    check_is_fitted(estimator)
    design = _design(estimator, design)
    check_X(estimator, design)
    row_block, column_block = design.block(rows), design.block(columns)
    if rows == columns:
        raise ValueError(f"rows and columns must be different blocks, both are {rows!r}")
    levels = np.arange(row_block.n_levels) if levels is None else np.asarray(levels, np.intp)
    if levels.size and not (levels.min() >= 0 and levels.max() < row_block.n_levels):
        raise ValueError(f"levels of {rows!r} must lie in [0, {row_block.n_levels})")
    noise_by = names_of_fields(getattr(estimator, "noise_by", None))
    machines: list[Machine] = list(estimator._machine().each())
    step = max(1, SLICE // column_block.n_levels)
    for first in range(0, len(levels), step):
        chosen = levels[first : first + step]
        mean, noise_levels = np.zeros(1), None
        if noise_by:
            pairs = np.indices((len(chosen), column_block.n_levels)).reshape(2, -1)
            of_field = {rows: chosen[pairs[0]], columns: pairs[1]}
            unknown = np.full(pairs.shape[1], UNKNOWN)
            noise_levels = noise_rows(
                [replace(design.block(n), levels=of_field.get(n, unknown)) for n in noise_by]
            )
        for m in machines:
            f = _pairs(design, m, rows, columns, chosen)
            mean = mean + estimator._expectation(f, m, noise_levels) / len(machines)
        yield chosen, estimator._value(mean).reshape(len(chosen), column_block.n_levels)


def recommend(
    estimator: FactorizationMachine,
    design: Any,
    n: int = 10,
    *,
    users: str = "user",
    items: str = "item",
    levels: ArrayLike | None = None,
    seen: Any = None,
) -> tuple[IndexArray, FloatArray]:
    """Return the n items with the highest predictions for each user, best first.

    Parameters
    ----------
    estimator, design
        As of `predict_pairs`.
    n : int, default=10
        Items per user.
    users, items : str
        Names of the blocks.
    levels : array of int, optional
        The users; by default all.
    seen : Design or DataFrame, optional
        Rows whose pairs are left out; usually the training rows.

    Returns
    -------
    items, predictions : (n_users, n)
        Numbers of levels; those of a DataFrame's column number its labels, ascending. Where a user
        has fewer than n items left, -1 and -infinity.
    """
    check_integer("n", n, low=1)
    design = _design(estimator, design)
    n = min(n, design.block(items).n_levels)
    known = None
    if seen is not None:
        left, right = (_design(estimator, seen).block(name).one_hot() for name in (users, items))
        known = sparse.csr_array(left.T @ right)
    best = [(np.empty((0, n), dtype=np.intp), np.empty((0, n)))]
    for chosen, scores in predict_pairs(estimator, design, users, items, levels):
        if known is not None:
            scores[known[chosen].nonzero()] = -np.inf
        top = np.argpartition(-scores, n - 1, axis=1)[:, :n]
        order = np.lexsort((top, -np.take_along_axis(scores, top, axis=1)))
        top = np.take_along_axis(top, order, axis=1)
        top_scores = np.take_along_axis(scores, top, axis=1)
        best.append((np.where(np.isfinite(top_scores), top, UNKNOWN), top_scores))
    best_items, predictions = zip(*best, strict=True)
    return np.vstack(best_items), np.vstack(predictions)


def similar(
    estimator: FactorizationMachine,
    feature: int | str,
    n: int = 10,
    *,
    design: Any = None,
) -> list[tuple[int | str, float]]:
    """Return the n features whose factors are most like the given one's by cosine, best first.

    Factors are determined up to a rotation only, which leaves cosines alone. Those of draws from a
    posterior are of the inner products' means over the draws.

    Parameters
    ----------
    estimator
        As of `predict_pairs`.
    feature : int or str
        A column; with a design the name of a level as in `design.feature_names()` (`"item=50"`).
    n : int, default=10
        How many.
    design : Design or DataFrame, optional
        Compare the levels of the feature's block only, each with its side features.

    Returns
    -------
    list of (feature, cosine)

    Raises
    ------
    KeyError
        No such feature.
    ValueError
        `n` is out of range, k = 0, or the feature is a level of a linear block.
    """
    check_integer("n", n, low=1)
    if design is None:
        V = estimator.coefficients_.V
        names: Sequence[int | str] = range(len(V))
    else:
        names, V = _levels_of_block(estimator, _design(estimator, design), feature)
    if feature not in names:
        raise KeyError(f"no feature {feature!r}; there are columns 0 to {len(names) - 1}")
    if V.shape[1] == 0:
        raise ValueError("a model with k=0 has no factors to compare")
    lengths = np.linalg.norm(V, axis=1, keepdims=True)
    V = np.divide(V, lengths, out=np.zeros_like(V), where=lengths > 0)
    given = names.index(feature)
    similarity = V @ V[given]
    order = np.argsort(-similarity, kind="stable")
    return [(names[j], float(similarity[j])) for j in order[order != given][:n]]


def _design(estimator: FactorizationMachine, X: Any) -> Design:
    """Return X, or the design that the estimator makes of a DataFrame."""
    check_is_fitted(estimator)
    rows = X if isinstance(X, Design) and not X.numeric else check_X(estimator, X)
    if not isinstance(rows, Design):
        raise ValueError("recommendations need a Design or a DataFrame, with fields alone")
    return rows


def _pairs(
    design: Design, machine: Machine, rows: str, columns: str, levels: IndexArray
) -> FloatArray:
    """Return f of each pair, (len(levels) * n_columns,)."""
    tables = dict(zip((block.name for block in design), level_tables(design, machine), strict=True))
    left, right = tables.pop(rows)[levels], tables.pop(columns)[:-1].copy()
    k = right.shape[1] - 1
    for table in tables.values():
        *q, alone = table[UNKNOWN]
        right[:, k] += alone + right[:, : len(q)] @ q
        right[:, : len(q)] += q
    f = left[:, :k] @ right[:, :k].T
    f += left[:, k, None] + (right[:, k] + machine.w0)
    return f.ravel().astype(np.float64, copy=False)


def _levels_of_block(
    estimator: FactorizationMachine, design: Design, level: int | str
) -> tuple[list[str], RealArray]:
    """Return names and factors of the levels of the block that has this one."""
    every: list[str] = []
    for block, table in zip(design, level_tables(design, estimator.coefficients_), strict=True):
        names = block.feature_names()[: block.n_levels]
        if level in names:
            if block.linear:
                raise ValueError(
                    f"{level!r} has no factors to compare: block {block.name!r} is linear"
                )
            return names, table[:-1, :-1]
        every += names
    raise KeyError(f"no level {level!r}{nearest(level, every)}")
