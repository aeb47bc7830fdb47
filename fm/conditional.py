"""The conditional of one block of a factorization machine given the rest: the kernel of ALS and Gibbs.

Given the other blocks, the model is linear in a level's theta = (w, v): a row in which the level occurs
with value x (1 where the block is one-hot) has regressors h = x (1, q), q being the row's summed factors
without this block, and target r, what the rest leaves unexplained. With noise precision alpha, row weight
s and prior theta ~ N(m, Lambda^-1), independently over levels,

    theta | rest ~ N(A^-1 b, A^-1),   A = alpha sum s h h' + Lambda,   b = alpha sum s r h + Lambda m.

ALS takes the mean, with alpha = 1 and Lambda the penalties; Gibbs draws. (Rendle, "Factorization Machines
with libFM", ACM TIST 2012, has the same for one coordinate of theta at a time.)

All sums come from one batched product over chunks of rows (`fm.layout`), all theta from one batched Cholesky
factorization of [[A, b], [b', big]], whose last row is L^-1 b, and back substitution over all levels at once.
Cost per block: O(rows c^2 + levels c^3), for c coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fm.layout import Batch, Layout, Slab

Regressors = Callable[[Slab], NDArray]
"""Gives sqrt(s) (h, r) of a slab's slots, (chunks, length, c + 1); h = 0 where a slot is empty."""


@dataclass
class Left:
    """Sums over rows of what is left, e = r - h theta: `total` of s h_0 e, `squares` of s e^2."""

    total: float = 0.0
    squares: float = 0.0

    def before(self, x: NDArray) -> None:
        """Count a slab's rows, with theta = 0."""
        self.squares += np.einsum("ij,ij", x[..., -1], x[..., -1])

    def after(self, gram: NDArray, theta: NDArray) -> None:
        """Set theta for a batch of levels, of all whose rows the sums are in `gram`."""
        he = gram[:, -1] - (gram[:, :-1] @ theta[..., None])[..., 0]
        self.total += he[:, 0].sum()
        self.squares -= np.vdot(theta, gram[:, -1] + he)


def conditional(
    layout: Layout,
    regressors: Regressors,
    linear: NDArray,
    precision: NDArray,
    alpha: float,
    rng: np.random.Generator | None,
    left: Left | None = None,
) -> NDArray[np.float64]:
    """A draw of all levels' theta (n_levels, c) from their conditional; its mean if `rng` is None.

    linear : (n_levels, c), Lambda m of each level.
    precision : (c, c), Lambda.
    left : to be added to, if the sums are wanted.
    """
    theta = np.empty(linear.shape)
    for batch in layout.batches:
        gram = _gram(regressors, batch, len(precision), left)
        theta[batch.levels] = _solve(gram, linear[batch.levels], precision, alpha, rng)
        if left is not None:
            left.after(gram, theta[batch.levels])
    return theta


def _gram(regressors: Regressors, batch: Batch, c: int, left: Left | None) -> NDArray:
    """(levels, c + 1, c): sum s h h', and below it sum s r h'."""
    first = batch.levels.start
    total = np.zeros((batch.levels.stop - first, (c + 1) * c))
    for slab in batch.slabs:
        x = regressors(slab)
        if left is not None:
            left.before(x)
        gram = x.transpose(0, 2, 1) @ x[..., :-1]
        total[slab.levels.start - first : slab.levels.stop - first] += slab.add @ gram.reshape(len(gram), -1)
    return total.reshape(-1, c + 1, c)


def _solve(
    gram: NDArray, linear: NDArray, precision: NDArray, alpha: float, rng: np.random.Generator | None
) -> NDArray:
    """(levels, c), draws from N(A^-1 b, A^-1), or A^-1 b. Factorizes A / alpha."""
    n, c = linear.shape
    system = np.empty((n, c + 1, c + 1))
    np.add(gram[:, :c], precision / alpha, out=system[:, :c, :c])
    np.add(gram[:, c], linear / alpha, out=system[:, c, :c])
    system[:, c, c] = np.finfo(np.float64).max
    factor = np.linalg.cholesky(system)
    x = factor[:, c, :c].copy()
    if rng is not None:
        x += rng.standard_normal(x.shape) / np.sqrt(alpha)
    for j in reversed(range(c)):
        x[:, j] /= factor[:, j, j]
        x[:, :j] -= factor[:, j, :j] * x[:, j, None]
    return x
