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
        weight: RealArray | None,
        n_levels: int,
        ones: RealArray,
    ) -> None:
        """Keep the entries.

        ones : as many as rows of the matrix, shared by all pieces.
        """
        self.rows, self.values = _span(rows), values
        self._levels, self.n = levels.astype(np.intp), len(rows)
        order = np.argsort(levels, kind="stable").astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(np.bincount(levels, minlength=n_levels))])

        def by_level(entries: RealArray | None) -> sparse.csr_array:
            data = ones[: self.n] if entries is None else entries[order].astype(ones.dtype)
            parts = data, order, starts.astype(np.int32)
            return sparse.csr_array(parts, shape=(n_levels, self.n))

        plain = values is None
        self._sums = by_level(_product(weight, values))
        self._squares = (
            self._sums if plain else by_level(_product(_product(weight, values), values))
        )

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

    def __init__(
        self, rows: IntArray, values: RealArray | None, weight: RealArray | None, ones: RealArray
    ) -> None:
        self.rows, self.n = _span(rows), len(rows)
        self.values = self._x = ones[: self.n] if values is None else values
        self._sums = self._x if weight is None else weight * self._x
        self._squares = self._sums * self._x

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
            row_weight = None if weight is None else weight[rows[some]].astype(ones.dtype)
            of_piece = None if values is None else values[some]
            self.pieces.append(
                SingleColumn(rows[some], of_piece, row_weight, ones)
                if n == 1
                else Piece(rows[some], levels[some], of_piece, row_weight, n, ones)
            )
        self.weights, self.counts = np.zeros(n), np.zeros(n, np.intp)
        for piece in self.pieces:
            self.weights += piece.squares(ones[: piece.n])
            self.counts += piece.counts()


def _product(a: RealArray | None, b: RealArray | None) -> RealArray | None:
    if a is None or b is None:
        return a if b is None else b
    return a * b


def _span(rows: IntArray) -> IntArray | slice:
    """Return the rows as a slice if they are consecutive."""
    full = rows[-1] - rows[0] + 1 == len(rows)
    return slice(int(rows[0]), int(rows[-1]) + 1) if full else rows
