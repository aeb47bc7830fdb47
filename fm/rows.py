"""Which columns can be updated at once, which share a prior, and in what form their rows are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse

from fm.blocks import Blocks
from fm.columns import Columns
from fm.design import Design
from fm.memory import reuse_freed_memory

MAX_BLOCKS = 8
"""One-hot sets up to which a row's sums are made anew at each update instead of being kept."""

TRIED = 64
"""Sets, the emptiest ones, that a run of columns is tried with before it becomes one of its own."""


def rows_of(
    X: Design | sparse.csr_array,
    weight: NDArray | None,
    groups: ArrayLike | None,
    *,
    k: int,
    dtype: DTypeLike,
) -> tuple[Blocks | Columns, list[NDArray[np.intp]]]:
    """The rows of `X` in the form the block update wants, and the groups of columns that share a prior.

    Columns are those of `X`, of a design only the levels of its interacting blocks (side features are left to
    the prior, linear blocks to `fm.linear`). A design's groups are its blocks. A matrix's are the columns of equal number in `groups` (n_features,); if that is
    None, every one-hot set of columns with a 1 in most rows is a group, and the remaining columns are one.
    """
    reuse_freed_memory()
    if isinstance(X, Design):
        blocks = X.interacting
        ends = np.cumsum([block.n_levels for block in blocks])
        columns = [
            np.arange(end - block.n_levels, end) for block, end in zip(blocks, ends, strict=True)
        ]
        return Blocks(
            [block.levels for block in blocks], columns, weight, k=k, dtype=dtype
        ), columns
    X = sparse.csc_array(X, copy=True)
    X.sum_duplicates()
    X.eliminate_zeros()
    numbers = np.zeros(X.shape[1], np.intp) if groups is None else np.asarray(groups)
    members = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    sets = [group[subset] for group in members for subset in conflict_free_sets(X[:, group])]
    parts = [X[:, subset] for subset in sets]
    one_hot = [bool(np.all(part.data == 1)) for part in parts]
    if groups is None:
        members = [
            subset
            for subset, part, hot in zip(sets, parts, one_hot, strict=True)
            if hot and len(subset) > 1 and part.nnz > X.shape[0] / 2
        ]
        others = np.setdiff1d(np.arange(X.shape[1]), np.concatenate([*members, []]).astype(np.intp))
        members += [others] if len(others) else []
    if all(one_hot) and len(sets) <= MAX_BLOCKS:
        levels = [_levels(part) for part in parts]
        return Blocks(levels, sets, weight, k=k, dtype=dtype), members
    return Columns(X, sets, weight, k=k, dtype=dtype), members


def conflict_free_sets(X: sparse.csc_array) -> list[NDArray[np.intp]]:
    """The columns of `X` split into sets of which no two members share a row.

    A run of neighbouring columns is taken as long as it goes without conflict, so that one-hot groups
    side by side are found in one pass over the nonzeros; each run then joins the first set it fits.
    """
    sets: list[list[NDArray[np.intp]]] = []
    taken: list[NDArray[np.bool_]] = []
    n_taken = np.zeros(0, np.intp)
    for start, stop in _runs(X):
        rows = X.indices[X.indptr[start] : X.indptr[stop]]
        candidates = np.argsort(n_taken, kind="stable")[:TRIED]
        fits = next((s for s in candidates if not taken[s][rows].any()), len(sets))
        if fits == len(sets):
            sets.append([])
            taken.append(np.zeros(X.shape[0], bool))
            n_taken = np.append(n_taken, 0)
        sets[fits].append(np.arange(start, stop))
        taken[fits][rows] = True
        n_taken[fits] += len(rows)
    return [np.concatenate(runs) for runs in sets]


def _runs(X: sparse.csc_array) -> list[tuple[int, int]]:
    """Longest runs [start, stop) of columns without a row in common, from the left."""
    n = X.shape[1]
    by_row = X.tocsr()
    by_row.sort_indices()
    follows = np.full(n + 1, n)
    same_row = np.ones(by_row.nnz, bool)
    same_row[by_row.indptr[:-1][np.diff(by_row.indptr) > 0]] = False
    later = np.flatnonzero(same_row)
    np.minimum.at(follows, by_row.indices[later - 1], by_row.indices[later])
    nearest = np.minimum.accumulate(follows[::-1])[::-1]
    runs, start = [], 0
    while start < n:
        runs.append((start, int(nearest[start])))
        start = int(nearest[start])
    return runs


def _levels(X: sparse.csc_array) -> NDArray[np.intp]:
    """(n_rows,) the column of each row's single entry, -1 where it has none."""
    levels = np.full(X.shape[0], -1)
    levels[X.indices] = np.repeat(np.arange(X.shape[1]), np.diff(X.indptr))
    return levels
