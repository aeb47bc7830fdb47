"""The row kernel: any sparse rows, one coordinate of theta at a time, with each row's sums kept across sweeps.

Columns come in sets of which no two members share a row, so that the members are independent given all the
rest. Kept in row order are q = sum_j x_j v_j (k, n_rows) and what the machine predicts. With e the residual of a
row, s its weight, and h = x for w or h = x (q - x v) for a factor v of the row's column, coordinate j of theta
has the conditional

    theta_j | rest ~ N(theta_j + (alpha sum s h e - sum_i Lambda_ji (theta_i - m_i)) / A, 1 / A)
    A = alpha sum s h^2 + Lambda_jj

(Rendle, "Factorization Machines with libFM", ACM TIST 2012, there with a diagonal Lambda). All columns of a
set cost two look-ups and two sums by column, whatever the number of sets: O(k) a nonzero in all.

Rows are taken in pieces of fixed size whose sums are added in order: the result is the same to the last bit however
many threads work on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from fm.block_kernel import Residual
from fm.threads import Map

PIECE = 2**16
"""Entries of a piece: five arrays of float64 that a core's cache nearly holds."""


class Piece:
    """Entries of a set of columns in some rows, one entry a row.

    rows : the rows, a slice if they are consecutive.
    spread(t) : x t_l for the column l of each entry, or the one number that stands for all.
    sums(u), squares(u) : sums over each column's entries of s x u and of s x^2 u.
    """

    def __init__(
        self,
        rows: NDArray[np.integer],
        levels: NDArray[np.integer],
        values: NDArray | None,
        weight: NDArray | None,
        n_levels: int,
        ones: NDArray,
    ) -> None:
        full = rows[-1] - rows[0] + 1 == len(rows)
        self.rows = slice(int(rows[0]), int(rows[-1]) + 1) if full else rows
        self._levels, self.values, self._n = levels.astype(np.intp), values, len(rows)
        order = np.argsort(levels, kind="stable").astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(np.bincount(levels, minlength=n_levels))])

        def by_level(entries: NDArray | None) -> sparse.csr_array:
            data = ones[: self._n] if entries is None else entries[order].astype(ones.dtype)
            parts = data, order, starts.astype(np.int32)
            return sparse.csr_array(parts, shape=(n_levels, self._n))

        plain = values is None
        self._sums = by_level(_product(weight, values))
        self._squares = self._sums if plain else by_level(_product(weight, values * values))

    def spread(self, t: NDArray) -> NDArray:
        own = t.take(self._levels)
        if self.values is not None:
            own *= self.values
        return own

    def spread_squares(self, t: NDArray) -> NDArray:
        own = self.spread(t)
        return own if self.values is None else own * self.values

    def sums(self, u: NDArray) -> NDArray[np.float64]:
        return self._sums @ u

    def squares(self, u: NDArray) -> NDArray[np.float64]:
        return self._squares @ u

    def weights(self) -> NDArray[np.float64]:
        """Sum of s x^2 of each column."""
        return self._squares @ np.ones(self._n)

    def counts(self) -> NDArray[np.intp]:
        """Entries of each column."""
        return np.diff(self._sums.indptr)


class SingleColumn(Piece):
    """The same where the set is one column: sums are dot products."""

    def __init__(self, rows, levels, values, weight, n_levels, ones) -> None:
        full = rows[-1] - rows[0] + 1 == len(rows)
        self.rows = slice(int(rows[0]), int(rows[-1]) + 1) if full else rows
        self.values, self._n = values, len(rows)
        x = ones[: self._n] if values is None else values
        self._sums = x if weight is None else weight * x
        self._squares = self._sums if values is None else self._sums * x

    def spread(self, t: NDArray) -> NDArray:
        return t if self.values is None else t[0] * self.values

    def sums(self, u: NDArray) -> NDArray[np.float64]:
        return np.atleast_1d(self._sums @ u)

    def squares(self, u: NDArray) -> NDArray[np.float64]:
        return np.atleast_1d(self._squares @ u)

    def counts(self) -> NDArray[np.intp]:
        return np.array([self._n])


class ColumnSet:
    """Columns of which no two share a row, with the pieces of their entries."""

    def __init__(
        self,
        columns: NDArray[np.intp],
        rows: NDArray[np.integer],
        levels: NDArray[np.integer],
        values: NDArray | None,
        weight: NDArray | None,
        ones: NDArray,
    ) -> None:
        """rows, levels, values : of each entry, in order of the rows; values None where all are 1."""
        self.columns, n = columns, len(columns)
        if values is not None:
            values = values.astype(ones.dtype)
        kind = SingleColumn if n == 1 else Piece
        step = max(PIECE, 2 * n)
        self.pieces = []
        for first in range(0, len(rows), step):
            some = slice(first, first + step)
            row_weight = None if weight is None else weight[rows[some]].astype(ones.dtype)
            of_piece = None if values is None else values[some]
            self.pieces.append(kind(rows[some], levels[some], of_piece, row_weight, n, ones))
        self.weights = sum((piece.weights() for piece in self.pieces), np.zeros(n))
        self.counts = sum((piece.counts() for piece in self.pieces), np.zeros(n, np.intp))


class RowKernel:
    """Rows of any matrix or design, and their sums.

    Parameters
    ----------
    sets : of columns that together are all columns.
    n_rows : of the matrix.
    weight : (n_rows,) of the squared errors, or None for 1.
    dtype : of q.

    Attributes
    ----------
    q : (k, n_rows) the rows' summed factors, or None before `load`.
    prediction : (n_rows,) what the machine predicts, but for w0.
    variance : (n_columns, k + 1) of the last sweep's conditionals, 1 / A.
    curvature : (n_columns, k + 1) sum of s h^2 in the last sweep.
    """

    state = ("q", "prediction")

    def __init__(
        self, sets: Sequence[ColumnSet], n_rows: int, weight: NDArray | None, dtype: DTypeLike
    ) -> None:
        self.sets, self.weight, self._dtype = sets, weight, np.dtype(dtype)
        self.n_rows = n_rows
        self.columns = [members.columns for members in sets]
        self.counts = [members.counts for members in sets]
        self.q, self.prediction = None, None
        self.variance, self.curvature = None, None

    def load(self, theta: NDArray) -> None:
        """Compute the rows' sums from `theta` (n_columns, k + 1) = [w V]."""
        own = self.own_sums(self.sets, theta)
        self.q = own.factors
        self.prediction = own.bias + own.pairs()

    def sweep(
        self,
        target: NDArray,
        w0: float,
        theta: NDArray,
        priors: Sequence[tuple[NDArray, NDArray]],
        alpha: float,
        rng: np.random.Generator | None,
        each: Map = map,
    ) -> Residual:
        """Replace `theta` (n_columns, k + 1) by a draw, set after set; as `fm.block_kernel.BlockKernel.sweep`."""
        if self.q is None:
            self.load(theta)
        if self.curvature is None or self.curvature.shape != theta.shape:
            self.variance, self.curvature = np.zeros(theta.shape), np.zeros(theta.shape)
        e = target - self.prediction
        e -= w0
        for members, (mean, precision) in zip(self.sets, priors, strict=True):
            self._update(members, e, theta, mean, precision, alpha, rng, each)
        self.explain(target, w0, e)
        return Residual(self, target, None, e)

    def explain(self, target: NDArray, w0: float, e: NDArray) -> None:
        """Take over from the residual e what the machine predicts of `target`."""
        self.prediction = target - e
        self.prediction -= w0

    def shift(self, c: NDArray) -> None:
        """Follow a column of value 1 in every row whose theta moved by c (k + 1,), all predictions staying with w0's help."""
        self.prediction += c[0]
        if c[1:].any():
            self.q += c[1:, None].astype(self.q.dtype)

    def rescale(self, c: float) -> None:
        """Follow coefficients of which all w were multiplied by c and all V by sqrt(c)."""
        self.prediction *= c
        self.q *= np.sqrt(c)

    def _update(
        self,
        members: ColumnSet,
        e: NDArray,
        theta: NDArray,
        mean: NDArray,
        precision: NDArray,
        alpha: float,
        rng: np.random.Generator | None,
        each: Map,
    ) -> None:
        """Draw theta of one set of columns, coordinate after coordinate, and have q and e follow."""
        own = theta[members.columns].T.copy()
        deviation = own - (mean[:, None] if mean.ndim == 1 else mean.T)
        noise = None if rng is None else rng.standard_normal(own.shape)
        passes = [_Pass(piece, self.q, e) for piece in members.pieces]
        curvature = np.zeros(own.shape)
        step = None
        for j in range(len(own)):
            sums = each(lambda one, j=j, step=step: one.advance(step, j, own[j]), passes)
            slope = np.zeros(own.shape[1])
            curvature[j] = members.weights if j == 0 else 0
            for she, shh in sums:
                slope += she
                if j:
                    curvature[j] += shh
            total = alpha * curvature[j] + precision[j, j]
            step = alpha * slope - precision[j] @ deviation
            if noise is not None:
                step += noise[j] * np.sqrt(total)
            step /= np.where(total > 0, total, 1)
            own[j] += step
            deviation[j] += step
        for _ in each(lambda one: one.finish(step), passes):
            pass
        theta[members.columns] = own.T
        self.curvature[members.columns] = curvature.T
        total = alpha * curvature + np.diag(precision)[:, None]
        self.variance[members.columns] = 1 / np.where(total > 0, total, 1).T

    def own_sums(self, sets: Sequence[ColumnSet], theta: NDArray) -> OwnSums:
        """What the columns of `sets`, some or all, sum to in each row."""
        k = theta.shape[1] - 1
        sums = OwnSums(
            np.zeros(self.n_rows), np.zeros((k, self.n_rows), self._dtype), np.zeros(self.n_rows)
        )
        for members in sets:
            own = theta[members.columns].T
            norms = np.einsum("jl,jl->l", own[1:], own[1:])
            for piece in members.pieces:
                sums.bias[piece.rows] += piece.spread(np.ascontiguousarray(own[0]))
                sums.squares[piece.rows] += piece.spread_squares(norms)
                for j in range(k):
                    sums.factors[j][piece.rows] += piece.spread(own[j + 1].astype(self._dtype))
        return sums


class OwnSums:
    """Sums over some columns in each row: bias (n,), factors (k, n), and `squares` (n,) of |x v|^2."""

    def __init__(self, bias: NDArray, factors: NDArray, squares: NDArray) -> None:
        self.bias, self.factors, self.squares = bias, factors, squares

    def pairs(self) -> NDArray[np.float64]:
        """(n,): sum of <x_i v_i, x_j v_j> over pairs of the columns."""
        return (_norms(self.factors) - self.squares) / 2


class _Pass:
    """One piece on its way through the coordinates of a set."""

    def __init__(self, piece: Piece, q: NDArray, e: NDArray) -> None:
        self._piece, self._q, self._all_e = piece, q, e
        self._j, self._h, self._own_q = 0, None, None
        self._e = e[piece.rows]  # a view, or a copy that `finish` writes back

    def advance(self, step: NDArray | None, j: int, own: NDArray) -> tuple[NDArray, NDArray | None]:
        """Apply the step of the last coordinate, then (sum s h e, sum s h^2) of coordinate j by column."""
        piece = self._piece
        if step is not None:
            self._apply(step)
        self._j = j
        if j == 0:
            return piece.sums(self._e), None
        self._own_q = self._q[j - 1][piece.rows]
        self._h = self._own_q - piece.spread(own.astype(self._q.dtype, copy=False))
        squares = self._h * self._h
        curvature = piece.squares(squares)
        return piece.sums(np.multiply(self._h, self._e, out=squares)), curvature

    def finish(self, step: NDArray) -> None:
        self._apply(step)
        if not isinstance(self._piece.rows, slice):
            self._all_e[self._piece.rows] = self._e

    def _apply(self, step: NDArray) -> None:
        change = self._piece.spread(step.astype(self._q.dtype, copy=False))
        if self._j == 0:
            self._e -= change
            return
        self._own_q += change
        if not isinstance(self._piece.rows, slice):
            self._q[self._j - 1][self._piece.rows] = self._own_q
        self._h *= change
        self._e -= self._h


def _product(a: NDArray | None, b: NDArray | None) -> NDArray | None:
    if a is None or b is None:
        return a if b is None else b
    return a * b


def _norms(x: NDArray) -> NDArray[np.float64]:
    """(n,): squared lengths of the columns of x (k, n)."""
    return np.einsum("jn,jn->n", x, x, dtype=np.float64)
