"""The standard normal distribution between two bounds, row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

TINY = np.finfo(np.float64).tiny


class TruncatedNormal:
    """N(0, 1) between `lower` and `upper`, (n,) each or one of them infinite for all rows.

    mass : (n,) Phi(upper) - Phi(lower). An interval right of 0 is mirrored first, so that far out in either
        tail the difference keeps its digits; beyond 37 standard deviations it is `TINY`.
    """

    def __init__(self, lower: NDArray | float, upper: NDArray | float) -> None:
        self.lower, self.upper = lower, upper
        if np.ndim(lower) and np.ndim(upper):
            self._sign = np.copysign(1.0, -(lower + upper))
            self._low = np.minimum(self._sign * lower, self._sign * upper)
            self._high = np.maximum(self._sign * lower, self._sign * upper)
        else:
            self._sign, self._low, self._high = (
                (-1.0, -upper, -lower) if np.ndim(lower) else (1.0, lower, upper)
            )
        self._below = ndtr(self._low)
        self.mass = np.maximum(ndtr(self._high) - self._below, TINY)

    def at_lower(self) -> NDArray[np.float64]:
        """(n,): density of the distribution at its lower bound."""
        return density(self.lower) / self.mass

    def at_upper(self) -> NDArray[np.float64]:
        return density(self.upper) / self.mass

    def mean(self) -> NDArray[np.float64]:
        """(n,)."""
        return self.at_lower() - self.at_upper()

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(n,), by inversion of the distribution function."""
        p = self._below + self.mass * rng.random(len(self.mass))
        return self._sign * np.clip(ndtri(np.maximum(p, TINY)), self._low, self._high)


def between_cut_points(c: NDArray, eta: Sequence[NDArray]) -> list[TruncatedNormal]:
    """Of each class's rows, `eta` (n,) being their predictions: z - eta ~ N(0, 1) given that z lies between the
    class's cut points among `c` (n_classes - 1,)."""
    first = (
        -np.inf if len(c) else np.full(len(eta[0]), -np.inf)
    )  # of a single class, something says how many rows
    lower = [first, *(cut - rows for cut, rows in zip(c, eta[1:], strict=True))]
    upper = [*(cut - rows for cut, rows in zip(c, eta[:-1], strict=True)), np.inf]
    return [TruncatedNormal(*bounds) for bounds in zip(lower, upper, strict=True)]


def density(x: NDArray | float) -> NDArray:
    """phi(x)."""
    return np.exp(-0.5 * x * x) * (1 / np.sqrt(2 * np.pi))
