"""Columns of which no two share a row: what the row kernel looks up and sums at once.

Rows are taken in pieces of fixed size whose sums are added in order: the result is the same to the
last bit however many threads work on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from fm.arrays import FloatArray, IndexArray, IntArray, RealArray

PIECE = 2**16
"""Entries of a piece: five arrays of float64 that a core's cache nearly holds."""


class Piece:
    """Entries of a set of columns in some rows, one entry a row.

    rows : the rows, a slice if they are consecutive.
    """

    def __init__(
        self,
        rows: IntArray | slice,
        levels: IntArray,
        values: RealArray | None,
        n_levels: int,
        ones: RealArray,
    ) -> None:
        """Keep the entries.

        ones : as many as rows of the matrix, shared by all pieces.
        """
        self.rows, self.values, self.n = rows, values, len(levels)
        self._levels, self._ones = levels.astype(np.intp), ones[: self.n]
        order = np.argsort(levels, kind="stable").astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(np.bincount(levels, minlength=n_levels))])
        parts = self._ones, order, starts.astype(np.int32)
        self._sums = sparse.csr_array(parts, shape=(n_levels, self.n))
        self._squares = self._sums if values is None else self._sums.copy()

    def weigh(self, weight: FloatArray | None) -> None:
        """Take over the weights of all rows (n_rows,), or None for 1."""
        weight = None if weight is None else weight[self.rows].astype(self._ones.dtype)
        order = self._sums.indices
        if self.values is None:
            self._sums.data = self._ones if weight is None else weight[order]
            return
        weighted = self.values if weight is None else weight * self.values
        self._sums.data = weighted[order]
        self._squares.data = (weighted * self.values)[order]

    def spread(self, t: RealArray, out: RealArray | None = None) -> RealArray:
        """Return x t_l for the column l of each entry."""
        out = t.take(self._levels, out=out, mode="clip")
        if self.values is not None:
            out *= self.values
        return out

    def spread_squares(self, t: RealArray, out: RealArray | None = None) -> RealArray:
        """Return x^2 t_l for the column l of each entry."""
        out = self.spread(t, out)
        if self.values is not None:
            out *= self.values
        return out

    def sums(self, u: RealArray) -> FloatArray:
        """Return the sum over each column's entries of s x u."""
        sums: FloatArray = self._sums @ u
        return sums

    def squares(self, u: RealArray) -> FloatArray:
        """Return the sum over each column's entries of s x^2 u."""
        sums: FloatArray = self._squares @ u
        return sums

    def counts(self) -> IndexArray:
        """Return the number of entries of each column."""
        return np.diff(self._sums.indptr)


class ScatteredPiece(Piece):
    """All entries of a set in few rows here and there, sorted by column.

    Bags of words have many such sets. What counts is the number of calls, not the order of rows.
    """

    rows: IntArray

    def __init__(
        self, rows: IntArray, levels: IntArray, values: RealArray | None, n_levels: int
    ) -> None:
        if np.any(levels[1:] < levels[:-1]):
            order = np.argsort(levels, kind="stable")
            rows, values = rows[order], None if values is None else values[order]
        self.rows, self.values, self.n = rows.astype(np.intp), values, len(rows)
        self._counts = np.bincount(levels, minlength=n_levels)
        self._some = np.flatnonzero(self._counts)
        self._starts = (np.cumsum(self._counts) - self._counts)[self._some]

    def weigh(self, weight: FloatArray | None) -> None:
        """Take over the weights of all rows (n_rows,), or None for 1."""
        self._weight = None if weight is None else weight[self.rows]

    def repeat(self, t: RealArray) -> RealArray:
        """Return t_l for the column l of each entry, t (..., n_columns)."""
        return t.repeat(self._counts, axis=-1)

    def spread(self, t: RealArray, out: RealArray | None = None) -> RealArray:
        """Return x t_l for the column l of each entry, t (..., n_columns)."""
        spread = self.repeat(t)
        return spread if self.values is None else np.multiply(spread, self.values, out=spread)

    def weighted(self, u: RealArray) -> RealArray:
        """Return s u for the weight s of each entry's row, u (..., n); u itself if all are 1."""
        return u if self._weight is None else u * self._weight

    def added(self, u: RealArray) -> RealArray:
        """Return the sum of u (..., n) over each column's entries."""
        sums = np.add.reduceat(u, self._starts, axis=-1)
        if len(self._some) == len(self._counts):
            return sums
        total = np.zeros((*u.shape[:-1], len(self._counts)), u.dtype)
        total[..., self._some] = sums
        return total

    def squares(self, u: RealArray) -> FloatArray:
        """Return the sum over each column's entries of s x^2 u."""
        u = u if self.values is None else u * self.values**2
        return self.added(self.weighted(u)).astype(np.float64, copy=False)

    def counts(self) -> IndexArray:
        """Return the number of entries of each column."""
        return self._counts


class SingleColumn(Piece):
    """The same where the set is one column: sums are dot products."""

    def __init__(
        self, rows: IntArray | slice, values: RealArray | None, n: int, ones: RealArray
    ) -> None:
        self.rows, self.n = rows, n
        self.values = self._x = ones[:n] if values is None else values

    def weigh(self, weight: FloatArray | None) -> None:
        """Take over the weights of all rows (n_rows,), or None for 1."""
        x = self._x
        self._sums = x if weight is None else weight[self.rows].astype(x.dtype) * x
        self._squares = self._sums * x

    def spread(self, t: RealArray, out: RealArray | None = None) -> RealArray:
        """Return x t of the column."""
        if out is None:
            out = np.empty_like(self._x)
        return np.multiply(t[0], self._x, out=out)

    def sums(self, u: RealArray) -> FloatArray:
        """Return the sum of s x u."""
        return np.atleast_1d(self._sums @ u)

    def squares(self, u: RealArray) -> FloatArray:
        """Return the sum of s x^2 u."""
        return np.atleast_1d(self._squares @ u)

    def counts(self) -> IndexArray:
        """Return the number of entries."""
        return np.array([self.n])


def _pieces(
    rows: IntArray, levels: IntArray, values: RealArray | None, n_levels: int, ones: RealArray
) -> list[Piece]:
    """Return the entries in pieces of about `PIECE`."""
    step = max(PIECE, 2 * n_levels)
    if n_levels > 1 and 0 < len(rows) <= step and np.ptp(rows) >= len(rows):
        return [ScatteredPiece(rows, levels, values, n_levels)]
    if np.any(rows[1:] < rows[:-1]):
        order = np.argsort(rows, kind="stable")
        rows, levels, values = rows[order], levels[order], None if values is None else values[order]
    pieces: list[Piece] = []
    for first in range(0, len(rows), step):
        some = slice(first, first + step)
        span, own = _span(rows[some]), None if values is None else values[some]
        if n_levels == 1:
            pieces.append(SingleColumn(span, own, len(rows[some]), ones))
        else:
            pieces.append(Piece(span, levels[some], own, n_levels, ones))
    return pieces


def _span(rows: IntArray) -> IntArray | slice:
    """Return the rows as a slice if they are consecutive."""
    full = rows[-1] - rows[0] + 1 == len(rows)
    return slice(int(rows[0]), int(rows[-1]) + 1) if full else rows.astype(np.intp)


class ColumnSet:
    """Columns of which no two share a row, with the pieces of their entries.

    weights : (n_columns,) sum of s x^2. counts : (n_columns,) entries.
    in_every_row : whether every row has an entry.
    scattered : the only piece, if its rows are scattered.
    """

    def __init__(
        self,
        columns: IndexArray,
        rows: IntArray,
        levels: IntArray,
        values: RealArray | None,
        weight: FloatArray | None,
        ones: RealArray,
    ) -> None:
        """Keep the entries.

        rows, levels, values : of each entry, in order of the rows or of the levels and then the
            rows; values None where all are 1.
        """
        self.columns, n = columns, len(columns)
        self.in_every_row = len(rows) == len(ones)
        if values is not None:
            values = values.astype(ones.dtype, copy=False)
        self.pieces = _pieces(rows, levels, values, n, ones)
        first = self.pieces[0] if self.pieces else None
        self.scattered = first if isinstance(first, ScatteredPiece) else None
        self._ones, self.counts = ones, np.zeros(n, np.intp)
        for piece in self.pieces:
            self.counts += piece.counts()
        self.weigh(weight)

    def weigh(self, weight: FloatArray | None) -> None:
        """Take over the rows' weights (n_rows,), or None for 1."""
        self.weights = np.zeros(len(self.columns))
        for piece in self.pieces:
            piece.weigh(weight)
            self.weights += piece.squares(self._ones[: piece.n])


def sets_of_columns(
    X: sparse.csc_array,
    sets: Sequence[IndexArray],
    one_hot: Sequence[bool],
    weight: FloatArray | None,
    ones: RealArray,
) -> list[ColumnSet]:
    """Return the sets, whose columns follow each other in X; some share its memory."""
    found, end = [], 0
    for columns, hot in zip(sets, one_hot, strict=True):
        start, end = end, end + len(columns)
        own = slice(X.indptr[start], X.indptr[end])
        levels = np.repeat(np.arange(len(columns)), np.diff(X.indptr[start : end + 1]))
        values = None if hot else X.data[own]
        found.append(ColumnSet(columns, X.indices[own], levels, values, weight, ones))
    return found
