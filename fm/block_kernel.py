"""The conditional of one block of a factorization machine given the rest: the kernel of ALS and Gibbs.

Given the other blocks, the model is linear in a level's theta = (w, v): a row in which the level occurs
with value x (1 where the block is one-hot) has regressors h = x (1, q), q being the row's summed factors
without this block, and target r, what the rest leaves unexplained. With noise precision alpha, row weight
s and prior theta ~ N(m, Lambda^-1), independently over levels,

    theta | rest ~ N(A^-1 b, A^-1),   A = alpha sum s h h' + Lambda,   b = alpha sum s r h + Lambda m.

ALS takes the mean, with alpha = 1 and Lambda the penalties; Gibbs draws. (Rendle, "Factorization Machines
with libFM", ACM TIST 2012, has the same for one coordinate of theta at a time.)

All sums come from a few batched products over chunks of rows (`fm.blocks`), all theta from Cholesky
factorizations of many levels at once, the levels being the last axis.
Cost per block: O(rows c^2 + levels c^3), for c coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fm.blocks import Batch, Blocks, Layout, Slab
from fm.threads import Map

if TYPE_CHECKING:
    from fm.row_kernel import RowKernel

FACTORS = 16
"""Factors drawn at once."""

Regressors = Callable[[Slab], NDArray]
"""Gives sqrt(s) (h, r) of a slab's slots, (chunks, length, c + 1); 0 where a slot is empty."""


@dataclass(frozen=True)
class Left:
    """Sums over rows of what is left, e = r - h theta: `total` of s h_0 e, `squares` of s e^2."""

    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, gram: NDArray, theta: NDArray) -> Left:
        """Of the rows of some levels, summed up in `gram` (c + 1, c + 1, levels), theta (c, levels) being theirs."""
        he = gram[-1, :-1] - np.einsum("ijn,jn->in", gram[:-1, :-1], theta)
        return cls(he[0].sum(), gram[-1, -1].sum() - np.vdot(theta, gram[-1, :-1] + he))

    def __add__(self, other: Left) -> Left:
        return Left(self.total + other.total, self.squares + other.squares)


def conditional(
    layout: Layout,
    regressors: Regressors,
    linear: NDArray,
    precision: NDArray,
    alpha: float,
    rng: np.random.Generator | None,
    each: Map = map,
) -> tuple[NDArray[np.float64], Left]:
    """A draw of all levels' theta (n_levels, c) from their conditional, or its mean if `rng` is None; and what it
    leaves of the rows that have a level.

    linear : (n_levels, c), Lambda m of each level.
    precision : (c, c), Lambda.
    each : works on batches of levels.
    """
    noise = (
        np.zeros(linear.shape)
        if rng is None
        else rng.standard_normal(linear.shape) / np.sqrt(alpha)
    )

    def update(batch: Batch) -> tuple[NDArray, Left]:
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


def _gram(regressors: Regressors, batch: Batch, c: int) -> NDArray:
    """(c + 1, c + 1, levels): sum s (h, r) (h, r)'."""
    of_chunks = np.empty((batch.add.shape[1], (c + 1) ** 2))
    at = 0
    for slab in batch.slabs:
        x = regressors(slab)
        grams = of_chunks[at : at + len(x)].reshape(-1, c + 1, c + 1)
        np.matmul(x.transpose(0, 2, 1), x, out=grams)
        at += len(x)
    return np.ascontiguousarray((batch.add @ of_chunks).T).reshape(c + 1, c + 1, -1)


def _solve(a: NDArray, noise: NDArray) -> NDArray:
    """(c, levels): A^-1 b + L'^-1 noise, with A = L L'. Overwrites `a` (c + 1, c, levels), A and below it b.

    Cholesky's factorization, column by column of all levels at once, which turns the last row into L^-1 b;
    then back substitution.
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
    target: NDArray
    left: Left | None
    e: NDArray | None = None

    def vector(self) -> NDArray[np.float64]:
        """e (n_rows,)."""
        return self.target - self.rows.prediction() if self.e is None else self.e

    def sums(self) -> tuple[float, float]:
        """Sum of s e and of s e^2 over the rows, s being their weights."""
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
    def counts(self) -> list[NDArray[np.intp]]:
        """Rows of each column, set by set."""
        return [layout.counts for layout in self.layouts]

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
        """Replace `theta` (n_columns, k + 1) = [w V] by a draw, set after set of `columns`.

        A machine of many factors is a sum of machines of few, since features interact through an inner product,
        which is a sum over factors. Beyond `FACTORS` of them the sweep takes the factors in parts, each a machine
        of its own that explains what the others leave over: a row then costs O(k FACTORS) per block instead of
        O(k^2).

        priors : of each set the mean, (columns, k + 1) or (k + 1,), and the precision of its rows of theta.
        alpha : precision of the noise.
        rng : None to take the mean of each conditional instead of a draw.
        each : works on batches of levels.
        """
        first, *others = _parts(theta.shape[1])
        predictions = []
        for part in others:
            self.load(0.0, _machine(theta, part))
            predictions.append(self.prediction())
            target = target - predictions[-1]
        residual = _sweep(self, target, w0, theta, first, priors, alpha, rng, each)
        for part, prediction in zip(others, predictions, strict=True):
            rest = residual.vector() + prediction
            residual = _sweep(self, rest, 0.0, theta, part, priors, alpha, rng, each)
        return residual

    def shift(self, c: NDArray) -> None:
        """Follow a shift of theta that changes no prediction: nothing is kept from sweep to sweep."""


def _sweep(
    rows: Blocks,
    target: NDArray,
    w0: float,
    theta: NDArray,
    part: slice,
    priors: Sequence[tuple[NDArray, NDArray]],
    alpha: float,
    rng: np.random.Generator | None,
    each: Map,
) -> Residual:
    """The same for the machine of the coordinates `part`."""
    rows.load(w0, _machine(theta, part))
    rows.explain(target)
    bias = 0 if part.start == 0 else 1  # without a w of its own the part has no regressor for it
    for s, (columns, (mean, precision)) in enumerate(zip(rows.columns, priors, strict=True)):
        rest = theta[columns]
        rest[:, part] = 0
        theta[columns, part], left = conditional(
            rows.layouts[s],
            lambda slab, s=s: rows.regressors(s, slab)[..., bias:],
            (mean - rest) @ precision[:, part],
            precision[part, part],
            alpha,
            rng,
            each,
        )
        rows.absorb(s, _machine(theta[columns], part))
    known = bias == 0 and rows.in_every_row(len(rows.columns) - 1)
    return Residual(rows, target, left if known else None)


def _parts(n: int) -> list[slice]:
    """The coordinates 0..n, w being the first, cut into slices of at most `FACTORS` factors, w's slice last."""
    cuts = np.linspace(1, n, max(1, -(-(n - 1) // FACTORS)) + 1).astype(int)
    cuts[0] = 0
    return [slice(a, b) for a, b in pairwise(cuts.tolist())][::-1]


def _machine(theta: NDArray, part: slice) -> NDArray:
    """[w V] of the machine of these coordinates; w is 0 unless it is one of them."""
    if part.start == 0:
        return theta[:, part]
    return np.concatenate([np.zeros_like(theta[:, :1]), theta[:, part]], axis=1)
