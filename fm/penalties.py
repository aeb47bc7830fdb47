"""Penalties learned on rows that a fit sets aside, for the solvers that have no prior.

With a = sum_j w_j x_j and p the pairs' part of a prediction, the rows set aside say by which
factors both are best multiplied:

    argmin over (b, c) of  sum_rows loss(y, b + c_w a + c_V p) + s^2 |c - 1|^2 / (2 SPREAD^2)

with s^2 the noise (1 for classes). A factor below 1 says that the coefficients are larger than they
should be, and raises their penalty; one above 1 lowers it. As in a scale move of `fm.moves`,
multiplying w by c belongs to dividing l2_w by c^2, and multiplying p by c to dividing l2 by c.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from fm.arrays import FloatArray, IndexArray, RealArray

SHARE = 16
"""One in so many rows is set aside."""

FEWEST = 8
"""Rows set aside below which nothing can be learned from them, so that none are."""

SPREAD = 0.5
"""How far from 1 the factors are expected to lie: few rows say little, and change little."""

FALL = 4.0
RISE = 4.0, 1.5
"""By which penalties, of w and of V, fall and rise at a time, at most. V is noise at first, and is
not to be wiped out before it has learned anything."""

RANGE = 1e-4, 1e6

STEPS = 25
"""Of minimization. Each is exact for squared loss, and for classes minimizes a quadratic above the
loss."""


def split(n: int) -> tuple[IndexArray, IndexArray]:
    """Return the rows of n to fit and those to set aside, ascending, the same every time."""
    n_aside = n // SHARE if n // SHARE >= FEWEST else 0
    order = np.random.default_rng(0).permutation(n)
    return np.sort(order[n_aside:]), np.sort(order[:n_aside])


def adjusted(penalties: tuple[float, float], factors: tuple[float, float]) -> tuple[float, float]:
    """Return (l2_w, l2), given the factors (c_w, c_V), each change squared to get there sooner."""
    falls = np.array([factors[0] ** 4, factors[1] ** 2])
    l2_w, l2 = np.clip(penalties / np.clip(falls, 1 / np.array(RISE), FALL), *RANGE)
    return float(l2_w), float(l2)


def scale_factors(
    linear: FloatArray,
    pairs: FloatArray,
    y: RealArray,
    weight: FloatArray | None,
    *,
    intercept: float,
    classes: bool,
) -> tuple[float, float]:
    """Return (c_w, c_V) of rows set aside; y are 0 and 1 where they are classes."""
    X = np.stack([np.ones_like(linear), linear, pairs])
    weighted = X if weight is None else X * weight
    beta = np.array([intercept, 1.0, 1.0])
    bound, noise = 0.25, 1.0
    if not classes:
        e = beta @ X - y
        bound, noise = 1.0, np.average(e * e, weights=weight)
    curvature = bound * (weighted @ X.T)
    precision = np.array([0.0, 1.0, 1.0]) * noise / SPREAD**2
    curvature[np.diag_indices(3)] += precision + 1e-12 * (1 + np.trace(curvature))
    for _ in range(STEPS if classes else 1):
        f = beta @ X
        slope = weighted @ ((expit(f) if classes else f) - y) + precision * (beta - 1)
        beta = beta - np.linalg.solve(curvature, slope)
    return float(max(beta[1], 0.0)), float(max(beta[2], 0.0))
