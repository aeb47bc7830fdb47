"""Rows sorted by level, in chunks of a few lengths: what lets one batched product serve many levels.

A block update needs, for each level, sums over the rows in which it occurs. Rows are sorted by level and each
level's rows are cut into chunks of the greatest length and a last one of the shortest length that holds what
is left, filled up with empty slots. Levels are taken in the order of their rows' number, so that neighbours
have chunks of the same length: the Gram matrices of all these are one `np.matmul` over a 3-D array, and a
sparse 0/1 matrix adds the chunks of a level. The work goes in slabs that fit in cache, so memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

CHUNKS = np.array([8, *range(16, 129, 16)])
"""Lengths of chunks, in slots."""

SLAB = 2**17
"""Numbers in the regressors of a slab: 1 MB in float64."""

BATCH_LEVELS = 4096
"""Levels solved at a time, at most: 4.3 MB of linear systems at k = 10."""

BATCH_ROWS = 2**19
"""Rows of a batch, beyond which it gets no further level. Batches are what threads share out: of smaller ones, whose
arrays are small, threads wait for the interpreter (two threads 1.45 times as fast as one with a quarter of both, 1.7 with
these; 10^7 rows, k = 16)."""


@dataclass(frozen=True)
class Slab:
    """A run of chunks of equal length.

    slots : those of the chunks.
    length : of a chunk, in slots.
    owner : (chunks,) level that owns each chunk.
    """

    slots: slice
    length: int
    owner: NDArray[np.intp]

    def chunks(self, values: NDArray) -> NDArray:
        """(chunks, length), a view of `values` (n_slots,)."""
        return values[self.slots].reshape(-1, self.length)


@dataclass(frozen=True)
class Batch:
    """Levels to be solved at once, with the slabs that hold their rows.

    add : (levels, chunks of all slabs), 1 where the level owns the chunk.
    """

    levels: NDArray[np.intp]
    slabs: tuple[Slab, ...]
    add: sparse.csr_array


@dataclass(frozen=True)
class Layout:
    """The rows of each level, in chunks.

    slots : (n_slots,) number of the row in each slot, `n_rows` where a slot is empty.
    counts : (n_levels,) rows of each level.
    """

    slots: NDArray[np.integer]
    counts: NDArray[np.intp]
    batches: tuple[Batch, ...]

    @classmethod
    def of_sorted(cls, starts: NDArray[np.integer], slab: int) -> Layout:
        """Of entries sorted by level, those of level j being `starts[j]` to `starts[j + 1]`, which stand for the rows.
        A slab has `slab` slots at most."""
        counts = np.diff(starts).astype(np.intp)
        index = index_type(starts[-1])
        slots, batches, n_slots = [np.empty(0, index)], [], 0
        by_count = np.argsort(counts, kind="stable")
        for levels in np.split(by_count, _cuts(counts[by_count])):
            slabs, owners = [], [by_count[:0]]
            for length, owner, first in _chunks(counts[levels]):
                for at in range(0, len(owner), slab // length):
                    some = slice(at, at + slab // length)
                    own = levels[owner[some]]
                    entry = (starts[own] + first[some])[:, None] + np.arange(length)
                    entry = np.where(entry < starts[own + 1, None], entry, starts[-1])
                    slots.append(entry.ravel().astype(index))
                    slabs.append(Slab(slice(n_slots, n_slots + entry.size), length, own))
                    n_slots += entry.size
                owners.append(owner)
            owner = np.concatenate(owners)
            entries = np.ones(len(owner)), (owner, np.arange(len(owner)))
            add = sparse.csr_array(entries, shape=(len(levels), len(owner)))
            batches.append(Batch(levels, tuple(slabs), add))
        return cls(np.concatenate(slots), counts, tuple(batches))


def by_level(
    levels: NDArray[np.integer], n_levels: int, values: NDArray | None = None
) -> tuple[NDArray[np.integer], NDArray, NDArray[np.integer]]:
    """Row numbers and `values` (n_rows,), both sorted by level, those of level -1 last; and where each level starts and the
    last one ends."""
    n_rows = len(levels)
    index = index_type(max(n_rows, n_levels))
    column = levels.astype(index)
    column[column < 0] = n_levels
    values = np.empty(n_rows, np.int8) if values is None else values
    by_row = (values, column, np.arange(n_rows + 1, dtype=index))
    found = sparse.csr_array(by_row, shape=(n_rows, n_levels + 1)).tocsc()
    return found.indices, found.data, found.indptr[:-1]


def in_slots(values: NDArray, slots: NDArray[np.integer], empty: int) -> NDArray:
    """The value of the row, or entry, in each slot; `empty` where there is none."""
    values = np.append(values, np.array(empty, values.dtype))
    found = np.empty(len(slots), values.dtype)
    for at in range(0, len(slots), SLAB):  # `take` copies the numbers, which is to stay in cache
        values.take(slots[at : at + SLAB], out=found[at : at + SLAB], mode="clip")
    return found


def slab_slots(k: int) -> int:
    """Slots whose regressors, k + 2 numbers each, make a slab."""
    return max(SLAB // (k + 2), int(CHUNKS[-1]))


def index_type(n: int) -> type[np.integer]:
    """The narrowest of int32 and int64 that holds 0..n."""
    return np.int32 if n <= np.iinfo(np.int32).max else np.int64


def _cuts(counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where batches of levels with so many rows begin, but for the first."""
    ends = np.cumsum(counts)
    by_rows = np.searchsorted(ends, np.arange(BATCH_ROWS, ends[-1:].sum(), BATCH_ROWS)) + 1
    return np.union1d(by_rows, np.arange(BATCH_LEVELS, len(counts), BATCH_LEVELS))


def _chunks(counts: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.intp]]]:
    """Of each length: the level that owns each chunk, and the chunk's first row among the level's `counts`."""
    longest = CHUNKS[-1]
    n_longest, rest = np.divmod(counts, longest)
    last = np.where(rest > 0, CHUNKS[np.searchsorted(CHUNKS, rest)], 0)
    for length in CHUNKS:
        n = (last == length) + n_longest * (length == longest)
        owner = np.repeat(np.arange(len(counts)), n)
        ordinal = np.arange(len(owner)) - np.repeat(np.cumsum(n) - n, n)
        first = longest * (ordinal if length == longest else n_longest[owner])
        if len(owner):
            yield int(length), owner, first
