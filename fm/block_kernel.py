"""The conditional of one block of a factorization machine given the rest, for ALS and Gibbs.

Given the other blocks, the model is linear in a level's theta = (w, v): a row in which the level
occurs with value x (1 where the block is one-hot) has regressors h = x (1, q), q being the row's
summed factors without this block, and target r, what the rest leaves unexplained. With noise
precision alpha, row weight s and prior theta ~ N(m, Lambda^-1), independently over levels,

    theta | rest ~ N(A^-1 b, A^-1)
    A = alpha sum s h h' + Lambda,   b = alpha sum s r h + Lambda m

ALS takes the mean, with alpha = 1 and Lambda the penalties; Gibbs draws. (Rendle, "Factorization
Machines with libFM", ACM TIST 2012, has the same for one coordinate of theta at a time.)

All sums come from a few batched products over chunks of rows (`fm.blocks`), all theta from Cholesky
factorizations of many levels at once, the levels being the last axis. Cost per block:
O(rows c^2 + levels c^3), for c coordinates. A linear block's levels have w alone, and cost a count
and a look-up per row, whatever k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fm.arrays import FloatArray, IndexArray, Map, RealArray
from fm.blocks import Batch, Blocks, Layout, Slab
from fm.design import Block

if TYPE_CHECKING:
    from fm.row_kernel import RowKernel

FACTORS = 16
"""Factors drawn at once."""

Regressors = Callable[[Slab], RealArray]
"""Gives sqrt(s) (h, r) of a slab's slots, (chunks, length, c + 1); 0 where a slot is empty."""

ThetaPrior = tuple[RealArray, RealArray]
"""Prior mean, (columns, c) or (c,), and precision, (c, c), of the theta of some columns."""


@dataclass(frozen=True)
class Left:
    """Sums over rows of what is left, e = r - h theta: `total` of s h_0 e, `squares` of s e^2."""

    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, gram: FloatArray, theta: FloatArray) -> Left:
        """Return the sums from the levels' `gram` (c + 1, c + 1, levels) and theta (c, levels)."""
        he = gram[-1, :-1] - np.einsum("ijn,jn->in", gram[:-1, :-1], theta)
        return cls(he[0].sum(), gram[-1, -1].sum() - np.vdot(theta, gram[-1, :-1] + he))

    def __add__(self, other: Left) -> Left:
        return Left(self.total + other.total, self.squares + other.squares)


def conditional(
    layout: Layout,
    regressors: Regressors,
    linear: RealArray,
    precision: RealArray,
    alpha: float,
    rng: np.random.Generator | None,
    each: Map = map,
) -> tuple[FloatArray, Left]:
    """Draw all levels' theta from their conditional; or take its mean, if `rng` is None.

    layout, regressors : where the rows of each level are, and what they bring.
    linear : (n_levels, c), Lambda m of each level. precision : (c, c), Lambda.
    alpha, rng : precision and source of the noise.
    each : works on batches of levels.
    Returns theta (n_levels, c), and sums over the rows that have a level.
    """
    noise = (
        np.zeros(linear.shape)
        if rng is None
        else rng.standard_normal(linear.shape) / np.sqrt(alpha)
    )

    def update(batch: Batch) -> tuple[FloatArray, Left]:
        gram = _gram(regressors, batch, len(precision))
        system = gram[:, :-1].copy()
        system[:-1] += (precision / alpha)[..., None]
        system[-1] += linear[batch.levels].T / alpha
        drawn = _solve(system, noise[batch.levels].T)
        return drawn.T, Left.of(gram, drawn)

    theta, left = np.empty(linear.shape), Left()
    for batch, (drawn, of_batch) in zip(layout.batches, each(update, layout.batches), strict=True):
        theta[batch.levels] = drawn
        left += of_batch
    return theta, left


def _gram(regressors: Regressors, batch: Batch, c: int) -> FloatArray:
    """Return (c + 1, c + 1, levels): sum s (h, r) (h, r)'."""
    of_chunks = np.empty((batch.add.shape[1], (c + 1) ** 2))
    at = 0
    for slab in batch.slabs:
        x = regressors(slab)
        grams = of_chunks[at : at + len(x)].reshape(-1, c + 1, c + 1)
        np.matmul(x.transpose(0, 2, 1), x, out=grams)
        at += len(x)
    return np.ascontiguousarray((batch.add @ of_chunks).T).reshape(c + 1, c + 1, -1)


def _solve(a: FloatArray, noise: FloatArray) -> FloatArray:
    """Return (c, levels): A^-1 b + L'^-1 noise, with A = L L'.

    Overwrites `a` (c + 1, c, levels), which is A and below it b. Cholesky's factorization, column
    by column of all levels at once, which turns the last row into L^-1 b; then back substitution.
    """
    c = a.shape[1]
    for j in range(c):
        a[j:, j] -= np.einsum("ipn,pn->in", a[j:, :j], a[j, :j])
        a[j, j] = np.sqrt(a[j, j])
        a[j + 1 :, j] *= 1 / a[j, j]
    x = a[c] + noise
    for j in reversed(range(c)):
        x[j] /= a[j, j]
        x[:j] -= a[j, :j] * x[j]
    if not np.isfinite(x).all():
        raise np.linalg.LinAlgError(
            "values, weights or penalties so extreme that normal equations have no solution"
        )
    return x


@dataclass(frozen=True)
class Residual:
    """What is left of a target when `rows` have predicted, and linear blocks on top of them.

    left : the sums over rows, if known without looking at them.
    e : (n_rows,), if known already.
    """

    rows: Blocks | RowKernel
    target: FloatArray
    left: Left | None
    e: FloatArray | None = None

    def vector(self) -> FloatArray:
        """Return e (n_rows,)."""
        if self.e is not None:
            return self.e
        assert isinstance(self.rows, Blocks)  # the row kernel keeps e
        return self.target - self.rows.prediction()

    def sums(self) -> tuple[float, float]:
        """Return the sums of s e and of s e^2 over the rows, s being their weights."""
        if self.left is not None:
            return self.left.total, max(self.left.squares, 0.0)
        e = self.vector()
        weighted = e if self.rows.weight is None else self.rows.weight * e
        return weighted.sum(), np.dot(weighted, e)


class BlockKernel(Blocks):
    """One-hot blocks, all levels of a block drawn at once.

    state : names of what the next sweep depends on, beside the coefficients.
    """

    state = ()

    @property
    def counts(self) -> list[IndexArray]:
        """Return the number of rows of each column, set by set."""
        return [layout.counts for layout in self.layouts]

    def sweep(
        self,
        target: FloatArray,
        w0: float,
        theta: FloatArray,
        priors: Sequence[ThetaPrior],
        alpha: float,
        rng: np.random.Generator | None,
        each: Map = map,
    ) -> Residual:
        """Replace `theta` (n_columns, k + 1) = [w V] by a draw, set after set of `columns`.

        A machine of many factors is a sum of machines of few, since features interact through an
        inner product, which is a sum over factors. Beyond `FACTORS` of them the sweep takes the
        factors in parts, each a machine of its own that explains what the others leave over: a row
        then costs O(k FACTORS) per block instead of O(k^2).

        target : (n_rows,). theta : (n_columns, k + 1).
        priors : of the columns of each set. alpha : precision of the noise.
        rng : None to take the mean of each conditional instead of a draw.
        each : works on batches of levels.
        """
        first, *others = _parts(theta.shape[1])
        predictions = []
        for part in others:
            self.load(0.0, _machine(theta, part))
            predictions.append(self.prediction())
            target = target - predictions[-1]
        residual = self._sweep(target, w0, theta, first, priors, alpha, rng, each)
        for part, prediction in zip(others, predictions, strict=True):
            rest = residual.vector() + prediction
            residual = self._sweep(rest, 0.0, theta, part, priors, alpha, rng, each)
        return residual

    def _sweep(
        self,
        target: FloatArray,
        w0: float,
        theta: FloatArray,
        part: slice,
        priors: Sequence[ThetaPrior],
        alpha: float,
        rng: np.random.Generator | None,
        each: Map,
    ) -> Residual:
        """Draw the machine of the coordinates `part`."""
        self.load(w0, _machine(theta, part))
        self.explain(target)
        bias = 0 if part.start == 0 else 1  # without a w the part has no regressor for it
        for s, (columns, (mean, precision)) in enumerate(zip(self.columns, priors, strict=True)):
            rest = theta[columns]
            rest[:, part] = 0
            theta[columns, part], left = conditional(
                self.layouts[s],
                self._regressors_of(s, bias),
                (mean - rest) @ precision[:, part],
                precision[part, part],
                alpha,
                rng,
                each,
            )
            self.absorb(s, _machine(theta[columns], part))
        known = bias == 0 and self.in_every_row(len(self.columns) - 1)
        return Residual(self, target, left if known else None)

    def _regressors_of(self, s: int, first: int) -> Regressors:
        """Return the regressors of set s from the coordinate `first` on."""
        return lambda slab: self.regressors(s, slab)[..., first:]

    def shift(self, c: FloatArray) -> None:
        """Follow a shift of theta that changes no prediction: nothing is kept between sweeps."""


def _parts(n: int) -> list[slice]:
    """Cut the coordinates 0..n, w first, into slices of at most `FACTORS` factors, w's last."""
    cuts = np.linspace(1, n, max(1, -(-(n - 1) // FACTORS)) + 1).astype(int)
    cuts[0] = 0
    return [slice(a, b) for a, b in pairwise(cuts.tolist())][::-1]


def _machine(theta: FloatArray, part: slice) -> FloatArray:
    """Return [w V] of the machine of these coordinates; w is 0 unless it is one of them."""
    if part.start == 0:
        return theta[:, part]
    return np.concatenate([np.zeros_like(theta[:, :1]), theta[:, part]], axis=1)


class LinearBlock:
    """A linear `fm.design.Block` and its weights.

    Given all else, with e what the rest of the model leaves of a row's target, s the row's weight,
    alpha the noise precision and w_l ~ N(m_l, 1 / lambda),

        w_l | rest ~ N((alpha sum s e + lambda m_l) / A, 1 / A),    A = alpha sum s + lambda

    with sums over the rows of level l.

    theta : (n_levels, 1).
    seen : (n_levels,) which levels occur in a row.
    """

    def __init__(self, block: Block, weight: FloatArray | None) -> None:
        self.side_features = block.side_features
        self.theta = np.zeros((block.n_levels, 1))
        self._levels = np.where(block.levels < 0, block.n_levels, block.levels)
        self.weigh(weight)
        self.seen = np.bincount(self._levels, minlength=block.n_levels + 1)[:-1] > 0

    def weigh(self, weight: FloatArray | None) -> None:
        """Take over the rows' weights (n_rows,), or None for 1."""
        self._weight = weight
        self._total_weight = self._sum(np.ones(len(self._levels)))

    def effect(self) -> FloatArray:
        """Return (n_rows,) the weight of each row's level, 0 where it has none."""
        return np.append(self.theta, 0.0)[self._levels]

    def update(
        self, e: FloatArray, prior: ThetaPrior, alpha: float, rng: np.random.Generator | None
    ) -> FloatArray:
        """Draw `theta` (without `rng`: take its mean), and turn the residual e into the new one."""
        mean, precision = prior
        e = e + self.effect()
        total = alpha * self._total_weight[:, None] + precision
        self.theta = (alpha * self._sum(e)[:, None] + precision * mean) / total
        if rng is not None:
            self.theta += rng.standard_normal(self.theta.shape) / np.sqrt(total)
        return e - self.effect()

    def _sum(self, x: FloatArray) -> FloatArray:
        """Return (n_levels,) weighted sums over the rows of each level."""
        weighted: FloatArray = x if self._weight is None else self._weight * x
        return np.bincount(self._levels, weighted, len(self.theta) + 1)[:-1].astype(
            np.float64, copy=False
        )


def update_linear(
    blocks: Sequence[LinearBlock],
    residual: Residual,
    priors: Sequence[ThetaPrior],
    alpha: float,
    rng: np.random.Generator | None,
) -> Residual:
    """Return `residual` after an update of each linear block in turn."""
    if not blocks:
        return residual
    e = residual.vector()
    for block, prior in zip(blocks, priors, strict=True):
        e = block.update(e, prior, alpha, rng)
    return replace(residual, left=None, e=e)
