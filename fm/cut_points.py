"""Cut points of ordered probit given the predictions: Metropolis-Hastings by Newton steps.

    log p(c | y, eta) = sum_rows log(Phi(c_y - eta) - Phi(c_{y-1} - eta)) - precision |c|^2 / 2,   c in order

is strictly concave in c (Pratt, JASA 1981). The proposal from c is centred at c + H^-1 g with scale H^-1, g being
the gradient and H the negative Hessian at c (Qi & Minka, "Hessian-based Markov chain Monte Carlo", 2002): for
many rows that is where the distribution lies, wherever c is. It is a Student t and not a normal
distribution so that from far away, where the quadratic is a poor guide, the way back never looks impossible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fm.truncated_normal import FAR, TruncatedNormal, density

DF = 5.0
"""Degrees of freedom of the proposal."""


@dataclass(frozen=True)
class Expansion:
    """Second-order expansion of log p at `cut_points`; `noise` is that of z - eta given them.

    newton : maximum of the quadratic; root : lower Cholesky factor of H.
    """

    cut_points: NDArray
    log_density: float
    newton: NDArray
    root: NDArray
    noise: TruncatedNormal

    @classmethod
    def at(cls, c: NDArray, y: NDArray, eta: NDArray, precision: float) -> Expansion:
        bounds = np.concatenate(([-FAR], c, [FAR]))
        lower, upper = bounds[y] - eta, bounds[y + 1] - eta
        noise = TruncatedNormal(lower, upper)
        a, b = density(lower) / noise.mass, density(upper) / noise.mass

        def by_class(x: NDArray) -> NDArray:
            return np.bincount(y, x, minlength=len(c) + 1)

        gradient = by_class(b)[:-1] - by_class(a)[1:] - precision * c
        diagonal = by_class(b * (upper + b))[:-1] + by_class(a * (a - lower))[1:] + precision
        beside = by_class(a * b)[1:-1]
        hessian = np.diag(diagonal) - np.diag(beside, 1) - np.diag(beside, -1)
        log_density = np.log(noise.mass).sum() - precision * np.dot(c, c) / 2
        return cls(c, log_density, c + np.linalg.solve(hessian, gradient), np.linalg.cholesky(hessian), noise)

    def propose(self, rng: np.random.Generator) -> NDArray:
        step = np.linalg.solve(self.root.T, rng.standard_normal(len(self.newton)))
        return self.newton + step / np.sqrt(rng.chisquare(DF) / DF)

    def log_proposal(self, c: NDArray) -> float:
        """Log density of proposing c from here, up to a constant."""
        scaled = self.root.T @ (c - self.newton)
        tail = np.log1p(np.dot(scaled, scaled) / DF)
        return np.log(np.diag(self.root)).sum() - (DF + len(c)) / 2 * tail


def draw_cut_points(
    c: NDArray, y: NDArray, eta: NDArray, precision: float, rng: np.random.Generator
) -> tuple[NDArray, TruncatedNormal]:
    """The next cut points (n_classes - 1,), and the distribution of z - eta given them."""
    here = Expansion.at(c, y, eta, precision)
    proposal = here.propose(rng)
    log_uniform = np.log(rng.random())
    if np.all(np.diff(proposal) > 0):
        there = Expansion.at(proposal, y, eta, precision)
        log_odds = there.log_density - here.log_density + there.log_proposal(c) - here.log_proposal(proposal)
        if log_uniform < log_odds:
            return proposal, there.noise
    return c, here.noise
