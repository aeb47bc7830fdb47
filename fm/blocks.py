"""Rows described by one-hot blocks: nothing is kept per row but its levels and its target.

With (w_b, q_b) the bias and factors of a row's level in block b, and q the sum of the q_b,

    yhat = w0 + sum_b w_b + sum_{b<c} <q_b, q_c>

so one table look-up per block, added up one after the other, gives a row's prediction; without the
look-up in the block being updated, the row's regressors (1, q) and what the rest of the model
predicts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike
from scipy import sparse

from fm.arrays import AnyArray, FloatArray, IndexArray, IntArray, RealArray
from fm.design import UNKNOWN
from fm.model import factor_mask, pieces, sum_lookups


class Blocks:
    """Rows with at most one level, of value 1, in each block.

    levels : of each block, (n_rows,), -1 where the row has none.
    columns : of each block, (n_levels,), its columns among the coefficients.
    weight : (n_rows,) of the squared errors, or None for 1.
    k : the largest number of factors that will be loaded.
    dtype : of the regressors.
    """

    def __init__(
        self,
        levels: Sequence[IntArray],
        columns: Sequence[IndexArray],
        weight: FloatArray | None,
        *,
        k: int,
        dtype: DTypeLike,
    ) -> None:
        self.columns = columns
        sizes = [len(cols) for cols in columns]
        if len(levels) == 1:  # the rest of the model is then one level that adds nothing
            levels, sizes = [*levels, np.zeros_like(levels[0])], [*sizes, 1]
        self._sizes = sizes
        self._levels = levels
        self.layouts: list[Layout] = []
        self._elsewhere: list[dict[int, IntArray]] = []
        for b in range(len(columns)):
            self._sort(b, slab_slots(k))
        # Of n levels table row n is 0, for no row, and the last, -1, that of the unknown level.
        self._tables: list[RealArray] = [np.empty(0)] * len(sizes)
        self._dtype = np.dtype(dtype)
        self._scratch_size = slab_slots(k) * (k + 2)
        self._of_thread = threading.local()
        self.weigh(weight)
        self._target: RealArray | None = None
        self._targets: list[RealArray] = []

    def _sort(self, b: int, slab: int) -> None:
        """Lay out the rows of block b, and in its slots the levels in the other blocks."""
        layout, elsewhere = None, {}
        for c, size in enumerate(self._sizes):
            if c != b:
                there = self._levels[c].astype(sparse.get_index_dtype(maxval=size))
                rows, there, starts = by_level(self._levels[b], self._sizes[b], there)
                layout = layout or Layout.of_sorted(starts, slab)
                elsewhere[c] = in_slots(there[: starts[-1]], layout.slots, size)
        assert layout is not None  # there are two blocks at least
        slots = in_slots(rows[: starts[-1]], layout.slots, len(rows))
        self.layouts.append(replace(layout, slots=slots))
        self._elsewhere.append(elsewhere)

    def weigh(self, weight: FloatArray | None) -> None:
        """Take over the rows' weights (n_rows,), or None for 1."""
        self.weight = weight
        self._scale = None if weight is None else np.sqrt(np.append(weight, 0)).astype(self._dtype)

    def load(self, w0: float, theta: RealArray) -> None:
        """Take over w0 and [w V] = `theta` (n_columns, at most k + 1)."""
        width, share = theta.shape[1] + 1, 1 / (len(self._sizes) - 1)
        self._factors = factor_mask(width, slice(1, -1), self._dtype)
        self._w0_share = share * w0
        for b, size in enumerate(self._sizes):
            self._tables[b] = np.zeros((size + 2, width), self._dtype)
            for part in (slice(size), UNKNOWN):
                self._tables[b][part, 0] = share
                self._tables[b][part, -1] = self._w0_share
        for b, columns in enumerate(self.columns):
            self.absorb(b, theta[columns])

    def absorb(self, b: int, theta: RealArray) -> None:
        """Take over new coefficients of block b."""
        self._tables[b][:-2, 1:-1] = theta[:, 1:]
        self._tables[b][:-2, -1] = theta[:, 0] + self._w0_share

    def explain(self, target: RealArray) -> None:
        """Have the rows sum to `target` (n_rows,)."""
        if target is not self._target:
            self._target = target
            self._targets = [in_slots(target, layout.slots, 0) for layout in self.layouts]

    def regressors(self, b: int, slab: Slab) -> RealArray:
        """Return a slab's regressors for block b, as `fm.block_kernel` defines them.

        The array is used again by the thread's next call.
        """
        target = slab.chunks(self._targets[b])
        lookups = [(c, rows[slab.slots]) for c, rows in self._elsewhere[b].items()]
        x = self._sum(lookups).reshape(*target.shape, -1)
        np.subtract(target, x[..., -1], out=x[..., -1])
        if self._scale is not None:
            x *= self._scale[slab.chunks(self.layouts[b].slots)][..., None]
        return x

    def in_every_row(self, b: int) -> bool:
        """Return whether block b has a level, of value 1, in every row."""
        return bool(self.layouts[b].counts.sum() == len(self._levels[b]))

    def prediction(self) -> FloatArray:
        """Return (n_rows,) what the loaded coefficients sum to."""
        total = np.empty(len(self._levels[0]))
        for rows in pieces(len(total), self._tables[0].shape[1], self._scratch_size):
            lookups = [(b, levels[rows]) for b, levels in enumerate(self._levels)]
            total[rows] = self._sum(lookups)[:, -1]
        return total - self._w0_share

    def _sum(self, lookups: Sequence[tuple[int, IntArray]]) -> RealArray:
        """Return (n, k + 2): (1, q, w0 + biases + pairs of factors), for all blocks but one.

        Zeros for no row. Every block brings an equal share of the 1 and of w0; for all blocks the
        sum has a share too much. The array is used again by the thread's next call.
        """
        shape = len(lookups[0][1]), self._tables[0].shape[1]
        if not hasattr(self._of_thread, "scratch"):
            self._of_thread.scratch = np.empty((3, self._scratch_size), self._dtype)
        scratch = self._of_thread.scratch[:, : shape[0] * shape[1]].reshape(3, *shape)
        tables = [(self._tables[b], levels) for b, levels in lookups]
        return sum_lookups(tables, self._factors, scratch, scratch[0, :, -1])


CHUNKS = np.array([8, *range(16, 129, 16)])
"""Lengths of chunks, in slots."""

SLAB = 2**17
"""Numbers in the regressors of a slab: 1 MB in float64."""

BATCH_LEVELS = 4096
"""Levels solved at a time, at most: 4.3 MB of linear systems at k = 10."""

BATCH_ROWS = 2**19
"""Rows of a batch, beyond which it gets no further level. Batches are what threads share out: of
smaller ones, whose arrays are small, threads wait for the interpreter (two threads 1.45 times as
fast as one with a quarter of both, 1.7 with these; 10^7 rows, k = 16)."""


@dataclass(frozen=True)
class Slab:
    """A run of chunks of equal length.

    slots : those of the chunks.
    length : of a chunk, in slots.
    owner : (chunks,) level that owns each chunk.
    """

    slots: slice
    length: int
    owner: IndexArray

    def chunks(self, values: AnyArray) -> AnyArray:
        """Return (chunks, length), a view of `values` (n_slots,)."""
        return values[self.slots].reshape(-1, self.length)


@dataclass(frozen=True)
class Batch:
    """Levels to be solved at once, with the slabs that hold their rows.

    add : (levels, chunks of all slabs), 1 where the level owns the chunk.
    """

    levels: IndexArray
    slabs: tuple[Slab, ...]
    add: sparse.csr_array


@dataclass(frozen=True)
class Layout:
    """The rows of each level, in chunks.

    slots : (n_slots,) number of the row in each slot, `n_rows` where a slot is empty.
    counts : (n_levels,) rows of each level.
    """

    slots: IntArray
    counts: IndexArray
    batches: tuple[Batch, ...]

    @classmethod
    def of_sorted(cls, starts: IntArray, slab: int) -> Layout:
        """Lay out entries sorted by level, those of level j being `starts[j]` to `starts[j + 1]`.

        Entries stand for the rows. A slab has `slab` slots at most.
        """
        counts = np.diff(starts).astype(np.intp)
        index = sparse.get_index_dtype(maxval=int(starts[-1]))
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
    levels: IntArray, n_levels: int, values: AnyArray | None = None
) -> tuple[IntArray, AnyArray, IntArray]:
    """Sort row numbers and `values` (n_rows,) by level, level -1 last.

    Returns
    -------
    rows, values, starts : (n_rows,), (n_rows,), (n_levels + 1,)
        Level j has the places `starts[j]` to `starts[j + 1]`.
    """
    n_rows = len(levels)
    index = sparse.get_index_dtype(maxval=max(n_rows, n_levels))
    column = levels.astype(index)
    column[column < 0] = n_levels
    values = np.empty(n_rows, np.int8) if values is None else values
    by_row = (values, column, np.arange(n_rows + 1, dtype=index))
    by_column = sparse.csr_array(by_row, shape=(n_rows, n_levels + 1)).tocsc()
    return by_column.indices, by_column.data, by_column.indptr[:-1]


def in_slots(values: AnyArray, slots: IntArray, empty: int) -> AnyArray:
    """Return the value of the row, or entry, in each slot; `empty` where there is none."""
    values = np.append(values, np.array(empty, values.dtype))
    taken = np.empty(len(slots), values.dtype)
    for part in pieces(len(slots), 1, SLAB):  # `take` copies the numbers, which is to stay in cache
        values.take(slots[part], out=taken[part], mode="clip")
    return taken


def slab_slots(k: int) -> int:
    """Return the number of slots whose regressors, k + 2 numbers each, make a slab."""
    return max(SLAB // (k + 2), int(CHUNKS[-1]))


def _cuts(counts: IndexArray) -> IndexArray:
    """Return where batches of levels with so many rows begin, but for the first."""
    ends = np.cumsum(counts)
    by_rows = np.searchsorted(ends, np.arange(BATCH_ROWS, ends[-1:].sum(), BATCH_ROWS)) + 1
    return np.union1d(by_rows, np.arange(BATCH_LEVELS, len(counts), BATCH_LEVELS))


def _chunks(counts: IndexArray) -> Iterator[tuple[int, IndexArray, IndexArray]]:
    """Yield, for each length, each chunk's owner and first row among the owner's `counts`."""
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
