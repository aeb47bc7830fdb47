"""How y is observed from the machine's prediction eta: the part of a Gibbs sweep that looks at y.

    Gaussian        y = eta + noise of precision alpha weight
    Probit          y = [z > 0],                        z = eta + noise of precision 1
    OrderedProbit   y = number of cut points below z,   z as above; the cut points do the work of w0

A row of weight s stands for s rows, and its latent z for the mean of their s latent targets. Where
s is a whole number up to `MOST_COPIES` that many are drawn, so that z has exactly the distribution
it has with repeated rows; else z has the right mean and variance.

The latent z takes y's place as the target of the blocks, and given z all is Gaussian (Albert &
Chib, JASA 1993). Cut points drawn given z hardly move when there are many rows, so they are drawn
given eta alone, z integrated out, and then z given them (as Cowles, Statistics and Computing 1996,
does): Metropolis-Hastings with a proposal that is close to the conditional itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from fm.arrays import FloatArray, IndexArray, RealArray
from fm.block_kernel import Residual
from fm.priors import Prior


class Gaussian:
    """y ~ N(eta, 1 / (alpha weight)); a row of weight 2 counts as two rows.

    target : (n_rows,) what the blocks are to explain.
    w0, alpha, cut_points : as in `fm.gibbs.Draw`.
    train_mse : of the last draw.
    """

    state = ("w0", "alpha")
    expands = False

    def __init__(self, y: FloatArray, weight: FloatArray | None, prior: Prior) -> None:
        self._n = len(y) if weight is None else weight.sum()
        self._prior = prior
        self.target = y
        self.w0 = prior.center
        self.alpha = 1 / prior.unit**2
        self.cut_points: FloatArray = np.empty(0)
        self.train_mse = np.nan

    def draw(self, residual: Residual, rng: np.random.Generator) -> None:
        """Draw w0 and alpha given what the blocks leave of the target."""
        total, squares = residual.sums()
        step = self._draw_w0(total, rng)
        loss = squares - 2 * step * total + step**2 * self._n
        shape, rate = self._prior.noise
        self.alpha = rng.gamma(shape + self._n / 2) / (rate * self._prior.unit**2 + loss / 2)
        self.train_mse = loss / self._n

    def _draw_w0(self, total: float, rng: np.random.Generator) -> float:
        """Draw w0 and return its change, `total` being the weighted sum of residuals."""
        precision, slope = self.shift_prior()
        precision += self.alpha * self._n
        step = (self.alpha * total - slope) / precision + rng.standard_normal() / np.sqrt(precision)
        self.w0 += step
        return step

    def shift(self, c: float) -> None:
        """Leave c of the general level to a group of columns."""
        self.w0 -= c

    def shift_prior(self) -> tuple[float, float]:
        """Return (p, g) of the log prior of `shift(c)`, which is const + g c - p c^2 / 2."""
        precision = self._prior.location / self._prior.unit**2
        return precision, precision * (self.w0 - self._prior.center)


class Latent(Gaussian):
    """y in 0..n_classes - 1 is the number of cut points below z = eta + noise of precision 1."""

    def __init__(
        self, y: FloatArray, weight: FloatArray | None, cut_points: FloatArray, prior: Prior
    ) -> None:
        super().__init__(y, weight, prior)
        self._order = np.argsort(y, kind="stable")
        self._classes = y[self._order]
        self._weight = None if weight is None else self._by_class(weight, cut_points)
        self.target = np.empty(len(y))
        noise = between_cut_points(cut_points, self._by_class(np.zeros(len(y)), cut_points))
        self.target[self._order] = np.concatenate([rows.mean() for rows in noise])

    def _by_class(self, eta: FloatArray, cut_points: FloatArray) -> list[FloatArray]:
        """Split eta by class; a class may have no rows."""
        return np.split(
            eta[self._order], np.searchsorted(self._classes, np.arange(1, len(cut_points) + 1))
        )

    def _draw_target(
        self, eta: list[FloatArray], noise: list[TruncatedNormal], rng: np.random.Generator
    ) -> float:
        """Draw z = eta + noise, and return the weighted sum of the noise."""
        if self._weight is None:
            drawn = [rows.draw(rng) for rows in noise]
            total = sum(rows.sum() for rows in drawn)
        else:
            pairs = list(zip(noise, self._weight, strict=True))
            drawn = [rows.draw_means(weight, rng) for rows, weight in pairs]
            total = sum(np.dot(w, rows) for w, rows in zip(self._weight, drawn, strict=True))
        self.target = np.empty(len(self._order))
        self.target[self._order] = np.concatenate(eta) + np.concatenate(drawn)
        return total


class Probit(Latent):
    """P(y = 1) = Phi(eta), for y in {0, 1}."""

    state = ("w0", "target")

    def __init__(self, y: FloatArray, weight: FloatArray | None, prior: Prior) -> None:
        super().__init__(y, weight, np.zeros(1), prior)
        self.expands = weight is None

    def draw(self, residual: Residual, rng: np.random.Generator) -> None:
        """Draw z and w0."""
        zero = np.zeros(1)
        eta = self._by_class(self.target - residual.vector(), zero)
        self._draw_w0(self._draw_target(eta, between_cut_points(zero, eta), rng), rng)

    def rescale(self, c: float) -> None:
        """Multiply the latent targets and w0 by c."""
        self.target = self.target * c
        self.w0 *= c


class OrderedProbit(Latent):
    """P(y <= c) = Phi(cut_points[c] - eta), for y in 0..n_classes - 1, each class present."""

    state = ("cut_points", "target")

    def __init__(self, y: FloatArray, weight: FloatArray | None, prior: Prior) -> None:
        shares = np.cumsum(np.bincount(y.astype(np.intp), weight))
        cut_points = ndtri(shares[:-1] / shares[-1])
        super().__init__(y, weight, cut_points, prior)
        self.cut_points = cut_points

    def draw(self, residual: Residual, rng: np.random.Generator) -> None:
        """Draw the cut points, and z given these."""
        eta = self._by_class(self.target - residual.vector(), self.cut_points)
        self.cut_points, noise = draw_cut_points(
            self.cut_points, eta, self._weight, self._prior.location, rng
        )
        self._draw_target(eta, noise, rng)

    def shift(self, c: float) -> None:
        """Move the cut points by c, and the latent targets with them."""
        self.cut_points = self.cut_points + c
        self.target = self.target + c

    def shift_prior(self) -> tuple[float, float]:
        """Return (p, g) as that of `Gaussian` does."""
        precision = self._prior.location
        return precision * len(self.cut_points), -precision * self.cut_points.sum()


DF = 5.0
"""Degrees of freedom of the proposal."""


@dataclass(frozen=True)
class Expansion:
    """Second-order expansion of log p at `cut_points`.

    noise : of each class the distribution of z - eta given the cut points.
    newton : maximum of the quadratic; root : lower Cholesky factor of H.
    """

    cut_points: FloatArray
    log_density: float
    newton: FloatArray
    root: RealArray
    noise: list[TruncatedNormal]

    @classmethod
    def at(
        cls,
        c: FloatArray,
        eta: Sequence[FloatArray],
        weight: Sequence[FloatArray] | None,
        precision: float,
    ) -> Expansion:
        """Expand around c, given predictions and weights of each class's rows."""
        noise = between_cut_points(c, eta)
        log_density = -precision * np.dot(c, c) / 2
        gradient = -precision * c
        hessian = precision * np.eye(len(c))
        for j, rows in enumerate(noise):
            s = np.ones(len(rows.mass)) if weight is None else weight[j]
            log_density += np.dot(s, np.log(rows.mass))
            if j > 0:
                a = rows.at_lower()
                sa = s * a
                gradient[j - 1] -= sa.sum()
                hessian[j - 1, j - 1] += sa @ a - sa @ rows.lower
            if j < len(c):
                b = rows.at_upper()
                sb = s * b
                gradient[j] += sb.sum()
                hessian[j, j] += sb @ b + sb @ rows.upper
            if 0 < j < len(c):
                hessian[j - 1, j] = hessian[j, j - 1] = -(sa @ b)
        return cls(
            c,
            log_density,
            np.add(c, np.linalg.solve(hessian, gradient)),
            np.linalg.cholesky(hessian),
            noise,
        )

    def propose(self, rng: np.random.Generator) -> FloatArray:
        """Draw cut points from Student's t around the maximum."""
        step = np.linalg.solve(self.root.T, rng.standard_normal(len(self.newton)))
        return self.newton + step / np.sqrt(rng.chisquare(DF) / DF)

    def log_proposal(self, c: FloatArray) -> float:
        """Return the log density of proposing c from here, up to a constant."""
        scaled = self.root.T @ (c - self.newton)
        tail = np.log1p(np.dot(scaled, scaled) / DF)
        return np.log(np.diag(self.root)).sum() - (DF + len(c)) / 2 * tail


def draw_cut_points(
    c: FloatArray,
    eta: Sequence[FloatArray],
    weight: Sequence[FloatArray] | None,
    precision: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, list[TruncatedNormal]]:
    """Draw the next cut points (n_classes - 1,); return them and the distributions of z - eta.

    eta, weight : predictions and weights of each class's rows; None for weights of 1.
    """
    here = Expansion.at(c, eta, weight, precision)
    proposal = here.propose(rng)
    log_uniform = np.log(rng.random())
    if np.all(np.diff(proposal) > 0):
        there = Expansion.at(proposal, eta, weight, precision)
        log_odds = (
            there.log_density
            - here.log_density
            + there.log_proposal(c)
            - here.log_proposal(proposal)
        )
        if log_uniform < log_odds:
            return proposal, there.noise
    return c, here.noise


TINY = np.finfo(np.float64).tiny

MOST_COPIES = 16
"""Latent targets drawn for a row at most: the mean of more is all but normal."""


class TruncatedNormal:
    """N(0, 1) between `lower` and `upper`, (n,) each or one of them infinite for all rows.

    mass : (n,) Phi(upper) - Phi(lower). An interval right of 0 is mirrored first, so that far out
        in either tail the difference keeps its digits; beyond 37 standard deviations it is `TINY`.
    """

    def __init__(self, lower: FloatArray | float, upper: FloatArray | float) -> None:
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

    def at_lower(self) -> FloatArray:
        """Return (n,): density of the distribution at its lower bound."""
        return density(self.lower) / self.mass

    def at_upper(self) -> FloatArray:
        """Return (n,): density of the distribution at its upper bound."""
        return density(self.upper) / self.mass

    def mean(self) -> FloatArray:
        """Return (n,): the expectations."""
        return self.at_lower() - self.at_upper()

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Return one draw of each, (n,), by inversion of the distribution function."""
        return self._quantiles(rng.random(len(self.mass)))

    def draw_means(self, weight: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return of each the mean of `weight` draws, (n,); 0 where the weight is 0.

        A weight that is no whole number rounds to the number of draws, whose mean is then spread to
        the variance that belongs to the weight.
        """
        copies = np.clip(np.rint(weight), 1, MOST_COPIES).astype(np.intp)
        drawn = np.zeros(len(weight))
        for copy in range(copies.max(initial=0)):
            chosen = np.flatnonzero(copies > copy)
            drawn[chosen] += self._quantiles(rng.random(len(chosen)), chosen)
        mean = self.mean()
        spread = np.sqrt(copies / np.where(weight > 0, weight, 1))
        return np.where(weight > 0, mean + (drawn / copies - mean) * spread, 0.0)

    def _quantiles(self, p: FloatArray, chosen: IndexArray | slice = slice(None)) -> FloatArray:
        """Return the quantiles p of the `chosen` distributions."""
        sign, low, high = (
            x if np.ndim(x) == 0 else x[chosen] for x in (self._sign, self._low, self._high)
        )
        p = np.broadcast_to(self._below, self.mass.shape)[chosen] + self.mass[chosen] * p
        return sign * np.clip(ndtri(np.maximum(p, TINY)), low, high)


def between_cut_points(c: FloatArray, eta: Sequence[FloatArray]) -> list[TruncatedNormal]:
    """Return z - eta ~ N(0, 1), z between the cut points of the class, for each class's rows.

    c : (n_classes - 1,). eta : predictions of each class's rows.
    """
    # A single class has no finite bound, whose length would be the number of rows.
    first = -np.inf if len(c) else np.full(len(eta[0]), -np.inf)
    lower = [first, *(cut - rows for cut, rows in zip(c, eta[1:], strict=True))]
    upper = [*(cut - rows for cut, rows in zip(c, eta[:-1], strict=True)), np.inf]
    return [TruncatedNormal(*bounds) for bounds in zip(lower, upper, strict=True)]


def density(x: FloatArray | float) -> FloatArray:
    """Return phi(x), the density of N(0, 1)."""
    return np.exp(-0.5 * x * x) * (1 / np.sqrt(2 * np.pi))
