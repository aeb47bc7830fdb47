"""The row kernel: any sparse rows, one coordinate of theta at a time, sums of rows kept.

Columns come in sets of which no two members share a row, so that the members are independent given
all the rest. Kept in row order are q = sum_j x_j v_j (k, n_rows) and what the machine predicts.
With e the residual of a row, s its weight, and h = x for w or h = x (q - x v) for a factor v of the
row's column, coordinate j of theta has the conditional

    theta_j | rest ~ N(theta_j + (alpha sum s h e - sum_i Lambda_ji (theta_i - m_i)) / A, 1 / A)
    A = alpha sum s h^2 + Lambda_jj

(Rendle, "Factorization Machines with libFM", ACM TIST 2012, there with a diagonal Lambda). All
columns of a set cost two look-ups and two sums by column, whatever the number of sets: O(k) a
nonzero in all.

Rows are taken in pieces of fixed size whose sums are added in order: the result is the same to the
last bit however many threads work on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import DTypeLike

from fm.arrays import FloatArray, Map, RealArray
from fm.block_kernel import Residual
from fm.column_sets import ColumnSet, Piece, ScatteredPiece


class RowKernel:
    """Rows of any matrix or design, and their sums.

    sets : of columns that follow each other and together are all columns.
    n_rows : of the matrix.
    weight : (n_rows,) of the squared errors, or None for 1.
    dtype : of q.
    q : (k, n_rows) the rows' summed factors, without rows before `load`.
    prediction : (n_rows,) what the machine predicts, but for w0.
    """

    state = ("q", "prediction")

    def __init__(
        self,
        sets: Sequence[ColumnSet],
        n_rows: int,
        weight: FloatArray | None,
        dtype: DTypeLike,
    ) -> None:
        self.sets, self.weight, self._dtype = sets, weight, np.dtype(dtype)
        self.n_rows = n_rows
        self.columns = [members.columns for members in sets]
        self.counts = [members.counts for members in sets]
        self.q: RealArray = np.empty((0, 0), dtype)
        self.prediction: FloatArray = np.empty(0)
        self._own: OwnSums | None = None

    def weigh(self, weight: FloatArray | None) -> None:
        """Take over the rows' weights (n_rows,), or None for 1."""
        self.weight = weight
        for members in self.sets:
            members.weigh(weight)

    def load(self, theta: FloatArray) -> None:
        """Compute the rows' sums from `theta` (n_columns, k + 1) = [w V]."""
        own = OwnSums(theta.shape[1] - 1, self.n_rows, self._dtype)
        own.fill(self.sets, theta)
        self.q = own.factors
        self.prediction = own.bias + own.pairs()

    def own_sums(self, sets: Sequence[ColumnSet], theta: FloatArray) -> OwnSums:
        """Return what the columns of some sets sum to in each row, until the next call."""
        if len(sets) == len(self.sets):
            own = OwnSums(0, self.n_rows, self._dtype)
            own.fill_squares(sets, theta)
            own.factors = self.q
            own.bias = self.prediction - own.pairs()
            return own
        if self._own is None:
            self._own = OwnSums(theta.shape[1] - 1, self.n_rows, self._dtype)
        self._own.fill(sets, theta)
        return self._own

    def scale(self, own: OwnSums, c: float) -> None:
        """Follow the columns of `own`, whose factors were multiplied by c; overwrites these."""
        if own.factors is self.q:
            self.q *= c
        else:
            own.factors *= c - 1
            self.q += own.factors

    def sweep(
        self,
        target: FloatArray,
        w0: float,
        theta: FloatArray,
        priors: Sequence[tuple[FloatArray, FloatArray]],
        alpha: float,
        rng: np.random.Generator | None,
        each: Map = map,
    ) -> Residual:
        """Replace `theta` (n_columns, k + 1) by a draw, as `fm.block_kernel.BlockKernel.sweep`."""
        if not len(self.prediction):
            self.load(theta)
        e = target - self.prediction
        e -= w0
        coordinates, end = theta.T.copy(), 0
        runs = groupby(
            zip(self.sets, priors, strict=True), lambda one: one[0].scattered is not None
        )
        for scattered, run in runs:
            records = self._records(e) if scattered else np.empty((0, 0))
            for members, (mean, precision) in run:
                start, end = end, end + len(members.columns)
                own = coordinates[:, start:end]
                deviation = own - (mean[:, None] if mean.ndim == 1 else mean.T)
                noise = None if rng is None else rng.standard_normal(own.shape) / np.sqrt(alpha)
                given = own, deviation, precision / alpha, noise
                if members.scattered is not None:
                    self._draw_scattered(members.scattered, records, *given)
                else:
                    self._draw_in_pieces(members, e, *given, each)
            if scattered:
                e[:], self.q[...] = records[:, 0], records.T[1:]
        theta[:] = coordinates.T
        self.explain(target, w0, e)
        return Residual(self, target, None, e)

    def explain(self, target: FloatArray, w0: float, e: FloatArray) -> None:
        """Take over from the residual e what the machine predicts of `target`."""
        self.prediction = target - e
        self.prediction -= w0

    def shift(self, c: FloatArray) -> None:
        """Follow columns of value 1 in every row whose theta moved by c (k + 1,) in all.

        Predictions stay, with the help of w0.
        """
        self.prediction += c[0]
        if c[1:].any():
            self.q += c[1:, None].astype(self.q.dtype)

    def rescale(self, c: float) -> None:
        """Follow coefficients of which all w were multiplied by c and all V by sqrt(c)."""
        self.prediction *= c
        self.q *= np.sqrt(c)

    def _records(self, e: FloatArray) -> FloatArray:
        """Return e and q of each row side by side, (n_rows, k + 1).

        A row's numbers are then a cache line or two, rather than one each.
        """
        records = np.empty((self.n_rows, len(self.q) + 1))
        records[:, 0], records.T[1:] = e, self.q
        return records

    def _draw_in_pieces(
        self,
        members: ColumnSet,
        e: FloatArray,
        own: FloatArray,
        deviation: FloatArray,
        precision: FloatArray,
        noise: FloatArray | None,
        each: Map,
    ) -> None:
        """Draw theta (k + 1, n_columns) of one set; q and e follow.

        deviation : of theta from its prior mean. precision, noise : in units of the rows' noise.
        """
        passes = [_Pass(piece, self.q, e) for piece in members.pieces]
        step = None
        for j in range(len(own)):
            sums = each(lambda one, j=j, step=step: one.advance(step, j, own[j]), passes)
            slope, total = np.zeros(own.shape[1]), np.full(own.shape[1], precision[j, j])
            total += 0.0 if j else members.weights
            for she, shh in sums:
                slope += she
                if j:
                    total += shh
            step = slope - precision[j] @ deviation
            if noise is not None:
                step += noise[j] * np.sqrt(total)
            step /= np.where(total > 0, total, 1)
            own[j] += step
            deviation[j] += step
        for _ in each(lambda one: one.finish(step), passes):
            pass

    def _draw_scattered(
        self,
        piece: ScatteredPiece,
        records: FloatArray,
        own: FloatArray,
        deviation: FloatArray,
        precision: FloatArray,
        noise: FloatArray | None,
    ) -> None:
        """Do the same for a set of scattered rows.

        The factors' h do not depend on what is drawn here, so that all are looked up at once.
        """
        rows = records.take(piece.rows, axis=0, mode="clip")
        own_e, q = rows[:, 0].copy(), rows.T[1:]
        h = np.empty((len(own), piece.n), self._dtype)
        h[0] = 1
        np.subtract(q, piece.spread(own[1:].astype(h.dtype, copy=False)), out=h[1:])
        if piece.values is not None:
            h *= piece.values
        weighted = piece.weighted(h)
        total = piece.added(weighted * h) + precision.diagonal()[:, None]
        pull = precision @ -deviation
        if noise is not None:
            pull += noise * np.sqrt(total)
        total[total == 0] = 1
        change, effect = np.empty_like(own), np.empty_like(own_e)
        for j, step in enumerate(change):
            np.add(piece.added(np.multiply(weighted[j], own_e, out=effect)), pull[j], out=step)
            step /= total[j]
            pull -= precision[:, j, None] * step
            own_e -= np.multiply(h[j], piece.repeat(step), out=effect)
        rows[:, 0] = own_e
        q += piece.spread(change[1:])
        own += change
        record = np.dtype((np.void, rows.strides[0]))
        records.view(record)[:, 0].put(piece.rows, rows.view(record)[:, 0], mode="clip")


class OwnSums:
    """Sums over some columns in each row.

    bias : (n_rows,) of x w. factors : (k, n_rows) of x v. squares : (n_rows,) of |x v|^2.
    """

    def __init__(self, k: int, n_rows: int, dtype: DTypeLike) -> None:
        self.bias, self.squares = np.zeros(n_rows), np.zeros(n_rows)
        self.factors = np.zeros((k, n_rows), dtype)

    def fill(self, sets: Sequence[ColumnSet], theta: FloatArray) -> None:
        """Replace the sums by those of the columns of `sets`."""
        whole = bool(len(sets)) and sets[0].in_every_row
        if not whole:
            for sums in (self.bias, self.squares, self.factors):
                sums[...] = 0
        for s, members in enumerate(sets):
            own = theta[members.columns].T
            norms = np.einsum("jl,jl->l", own[1:], own[1:])
            bias, factors = np.ascontiguousarray(own[0]), own[1:].astype(self.factors.dtype)
            for piece in members.pieces:
                if whole and s == 0:
                    piece.spread(bias, self.bias[piece.rows])
                    piece.spread_squares(norms, self.squares[piece.rows])
                    for v, sums in zip(factors, self.factors, strict=True):
                        piece.spread(v, sums[piece.rows])
                    continue
                self.bias[piece.rows] += piece.spread(bias)
                self.squares[piece.rows] += piece.spread_squares(norms)
                for v, sums in zip(factors, self.factors, strict=True):
                    sums[piece.rows] += piece.spread(v)

    def fill_squares(self, sets: Sequence[ColumnSet], theta: FloatArray) -> None:
        """Add the squares of the columns of `sets`."""
        norms = np.vecdot(theta[:, 1:], theta[:, 1:])
        for members in sets:
            own = norms[members.columns]
            for piece in members.pieces:
                self.squares[piece.rows] += piece.spread_squares(own)

    def pairs(self) -> FloatArray:
        """Return the sum of <x_i v_i, x_j v_j> over pairs of the columns, (n_rows,)."""
        return (_inner(self.factors, self.factors) - self.squares) / 2

    def across(self, q: RealArray) -> FloatArray:
        """Return the sum of <x v, q> less `squares`, (n_rows,)."""
        inner = _inner(self.factors, q)
        inner -= self.squares
        return inner


class _Pass:
    """One piece on its way through the coordinates of a set."""

    def __init__(self, piece: Piece, q: RealArray, e: FloatArray) -> None:
        self._piece, self._q, self._all_e = piece, q, e
        self._e = e[piece.rows]  # a view, or a copy that `finish` writes back
        self._j = 0
        self._h: RealArray = self._e
        self._own_q: RealArray = self._e

    def advance(
        self, step: FloatArray | None, j: int, own: FloatArray
    ) -> tuple[FloatArray, FloatArray | float]:
        """Apply the step of the last coordinate; return (sum s h e, sum s h^2) of coordinate j."""
        piece = self._piece
        if step is not None:
            self._apply(step)
        self._j = j
        if j == 0:
            return piece.sums(self._e), 0.0
        self._own_q = self._q[j - 1][piece.rows]
        self._h = piece.spread(own.astype(self._q.dtype, copy=False))
        np.subtract(self._own_q, self._h, out=self._h)
        squares = self._h * self._h
        curvature = piece.squares(squares)
        return piece.sums(np.multiply(self._h, self._e, out=squares)), curvature

    def finish(self, step: FloatArray | None) -> None:
        """Apply the step of the last coordinate, and write back what is no view."""
        if step is not None:
            self._apply(step)
        if not isinstance(self._piece.rows, slice):
            self._all_e[self._piece.rows] = self._e

    def _apply(self, step: FloatArray) -> None:
        change = self._piece.spread(step.astype(self._q.dtype, copy=False))
        if self._j == 0:
            self._e -= change
            return
        self._own_q += change
        if not isinstance(self._piece.rows, slice):
            self._q[self._j - 1][self._piece.rows] = self._own_q
        self._h *= change
        self._e -= self._h


def _inner(a: RealArray, b: RealArray) -> FloatArray:
    """Return the inner products of the columns of a and b (k, n), (n,)."""
    inner: FloatArray = np.einsum("jn,jn->n", a, b, dtype=np.float64)
    return inner
