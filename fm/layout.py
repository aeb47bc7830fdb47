"""Rows sorted by level, in chunks of equal length: what lets one batched product serve every level.

A block update needs, for each level, sums over the rows in which it occurs. Rows are sorted by level
and each level's rows are cut into chunks of equal length, the last one filled up with empty slots.
The Gram matrices of all chunks are then one `np.matmul` over a 3-D array, and a sparse 0/1 matrix
adds the chunks of a level. The work goes in slabs that fit in cache, so memory stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

CHUNKS = (4, 8, 16, 32, 64)
"""Chunk lengths to choose from, in slots."""

CHUNK_COST = 12
"""What a chunk costs besides its slots, in slots."""

SLAB = 2**17
"""Numbers in the regressors of a slab: 1 MB in float64."""

BATCH_LEVELS = 512
"""Levels solved at a time: 0.6 MB of linear systems at k = 10."""


@dataclass(frozen=True)
class Slab:
    """A run of chunks and the levels that own them.

    owner : (chunks,) level that owns each chunk.
    add : (levels, chunks), 1 where the level owns the chunk.
    """

    chunks: slice
    levels: slice
    owner: NDArray[np.intp]
    add: sparse.csr_array


@dataclass(frozen=True)
class Batch:
    """A run of levels to be solved at once, with the slabs that hold their rows."""

    levels: slice
    slabs: tuple[Slab, ...]


@dataclass(frozen=True)
class Layout:
    """The rows of each level, in chunks.

    slots : (n_chunks, length) number of the row in each slot, `n_rows` where a slot is empty.
    counts : (n_levels,) rows of each level.
    """

    slots: NDArray[np.integer]
    counts: NDArray[np.intp]
    batches: tuple[Batch, ...]

    @classmethod
    def of_levels(cls, levels: NDArray[np.intp], n_levels: int, slab: int) -> Layout:
        """From each row's level; rows of level -1 are left out. A slab has `slab` slots."""
        rows, starts = rows_by_level(levels, n_levels)
        return cls.of_sorted(rows[: starts[-1]], starts, slab, empty=len(levels))

    @classmethod
    def of_sorted(
        cls, rows: NDArray[np.integer], starts: NDArray[np.integer], slab: int, *, empty: int
    ) -> Layout:
        """From rows sorted by level, those of level j being `rows[starts[j]:starts[j + 1]]`."""
        counts = np.diff(starts).astype(np.intp)
        length = min(CHUNKS, key=lambda m: -(-counts // m).sum() * (m + CHUNK_COST))
        n_chunks = -(-counts // length)
        first = np.concatenate(([0], np.cumsum(n_chunks)))
        n_slots = first[-1] * length
        slots = np.full(n_slots, empty, dtype=index_type(max(n_slots, empty)))
        ahead = (first[:-1] * length - starts[:-1]).astype(slots.dtype)
        at = np.repeat(ahead, counts)
        at += np.arange(len(rows), dtype=slots.dtype)
        slots[at] = rows
        cuts = range(0, len(counts), BATCH_LEVELS)
        batches = tuple(_batch(first, a, min(a + BATCH_LEVELS, len(counts)), slab // length) for a in cuts)
        return cls(slots.reshape(-1, length), counts, batches)


def rows_by_level(
    levels: NDArray[np.integer], n_levels: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Row numbers sorted by level, those of level -1 last, and where each level starts and the last one ends."""
    n_rows = len(levels)
    index = index_type(max(n_rows, n_levels))
    column = levels.astype(index)
    column[column < 0] = n_levels
    by_row = (np.empty(n_rows, np.int8), column, np.arange(n_rows + 1, dtype=index))
    by_level = sparse.csr_array(by_row, shape=(n_rows, n_levels + 1)).tocsc()
    return by_level.indices, by_level.indptr[:-1]


def slab_slots(k: int) -> int:
    """Slots whose regressors, k + 2 numbers each, make a slab."""
    return max(SLAB // (k + 2), max(CHUNKS))


def index_type(n: int) -> type[np.integer]:
    """The narrowest of int32 and int64 that holds 0..n."""
    return np.int32 if n <= np.iinfo(np.int32).max else np.int64


def _batch(first: NDArray[np.intp], start: int, stop: int, width: int) -> Batch:
    owner = np.repeat(np.arange(start, stop), np.diff(first[start : stop + 1]))
    cuts = range(0, len(owner), width)
    return Batch(slice(start, stop), tuple(_slab(owner[at : at + width], first[start] + at) for at in cuts))


def _slab(owner: NDArray[np.intp], at: int) -> Slab:
    levels = slice(owner[0], owner[-1] + 1)
    entries = (np.ones(len(owner)), owner - levels.start, np.arange(len(owner) + 1))
    by_chunk = sparse.csr_array(entries, shape=(len(owner), levels.stop - levels.start))
    return Slab(slice(at, at + len(owner)), levels, owner, by_chunk.T.tocsr())
