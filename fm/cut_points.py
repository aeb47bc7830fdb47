"""Cut points of ordered classes, drawn given predictions; the truncated normal distribution.

With z integrated out, log P(y | eta, cut points) is all but quadratic in the cut points: a Newton
step from where they are is the center of a Metropolis-Hastings proposal that is mostly accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from fm.arrays import FloatArray, IndexArray, RealArray

DF = 5.0
"""Degrees of freedom of the proposal."""


@dataclass(frozen=True)
class Expansion:
    """Second-order expansion of log p at `cut_points`.

    noise : of each class the distribution of (z - eta) root given the cut points.
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
        roots: Sequence[FloatArray] | None = None,
    ) -> Expansion:
        """Expand around c, given predictions, weights and roots of precision of a class's rows."""
        noise = between_cut_points(c, eta, roots)
        log_density = -precision * np.dot(c, c) / 2
        gradient = -precision * c
        hessian = precision * np.eye(len(c))
        for j, rows in enumerate(noise):
            s = np.ones(len(rows.mass)) if weight is None else weight[j]
            root = 1.0 if roots is None else roots[j]
            log_density += np.dot(s, np.log(rows.mass))
            if j > 0:
                a = rows.at_lower() * root
                sa = s * a
                gradient[j - 1] -= sa.sum()
                hessian[j - 1, j - 1] += sa @ a - sa @ (rows.lower * root)
            if j < len(c):
                b = rows.at_upper() * root
                sb = s * b
                gradient[j] += sb.sum()
                hessian[j, j] += sb @ b + sb @ (rows.upper * root)
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
    roots: Sequence[FloatArray] | None = None,
) -> tuple[FloatArray, list[TruncatedNormal]]:
    """Draw the next cut points (n_classes - 1,); return them and the distributions of z - eta.

    eta, weight, roots : predictions, weights and roots of the noise's precision of each class's
        rows; None for 1. Where there are roots, the distributions are of z - eta times these.
    """
    here = Expansion.at(c, eta, weight, precision, roots)
    proposal = here.propose(rng)
    log_uniform = np.log(rng.random())
    if np.all(np.diff(proposal) > 0):
        there = Expansion.at(proposal, eta, weight, precision, roots)
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


def between_cut_points(
    c: FloatArray, eta: Sequence[FloatArray], roots: Sequence[FloatArray] | None = None
) -> list[TruncatedNormal]:
    """Return z - eta ~ N(0, 1), z between the cut points of the class, for each class's rows.

    c : (n_classes - 1,). eta : predictions of each class's rows. roots : as of `draw_cut_points`.
    """
    # A single class has no finite bound, whose length would be the number of rows.
    first: FloatArray | float = -np.inf if len(c) else np.full(len(eta[0]), -np.inf)

    def distance(j: int, cut: float) -> FloatArray:
        return cut - eta[j] if roots is None else (cut - eta[j]) * roots[j]

    lower = [first, *(distance(j, cut) for j, cut in enumerate(c, start=1))]
    upper: list[FloatArray | float] = [*(distance(j, cut) for j, cut in enumerate(c)), np.inf]
    return [TruncatedNormal(*bounds) for bounds in zip(lower, upper, strict=True)]


def density(x: FloatArray | float) -> FloatArray:
    """Return phi(x), the density of N(0, 1)."""
    return np.exp(-0.5 * x * x) * (1 / np.sqrt(2 * np.pi))
