"""The standard normal distribution between two bounds, row by row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

FAR = 1e9
"""Stands for an infinite bound: finite, so that FAR * density(FAR) is 0."""

TINY = np.finfo(np.float64).tiny


class TruncatedNormal:
    """N(0, 1) between `lower` and `upper` (n,).

    mass : (n,) Phi(upper) - Phi(lower). An interval right of 0 is mirrored first, so that far out in either
        tail the difference keeps its digits; beyond 37 standard deviations it is `TINY`.
    """

    def __init__(self, lower: NDArray, upper: NDArray) -> None:
        self._sign = np.copysign(1.0, -(lower + upper))
        self._low = np.minimum(self._sign * lower, self._sign * upper)
        self._high = np.maximum(self._sign * lower, self._sign * upper)
        self._below = ndtr(self._low)
        self.mass = np.maximum(ndtr(self._high) - self._below, TINY)

    def mean(self) -> NDArray[np.float64]:
        """(n,)."""
        return self._sign * (density(self._low) - density(self._high)) / self.mass

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(n,), by inversion of the distribution function."""
        p = self._below + self.mass * rng.random(len(self.mass))
        return self._sign * np.clip(ndtri(np.maximum(p, TINY)), self._low, self._high)


def density(x: NDArray) -> NDArray:
    """phi(x)."""
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
