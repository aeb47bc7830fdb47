"""Moves of whole groups of coefficients, along their scale and their origin.

Coefficients and the parameters of their prior pin each other down: with V a tenth of what it should
be, the prior learns a precision a hundred times too high, and each sweep can only take a small
step. So that a chain forgets where it started, the scale c is drawn by itself, all else in
proportion (generalized Gibbs sampling: Liu & Sabatti, Biometrika 2000):

    of a group      (V, mu_v, Lambda_vv) -> (c V, c mu_v, Lambda_vv / c^2), and likewise for w
    of everything   (z, w0, w, V) -> (c z, c w0, c w, sqrt(c) V) for probit, the prior's parameters
                    in proportion (parameter expansion: Liu & Wu, JASA 1999)

The density of log c has one dimension and is cheap once a few sums over rows are known; a step of
slice sampling (Neal, Annals of Statistics 2003) leaves it invariant. In it the priors of theta, mu
and B given Lambda cancel against the change of volume, and only that of Lambda is left: its degrees
of freedom and its scatter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fm.arrays import FloatArray
from fm.column_sets import ColumnSet
from fm.priors import Group
from fm.row_kernel import RowKernel

WIDTH = 0.1
"""Of the first interval of slice sampling, in log c."""

FARTHEST = 8.0
"""|log c| at which slice sampling stops to widen its interval."""


def scale_group(
    kernel: RowKernel,
    sets: Sequence[ColumnSet],
    group: Group,
    theta: FloatArray,
    e: FloatArray,
    alpha: float,
    rng: np.random.Generator,
) -> None:
    """Draw the scales of w and of V of a group.

    theta (n_columns, k + 1), e (n_rows,) and q of the kernel follow.
    """
    own = kernel.own_sums(sets, theta)
    weight, k = kernel.weight, theta.shape[1] - 1
    scale = np.ones(k + 1)
    scale[0] = _draw([own.bias], e, _linear, group.scale_prior([0]), weight, alpha, rng)
    own.bias *= scale[0] - 1
    e -= own.bias
    if k:
        # Scaled by c the group's pairs with other columns grow as c, those among its own as c^2.
        across = own.across(kernel.q)
        effects, growth = [across], _linear
        if len(sets) > 1:
            within = own.pairs()
            across -= 2 * within
            effects, growth = [across, within], _quadratic
        prior = group.scale_prior(range(1, k + 1))
        c = _draw(effects, e, growth, prior, weight, alpha, rng)
        for effect, by in zip(effects, growth(c), strict=True):
            effect *= by
            e -= effect
        kernel.scale(own, c)
        scale[1:] = c
    theta[group.columns] *= scale
    group.rescale(scale)


def _linear(c: float) -> list[float]:
    return [c - 1]


def _quadratic(c: float) -> list[float]:
    return [c - 1, c * c - 1]


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
    effects: Sequence[FloatArray],
    e: FloatArray,
    growth: Callable[[float], Sequence[float]],
    prior: tuple[float, float],
    weight: FloatArray | None,
    alpha: float,
    rng: np.random.Generator,
) -> float:
    """Return c, where scaling by c takes sum_i growth_i(c) effects_i from the residual e."""
    df, rate = prior
    weighted = effects if weight is None else [weight * effect for effect in effects]
    gram = np.array([[np.dot(a, b) for b in effects] for a in weighted])
    slope = np.array([np.dot(a, e) for a in weighted])

    def log_density(t: float) -> float:
        by = np.array(growth(np.exp(t)))
        return alpha * (by @ slope - by @ gram @ by / 2) - df * t - rate * np.exp(-2 * t)

    return float(np.exp(slice_step(log_density, rng)))


class Shears:
    """By how much each group's theta is still to be sheared for shifts of the other groups.

    A shift of v by c takes <c, v> from the w of every other group, and two such shears are one by
    the sum of their c. So each group's are added up, and applied when its theta are needed.
    """

    def __init__(self, groups: Sequence[Group], k: int) -> None:
        self._groups = groups
        self._pending = np.zeros((len(groups), k))
        self._precision, self._slope = np.zeros((2, len(groups), k))
        for g in range(len(groups)):
            self.learn(g)

    def learn(self, g: int) -> None:
        """Take over the prior of a group's shear from the group."""
        P, self._slope[g] = self._groups[g].shear_prior()
        self._precision[g] = np.diag(P)

    def prior(self, g: int) -> tuple[FloatArray, FloatArray]:
        """Return the diagonal of P and g as of `Group.shear_prior`, of all groups but this one."""
        others = np.arange(len(self._groups)) != g
        return self._precision[others].sum(axis=0), self._slope[others].sum(axis=0)

    def add(self, g: int, c: FloatArray) -> None:
        """Have all groups but this one follow its shift by c (k,)."""
        others = np.arange(len(self._groups)) != g
        self._pending[others] += c
        self._slope[others] -= self._precision[others] * c

    def apply(self, g: int, theta: FloatArray) -> None:
        """Shear a group's theta, mean and precision."""
        if self._pending[g].any():
            self._groups[g].shear(theta, self._pending[g])
            self._pending[g] = 0
