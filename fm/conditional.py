"""The conditional of one block of a factorization machine given the rest: the kernel of ALS and Gibbs.

Given the other blocks, the model is linear in a level's theta = (w, v): a row in which the level occurs
with value x (1 where the block is one-hot) has regressors h = x (1, q), q being the row's summed factors
without this block, and target r, what the rest leaves unexplained. With noise precision alpha, row weight
s and prior theta ~ N(m, Lambda^-1), independently over levels (Rendle, "Factorization Machines with
libFM", ACM TIST 2012, updates one coordinate of theta at a time where here all are drawn together),

    theta | rest ~ N(A^-1 b, A^-1),   A = alpha sum s h h' + Lambda,   b = alpha sum s r h + Lambda m.

ALS takes the mean with alpha = 1 and Lambda the penalties; Gibbs draws. Above `WIDTH` coordinates theta is
updated a slice at a time, because sums of h h' cost O(rows (k + 1)^2) and only O(rows (k + 1) WIDTH) so.

Source of A: one batched product over chunks of rows (`fm.layout`); of theta: one batched Cholesky
factorization of [[A, b], [b', big]], whose last row is L^-1 b, then back substitution over all levels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fm.layout import Batch, Layout, Slab

WIDTH = 17
"""Coordinates of theta updated at once."""


def update(
    layout: Layout,
    regressors: Callable[[Slab], NDArray],
    theta: NDArray,
    mean: NDArray,
    precision: NDArray,
    alpha: float,
    rng: np.random.Generator | None,
) -> None:
    """Replace `theta` (n_levels, k + 1) by a draw from the levels' conditional; by its mean if `rng` is None.

    regressors : gives (chunks, length, k + 2), sqrt(s) (h, r) of a slab's slots, 0 h where a slot is empty.
    mean : (k + 1,), or (n_levels, k + 1) where levels have their own.
    precision : (k + 1, k + 1), Lambda.
    """
    shift = np.broadcast_to(mean @ precision, theta.shape)
    for start in range(0, theta.shape[1], WIDTH):
        part = slice(start, min(start + WIDTH, theta.shape[1]))
        rest = theta.copy()
        rest[:, part] = 0
        for batch in layout.batches:
            at = batch.levels
            system = _system(regressors, batch, rest, part)
            system *= alpha
            system[:, :-1, :-1] += precision[part, part]
            system[:, -1, :-1] += shift[at, part] - rest[at] @ precision[:, part]
            theta[at, part] = _solve(system, rng)


def _system(regressors: Callable[[Slab], NDArray], batch: Batch, rest: NDArray, part: slice) -> NDArray:
    """(levels, c + 1, c + 1): [[sum h h', .], [sum r h', .]] of coordinates `part`, r without what `rest` explains."""
    start, c = batch.levels.start, part.stop - part.start
    system = np.zeros((batch.levels.stop - start, c + 1, c + 1))
    for slab in batch.slabs:
        x = regressors(slab)
        if c < rest.shape[1]:
            x[..., -1:] -= x[..., :-1] @ rest[slab.owner, :, None].astype(x.dtype, copy=False)
            x = np.concatenate((x[..., part], x[..., -1:]), axis=-1)
        gram = x.transpose(0, 2, 1) @ x[..., :-1]
        levels = slice(slab.levels.start - start, slab.levels.stop - start)
        system[levels, :, :-1] += (slab.add @ gram.reshape(len(gram), -1)).reshape(-1, c + 1, c)
    return system


def _solve(system: NDArray, rng: np.random.Generator | None) -> NDArray:
    """(n, c), of each [[A, .], [b', .]] in `system` a draw from N(A^-1 b, A^-1), or A^-1 b; overwrites it."""
    c = system.shape[-1] - 1
    system[:, c, c] = np.finfo(np.float64).max
    factor = np.linalg.cholesky(system)
    x = factor[:, c, :c].copy()
    if rng is not None:
        x += rng.standard_normal(x.shape)
    for j in reversed(range(c)):
        x[:, j] /= factor[:, j, j]
        x[:, :j] -= factor[:, j, :j] * x[:, j, None]
    return x
