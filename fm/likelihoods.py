"""How y is observed from the machine's prediction eta: the part of a Gibbs sweep that looks at y.

    Gaussian        y = eta + noise of precision alpha weight
    Probit          y = [z > 0],                        z = eta + noise of precision 1
    OrderedProbit   y = number of cut points below z,   z as above; the cut points do the work of w0

The latent z takes y's place as the target of the blocks, and given z all is Gaussian (Albert & Chib, JASA
1993). Cut points drawn given z hardly move when there are many rows, so they are drawn given eta alone, z
integrated out, and then z given them (as Cowles, Statistics and Computing 1996, does): Metropolis-Hastings
with a proposal that is close to the conditional itself (`fm.cut_points`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from fm.cut_points import draw_cut_points
from fm.prior import Prior
from fm.sweep import Residual
from fm.truncated_normal import TruncatedNormal, between_cut_points


class Gaussian:
    """y ~ N(eta, 1 / (alpha weight)); a row of weight 2 counts as two rows.

    target : (n_rows,) what the blocks are to explain.
    w0, alpha, cut_points : as in `fm.gibbs.Draw`.
    train_mse : of the last draw.
    """

    state = ("w0", "alpha")

    def __init__(self, y: NDArray, weight: NDArray | None, prior: Prior) -> None:
        self._n = len(y) if weight is None else weight.sum()
        self._prior = prior
        self.target = y
        self.w0 = prior.centre
        self.alpha = 1 / prior.unit**2
        self.cut_points = np.empty(0)
        self.train_mse = np.nan

    def draw(self, residual: Residual, rng: np.random.Generator) -> None:
        """w0 and alpha given what the blocks leave of the target."""
        total, squares = residual.sums()
        step = self._draw_w0(total, rng)
        loss = squares - 2 * step * total + step**2 * self._n
        shape, rate = self._prior.noise
        self.alpha = rng.gamma(shape + self._n / 2) / (rate * self._prior.unit**2 + loss / 2)
        self.train_mse = loss / self._n

    def _draw_w0(self, total: float, rng: np.random.Generator) -> float:
        """The change in w0, `total` being the weighted sum of residuals."""
        precision, slope = self.shift_prior()
        precision += self.alpha * self._n
        step = (self.alpha * total - slope) / precision + rng.standard_normal() / np.sqrt(precision)
        self.w0 += step
        return step

    def shift(self, c: float) -> None:
        """Leave c of the general level to a group of columns."""
        self.w0 -= c

    def shift_prior(self) -> tuple[float, float]:
        """(p, g) of the log prior of `shift(c)`, which is const + g c - p c^2 / 2."""
        precision = self._prior.location / self._prior.unit**2
        return precision, precision * (self.w0 - self._prior.centre)


class Latent(Gaussian):
    """y = number of cut points below z, for y in 0..n_classes - 1, and z = eta + noise of precision 1."""

    def __init__(self, y: NDArray, cut_points: NDArray, prior: Prior) -> None:
        super().__init__(y, None, prior)
        self._order = np.argsort(y, kind="stable")
        self._classes = y[self._order]
        self.target = np.empty(len(y))
        noise = between_cut_points(cut_points, self._by_class(np.zeros(len(y)), cut_points))
        self.target[self._order] = np.concatenate([rows.mean() for rows in noise])

    def _by_class(self, eta: NDArray, cut_points: NDArray) -> list[NDArray]:
        """Of the rows of each class; a class may have none."""
        return np.split(
            eta[self._order], np.searchsorted(self._classes, np.arange(1, len(cut_points) + 1))
        )

    def _draw_target(
        self, eta: list[NDArray], noise: list[TruncatedNormal], rng: np.random.Generator
    ) -> float:
        """z = eta + noise; the sum of the noise."""
        drawn = [rows.draw(rng) for rows in noise]
        self.target = np.empty(len(self._order))
        self.target[self._order] = np.concatenate(eta) + np.concatenate(drawn)
        return sum(rows.sum() for rows in drawn)


class Probit(Latent):
    """P(y = 1) = Phi(eta), for y in {0, 1}."""

    state = ("w0", "target")

    def __init__(self, y: NDArray, prior: Prior) -> None:
        super().__init__(y, np.zeros(1), prior)

    def draw(self, residual: Residual, rng: np.random.Generator) -> None:
        """z and w0."""
        zero = np.zeros(1)
        eta = self._by_class(self.target - residual.vector(), zero)
        self._draw_w0(self._draw_target(eta, between_cut_points(zero, eta), rng), rng)


class OrderedProbit(Latent):
    """P(y <= c) = Phi(cut_points[c] - eta), for y in 0..n_classes - 1, each class present."""

    state = ("cut_points", "target")

    def __init__(self, y: NDArray, prior: Prior) -> None:
        cut_points = ndtri(np.cumsum(np.bincount(y.astype(np.intp)))[:-1] / len(y))
        super().__init__(y, cut_points, prior)
        self.cut_points = cut_points

    def draw(self, residual: Residual, rng: np.random.Generator) -> None:
        """Cut points, and z given these."""
        eta = self._by_class(self.target - residual.vector(), self.cut_points)
        self.cut_points, noise = draw_cut_points(self.cut_points, eta, self._prior.location, rng)
        self._draw_target(eta, noise, rng)

    def shift(self, c: float) -> None:
        self.cut_points = self.cut_points + c
        self.target = self.target + c

    def shift_prior(self) -> tuple[float, float]:
        precision = self._prior.location
        return precision * len(self.cut_points), -precision * self.cut_points.sum()
