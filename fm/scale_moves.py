"""Moves of whole groups of coefficients along their scale, so that a chain forgets where it started.

Coefficients and the parameters of their prior pin each other down: with V a tenth of what it should be, the prior
learns a precision a hundred times too high, and each sweep can only take a small step. So the scale c is drawn
by itself, all else in proportion (generalized Gibbs sampling: Liu & Sabatti, Biometrika 2000):

    of a group      (V, mu_v, Lambda_vv) -> (c V, c mu_v, Lambda_vv / c^2), and likewise for w
    of everything   (z, w0, w, V) -> (c z, c w0, c w, sqrt(c) V) for probit, the prior's parameters in
                    proportion (parameter expansion: Liu & Wu, JASA 1999)

The density of log c has one dimension and is cheap once a few sums over rows are known; a step of slice
sampling (Neal, Annals of Statistics 2003) leaves it invariant. In it the priors of theta, mu and B given Lambda
cancel against the change of volume, and only that of Lambda is left: its degrees of freedom and its scatter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fm.priors import Group
from fm.row_kernel import ColumnSet, RowKernel

WIDTH = 0.1
"""Of the first interval of slice sampling, in log c."""

FARTHEST = 8.0
"""|log c| at which slice sampling stops to widen its interval."""


def scale_group(
    kernel: RowKernel,
    sets: Sequence[ColumnSet],
    group: Group,
    theta: NDArray,
    e: NDArray,
    alpha: float,
    rng: np.random.Generator,
) -> None:
    """Draw the scale of w and that of V of a group; `theta` (n_columns, k + 1), e (n_rows,), and q of `kernel` follow."""
    own = kernel.own_sums(sets, theta)
    weight, k = kernel.weight, theta.shape[1] - 1
    scale = np.ones(k + 1)
    scale[0] = _draw([own.bias], e, lambda c: [c - 1], group.scale_prior([0]), weight, alpha, rng)
    e -= (scale[0] - 1) * own.bias
    if k:
        # Scaled by c the group's pairs with the other columns grow as c, those among its own as c^2.
        across = np.einsum("jn,jn->n", own.factors, kernel.q, dtype=np.float64)
        across -= own.squares
        effects, growth = [across], lambda c: [c - 1]
        if len(sets) > 1:
            within = own.pairs()
            across -= 2 * within
            effects, growth = [across, within], lambda c: [c - 1, c * c - 1]
        prior = group.scale_prior(range(1, k + 1))
        c = _draw(effects, e, growth, prior, weight, alpha, rng)
        for effect, by in zip(effects, growth(c), strict=True):
            e -= by * effect
        own.factors *= c - 1
        kernel.q += own.factors
        scale[1:] = c
    theta[group.columns] *= scale
    group.rescale(scale)


def scale_everything(
    n_rows: int,
    squares: float,
    intercept: float,
    groups: Sequence[Group],
    rng: np.random.Generator,
) -> float:
    """Draw c of the latent scale of a probit model.

    squares : sum over rows of (z - f)^2.
    intercept : w0 times the root of its prior's precision.
    """
    w = [group.scale_prior([0]) for group in groups]
    v = [group.scale_prior(range(1, len(group.mean))) for group in groups]
    power = n_rows + 1 - sum(df for df, _ in w) - sum(df for df, _ in v) / 2
    rate_w, rate_v = sum(rate for _, rate in w), sum(rate for _, rate in v)

    def log_density(t: float) -> float:
        c = np.exp(t)
        return power * t - c * c * (squares + intercept**2) / 2 - rate_w / (c * c) - rate_v / c

    return float(np.exp(slice_step(log_density, rng)))


def slice_step(log_density: Callable[[float], float], rng: np.random.Generator) -> float:
    """One step from 0 that leaves exp(log_density) invariant: stepping out, then shrinking."""
    height = log_density(0.0) - rng.exponential()
    low = -WIDTH * rng.random()
    high = low + WIDTH
    while low > -FARTHEST and log_density(low) > height:
        low -= WIDTH
    while high < FARTHEST and log_density(high) > height:
        high += WIDTH
    while True:
        t = rng.uniform(low, high)
        if log_density(t) >= height:
            return t
        low, high = (t, high) if t < 0 else (low, t)


def _draw(
    effects: Sequence[NDArray],
    e: NDArray,
    growth: Callable[[float], Sequence[float]],
    prior: tuple[float, float],
    weight: NDArray | None,
    alpha: float,
    rng: np.random.Generator,
) -> float:
    """c, where scaling by c takes sum_i growth_i(c) effects_i from the residual e."""
    df, rate = prior
    weighted = np.stack(effects) if weight is None else np.stack(effects) * weight
    gram = weighted @ np.stack(effects).T
    slope = weighted @ e

    def log_density(t: float) -> float:
        by = np.array(growth(np.exp(t)))
        return alpha * (by @ slope - by @ gram @ by / 2) - df * t - rate * np.exp(-2 * t)

    return float(np.exp(slice_step(log_density, rng)))
