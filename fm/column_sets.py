"""Columns of which no two share a row: what the row kernel looks up and sums at once.

Rows are taken in pieces of fixed size whose sums are added in order: the result is the same to the
last bit however many threads work on them.
"""

from __future__ import annotations

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
        rows: IntArray,
        levels: IntArray,
        values: RealArray | None,
        n_levels: int,
        ones: RealArray,
    ) -> None:
        """Keep the entries.

        ones : as many as rows of the matrix, shared by all pieces.
        """
        self.rows, self.values = _span(rows), values
        self._levels, self.n, self._ones = levels.astype(np.intp), len(rows), ones[: len(rows)]
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


class SingleColumn(Piece):
    """The same where the set is one column: sums are dot products."""

    def __init__(self, rows: IntArray, values: RealArray | None, ones: RealArray) -> None:
        self.rows, self.n = _span(rows), len(rows)
        self.values = self._x = ones[: self.n] if values is None else values

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


class ColumnSet:
    """Columns of which no two share a row, with the pieces of their entries.

    weights : (n_columns,) sum of s x^2. counts : (n_columns,) entries.
    in_every_row : whether every row has an entry.
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

        rows, levels, values : of each entry, in order of the rows; values None where all are 1.
        """
        self.columns, n = columns, len(columns)
        self.in_every_row = len(rows) == len(ones)
        if values is not None:
            values = values.astype(ones.dtype)
        step = max(PIECE, 2 * n)
        self.pieces: list[Piece] = []
        for first in range(0, len(rows), step):
            some = slice(first, first + step)
            of_piece = None if values is None else values[some]
            self.pieces.append(
                SingleColumn(rows[some], of_piece, ones)
                if n == 1
                else Piece(rows[some], levels[some], of_piece, n, ones)
            )
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


def _span(rows: IntArray) -> IntArray | slice:
    """Return the rows as a slice if they are consecutive."""
    full = rows[-1] - rows[0] + 1 == len(rows)
    return slice(int(rows[0]), int(rows[-1]) + 1) if full else rows
