"""Draws from the posterior of a factorization machine, and what they say of new rows.

A draw s predicts f_s(x). Predictive quantities are means over draws, of f_s(x) itself or of what the
likelihood makes of it; Gaussian noise of precision alpha_s makes the predictive distribution of y a mixture
of S Gaussians N(f_s(x), 1 / alpha_s).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from fm.gibbs import Draw, GibbsFit
from fm.model import CHUNK, Coefficients, Matrix, averaged, predict

Response = Callable[[NDArray, Draw], NDArray]
"""(f(x) (n_rows,), draw) -> (n_rows, ...)."""


class Draws(NamedTuple):
    """The fields of `fm.gibbs.Draw`, each with a first axis of length S."""

    w0: NDArray
    w: NDArray
    V: NDArray
    unknown: NDArray
    alpha: NDArray
    cut_points: NDArray

    @classmethod
    def of(cls, fit: GibbsFit) -> Self:
        return cls(*(getattr(fit, name) for name in cls._fields))

    @classmethod
    def of_one(cls, draw: Draw) -> Self:
        return cls(*(np.array(part)[None] for part in draw))

    def followed_by(self, later: Self) -> Self:
        return type(self)(*map(np.concatenate, zip(self, later, strict=True)))

    def each(self) -> Iterator[Draw]:
        return map(Draw._make, zip(*self, strict=True))

    def averaged(self) -> Coefficients:
        """The machine that predicts the mean of f_s(x)."""
        return averaged(self.w0, self.w, self.V, self.unknown)

    def mean(self, X: Matrix, response: Response) -> NDArray[np.float64]:
        """The mean over draws of the response, (n_rows, ...), in memory that does not grow with S."""
        first, *others = self.each()
        total = response(predict(X, first), first)
        for draw in others:
            total += response(predict(X, draw), draw)
        total /= len(self.w0)
        return total

    def quantiles(self, X: Matrix, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the predictive distribution of y, (n_rows, n_levels), to 1e-6 of the spread of its components."""
        step = max(1, CHUNK // len(self.w0))
        parts = [X[first : first + step] for first in range(0, X.shape[0], step)]
        return np.vstack([self._quantiles(part, levels) for part in parts])

    def _quantiles(self, X: Matrix, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        f = np.array([predict(X, draw) for draw in self.each()])[:, :, None]
        deviation = 1 / np.sqrt(self.alpha)[:, None, None]
        components = f + ndtri(levels) * deviation
        low, high = components.min(axis=0), components.max(axis=0)
        for _ in range(20):
            middle = (low + high) / 2
            below = ndtr((middle - f) / deviation).mean(axis=0) < levels
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2


class RunningMean:
    """The mean of the response over the kept draws seen so far; before the first, that of the last draw."""

    def __init__(
        self, X: Matrix, response: Response, keeps: Callable[[int], bool], earlier: Draws | None
    ) -> None:
        self.X, self.response, self.keeps = X, response, keeps
        self.n = 0 if earlier is None else len(earlier.w0)
        self.total = 0.0 if earlier is None else self.n * earlier.mean(X, response)

    def __call__(self, sweep: int, draw: Draw) -> NDArray[np.float64]:
        current = self.response(predict(self.X, draw), draw)
        if self.keeps(sweep):
            self.total, self.n = self.total + current, self.n + 1
        return self.total / self.n if self.n else current


def class_probabilities(f: NDArray, draw: Draw) -> NDArray:
    """P(y = c) = Phi(cut_c - f) - Phi(cut_{c-1} - f) for ordered probit, (n_rows, n_classes)."""
    below = ndtr(draw.cut_points - f[:, None])
    return np.diff(below, prepend=0, append=1)
