"""Which columns can be updated at once, which share a prior, and which kernel keeps the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy import sparse

from fm.arrays import (
    AnyArray,
    BoolArray,
    FloatArray,
    IndexArray,
    IntArray,
    reuse_freed_memory,
)
from fm.block_kernel import BlockKernel
from fm.column_sets import ColumnSet, sets_of_columns
from fm.design import Block, Design
from fm.model import Matrix, pieces
from fm.row_kernel import RowKernel

MAX_BLOCKS = 4
"""One-hot sets up to which the block kernel is taken: its cost grows with their square, the row
kernel's with their number. Of 2 fields a sweep takes 0.6, of 5 fields 1.4 of the time of myFM's (k
= 4)."""

FIELD = 0.5
"""Share of the rows in which a set of columns must have a 1 to be taken for a field, with a prior
of its own, unless all sets together are more than `BAG` times the features of the fullest row: the
columns are then those of bags, and sets mean nothing."""

BAG = 2

PART = 2**14
"""Entries of a matrix that are worked on at once, where a copy of all would take memory."""


@dataclass(frozen=True)
class Rows:
    """The rows of a matrix or design, ready to be fitted.

    order : (n_columns,) the columns of the matrix as they stand here: those of a set together.
    kernel : of which `kernel.columns` are the sets updated at once.
    groups : columns that share a prior, each set lying within one group.
    counts : (n_columns,) rows in which each column is not 0.
    is_field : of each group, whether every row has a 1 in one of its columns and 0 in the others.
    units : (n_columns,) what the columns were divided by: the root of the (weighted) mean square of
        their nonzero values.
    """

    order: IndexArray
    kernel: BlockKernel | RowKernel
    groups: Sequence[IndexArray]
    counts: IndexArray
    is_field: Sequence[bool]
    units: FloatArray


def rows_of(
    X: Design | sparse.csr_array,
    weight: FloatArray | None,
    groups: ArrayLike | None,
    *,
    k: int,
    dtype: DTypeLike,
    rescale: bool = True,
) -> Rows:
    """Prepare the rows of `X`.

    Columns are those of `X`, of a design only the levels of its interacting blocks (features of
    levels are left to the prior, linear blocks to `LinearBlock`). A design's groups are its blocks.
    A matrix's are the columns of equal number in `groups` (n_features,); if that is None, each
    field that is discovered is a group, and the remaining columns are one.

    rescale : divide the columns of a matrix by their units.
    """
    reuse_freed_memory()
    if isinstance(X, Design):
        return _rows_of_design(X.interacting, weight, k=k, dtype=dtype)
    X = sparse.csc_array(X, copy=True)
    X.sum_duplicates()
    X.eliminate_zeros()
    numbers = np.zeros(X.shape[1], np.intp) if groups is None else np.asarray(groups)
    members = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    one_group = len(members) == 1  # whose matrix need not be copied
    sets = [
        group[subset]
        for group in members
        for subset in conflict_free_sets(X if one_group else X[:, group])
    ]
    order = np.concatenate([*sets, []]).astype(np.intp)
    if np.any(order[1:] < order[:-1]):
        X = X[:, order]
    members, sets = (_runs([len(part) for part in parts]) for parts in (members, sets))
    counts = np.diff(X.indptr)
    units = _divide_by_units(X, weight) if rescale else np.ones(X.shape[1])
    binary = _binary(X)
    one_hot = [bool(binary[subset].all()) for subset in sets]
    entries = [int(counts[subset].sum()) for subset in sets]
    if groups is None:
        fullest = np.bincount(X.indices, minlength=1).max()
        fewest = FIELD * X.shape[0] if len(sets) <= BAG * fullest else X.shape[0] - 1
        members = [
            subset
            for subset, hot, n in zip(sets, one_hot, entries, strict=True)
            if hot and len(subset) > 1 and n > fewest
        ]
        others = np.setdiff1d(np.arange(X.shape[1]), np.concatenate([*members, []]).astype(np.intp))
        members += [others] if len(others) else []
    fields = {
        subset[0]: len(subset)
        for subset, hot, n in zip(sets, one_hot, entries, strict=True)
        if hot and n == X.shape[0]
    }
    is_field = [fields.get(group[0]) == len(group) for group in members]
    if all(one_hot) and len(sets) <= MAX_BLOCKS:
        levels = [_levels(X[:, subset]) for subset in sets]
        blocks = BlockKernel(levels, sets, weight, k=k, dtype=dtype)
        return Rows(order, blocks, members, counts, is_field, units)
    ones = np.ones(X.shape[0], dtype)
    if all(one_hot):
        X = _pattern(X)
    column_sets = sets_of_columns(X, sets, one_hot, weight, ones)
    kernel = RowKernel(column_sets, X.shape[0], weight, dtype)
    return Rows(order, kernel, members, counts, is_field, units)


def _rows_of_design(
    blocks: Sequence[Block], weight: FloatArray | None, *, k: int, dtype: DTypeLike
) -> Rows:
    columns = _runs([block.n_levels for block in blocks])
    levels = [block.levels for block in blocks]
    kernel: BlockKernel | RowKernel
    if len(blocks) <= MAX_BLOCKS:
        kernel = BlockKernel(levels, columns, weight, k=k, dtype=dtype)
    else:
        ones = np.ones(len(levels[0]), dtype)
        sets = []
        for own, members in zip(levels, columns, strict=True):
            known = np.flatnonzero(own >= 0)
            sets.append(ColumnSet(members, known, own[known], None, weight, ones))
        kernel = RowKernel(sets, len(levels[0]), weight, dtype)
    counts = np.concatenate(
        [np.bincount(block.levels[block.levels >= 0], minlength=block.n_levels) for block in blocks]
    )
    is_field = [bool(np.all(own >= 0)) for own in levels]
    order = np.arange(len(counts))
    return Rows(order, kernel, columns, counts, is_field, np.ones(len(counts)))


def _runs(lengths: Sequence[int]) -> list[IndexArray]:
    """Return 0, 1, 2, ... in parts of these lengths."""
    return np.split(np.arange(sum(lengths)), np.cumsum(lengths[:-1], dtype=np.intp))


def design_or_csr(X: Matrix) -> Design | sparse.csr_array:
    """Return X as `rows_of` takes it."""
    return X if isinstance(X, Design) else sparse.csr_array(X)


def digest(X: Design | sparse.csr_array) -> int:
    """Return a checksum of the rows, by which sums that were kept of them are recognized."""
    if isinstance(X, Design):
        parts = [block.levels for block in X.blocks]
    else:
        parts = [X.indptr, X.indices, X.data]
    return checksum(np.array(X.shape), *parts)


def checksum(*arrays: AnyArray) -> int:
    """Return one number for the bytes of all arrays, in their order."""
    number = 0
    for array in arrays:
        number = crc32(np.ascontiguousarray(array).data.cast("B") if array.size else b"", number)
    return number


def conflict_free_sets(X: sparse.csc_array) -> list[IndexArray]:
    """Split the columns of `X` into sets of which no two members share a row.

    Neighbors that form a field are a set. Others may be fields as well, their columns mixed: see
    `_mixed_fields`. Of what is left, greedy coloring: the columns, those with most nonzeros first,
    each join the first set that has none of their rows. Of each row a mask of bits says which sets
    have it. Columns of zeros join the first set. Sets and their members are in the order of the
    columns.
    """
    fields = _fields(X)
    others = np.setdiff1d(np.arange(X.shape[1]), np.concatenate([*fields, []]), assume_unique=True)
    if not len(others):
        return fields
    number, mask = _mixed_fields(X, others)
    masks = mask[None]
    counts = np.diff(X.indptr)
    left = others[(number[others] < 0) & (counts[others] > 0)]
    for column in left[np.argsort(-counts[left], kind="stable")]:
        rows = X.indices[X.indptr[column] : X.indptr[column + 1]]
        word, bit = _first_free(masks, rows)
        if word == len(masks):
            masks = np.concatenate([masks, np.zeros_like(masks[:1])])
        masks[word, rows] |= np.uint64(1 << bit)
        number[column] = 64 * word + bit
    np.maximum(number, 0, out=number)
    order = others[np.argsort(number[others], kind="stable")]
    sets = fields + np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    return sorted(sets, key=lambda members: members[0])


def _fields(X: sparse.csc_array) -> list[IndexArray]:
    """Return runs of neighboring columns of which each row has exactly one entry.

    Columns of zeros belong to the field before them.
    """
    n, starts = X.shape[0], X.indptr
    ends = np.searchsorted(starts, starts[:-1] + n, side="right") - 1
    candidates = np.flatnonzero(starts[ends] == starts[:-1] + n)
    if not len(candidates):
        return []
    # n entries are one of each row unless a column shares a row with an earlier one of the run.
    shares = np.maximum.accumulate(_earlier_with_a_row_in_common(X))
    fields, end = [], 0
    for first in candidates[shares[ends[candidates] - 1] < candidates]:
        if first >= end:
            end = ends[first]
            fields.append(np.arange(first, end))
    return fields


def _earlier_with_a_row_in_common(X: sparse.csc_array) -> IndexArray:
    """Return for each column the last one before it that has an entry in one of its rows, or -1."""
    by_row = _pattern(X).tocsr()
    before = np.roll(by_row.indices, 1)
    before[by_row.indptr[:-1][np.diff(by_row.indptr) > 0]] = -1
    earlier = np.full(X.shape[1], -1, before.dtype)
    for some in pieces(X.nnz, 1, PART):  # of which NumPy makes a copy
        np.maximum.at(earlier, by_row.indices[some], before[some])
    return earlier


def _mixed_fields(X: sparse.csc_array, others: IndexArray) -> tuple[IndexArray, AnyArray]:
    """Return the field that each of the columns `others` must belong to, -1 if several are free.

    Where every row has the same number of entries in `others`, at most 64, these may be so many
    fields, of which one row has a column each. Each column that shares rows with columns of all
    fields but one belongs to this one, and so on. The mask of each row says which fields it has.
    """
    number, mask = np.full(X.shape[1], -1), np.zeros(X.shape[0], np.uint64)
    own = _pattern(X)[:, others]
    n_fields, counts = own.nnz // X.shape[0], np.diff(own.indptr)
    if not 0 < n_fields <= 64 or np.any(own @ np.ones(len(others), np.int32) != n_fields):
        return number, mask
    by_row = sparse.csr_array(own)
    rarest = np.minimum.reduceat(counts[by_row.indices], by_row.indptr[:-1])
    first = rarest.argmax()
    fields = np.full(len(others), -1)
    columns, found = by_row.indices[n_fields * first :][:n_fields], np.arange(n_fields)
    left = np.flatnonzero(counts)
    while len(columns):
        fields[columns] = found
        bits = np.repeat(np.uint64(1) << found.astype(np.uint64), counts[columns])
        np.bitwise_or.at(mask, own[:, columns].indices, bits)
        left = left[fields[left] < 0]
        columns, found = _forced(own[:, left], mask, n_fields)
        columns = left[columns]
    number[others] = fields
    return number, mask


def _forced(X: sparse.csc_array, mask: AnyArray, n_fields: int) -> tuple[IndexArray, IndexArray]:
    """Return the columns that only one field can take beside all others of them, and this field."""
    if not X.shape[1]:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    full = np.uint64((1 << n_fields) - 1)
    free = full & ~np.bitwise_or.reduceat(mask[X.indices], X.indptr[:-1])
    columns = np.flatnonzero((free > 0) & (free & (free - np.uint64(1)) == 0))
    fields = np.log2(free[columns].astype(np.float64)).astype(np.intp)
    entries = X[:, columns]
    place = entries.indices + np.repeat(fields, np.diff(entries.indptr)) * len(mask)
    _, which, times = np.unique(place, return_inverse=True, return_counts=True)
    clashes = np.repeat(np.arange(len(columns)), np.diff(entries.indptr))[times[which] > 1]
    alone = np.setdiff1d(np.arange(len(columns)), clashes)
    return columns[alone], fields[alone]


def _first_free(masks: AnyArray, rows: IntArray) -> tuple[int, int]:
    """Return the word and bit of the first set that has none of `rows`, a word too many if none."""
    for word, mask in enumerate(masks):
        taken = int(np.bitwise_or.reduce(mask.take(rows)))
        free = ~taken & (taken + 1)
        if free < 1 << 64:
            return word, free.bit_length() - 1
    return len(masks), 0


def _divide_by_units(X: sparse.csc_array, weight: FloatArray | None) -> FloatArray:
    """Divide each column by its unit, in place; return the units (n_features,).

    The unit is the root of the mean square of the nonzero values, a row of weight 2 counting as
    two; where the values have but one absolute value, exactly that value, so that they become 1.
    Columns without weight have 1.
    """
    units = np.ones(X.shape[1])
    if np.all(X.data == 1):
        return units
    counts = np.diff(X.indptr)
    seen = counts > 0
    starts = X.indptr[:-1][seen]
    largest = np.maximum.reduceat(np.abs(X.data), starts)
    squares = np.square(X.data, dtype=np.float64)
    if weight is None:
        totals = counts[seen]
    else:
        of_entries = weight[X.indices]
        squares *= of_entries
        totals = np.add.reduceat(of_entries, starts)
    mean_squares = np.add.reduceat(squares, starts) / np.where(totals > 0, totals, 1)
    del squares
    root = np.sqrt(mean_squares)
    constant = np.isclose(largest, root, rtol=1e-12)
    units[seen] = np.where(totals > 0, np.where(constant, largest, root), 1)
    if np.any(units != 1):
        X.data = X.data.astype(np.float64, copy=False)
        X.data /= np.repeat(units, counts)
    return units


def _pattern(X: sparse.csc_array) -> sparse.csc_array:
    """Return X with ones of a byte for its entries."""
    return sparse.csc_array((np.ones(X.nnz, np.int8), X.indices, X.indptr), shape=X.shape)


def _binary(X: sparse.csc_array) -> BoolArray:
    """Return whether each column has no other nonzero value than 1."""
    binary, seen = np.ones(X.shape[1], np.bool_), np.flatnonzero(np.diff(X.indptr))
    if len(seen):
        binary[seen] = np.logical_and.reduceat(X.data == 1, X.indptr[seen])
    return binary


def _levels(X: sparse.csc_array) -> IndexArray:
    """(n_rows,) the column of each row's single entry, -1 where it has none."""
    levels = np.full(X.shape[0], -1)
    levels[X.indices] = np.repeat(np.arange(X.shape[1]), np.diff(X.indptr))
    return levels
