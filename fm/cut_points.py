"""Cut points of ordered probit given the predictions: Metropolis-Hastings by Newton steps.

    log p(c | y, eta) = sum_rows log(Phi(c_y - eta) - Phi(c_{y-1} - eta)) - precision |c|^2 / 2,   c in order

is strictly concave in c (Pratt, JASA 1981). The proposal from c is centred at c + H^-1 g with scale H^-1, g being
the gradient and H the negative Hessian at c (Qi & Minka, "Hessian-based Markov chain Monte Carlo", 2002): for
many rows that is where the distribution lies, wherever c is. It is a Student t and not a normal
distribution so that from far away, where the quadratic is a poor guide, the way back never looks impossible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fm.truncated_normal import TruncatedNormal, between_cut_points

DF = 5.0
"""Degrees of freedom of the proposal."""


@dataclass(frozen=True)
class Expansion:
    """Second-order expansion of log p at `cut_points`; `noise` is that of z - eta given them, class by class.

    newton : maximum of the quadratic; root : lower Cholesky factor of H.
    """

    cut_points: NDArray
    log_density: float
    newton: NDArray
    root: NDArray
    noise: list[TruncatedNormal]

    @classmethod
    def at(cls, c: NDArray, eta: Sequence[NDArray], precision: float) -> Expansion:
        noise = between_cut_points(c, eta)
        gradient = -precision * c
        hessian = precision * np.eye(len(c))
        for j, rows in enumerate(noise):
            if j > 0:
                a = rows.at_lower()
                gradient[j - 1] -= a.sum()
                hessian[j - 1, j - 1] += a @ a - a @ rows.lower
            if j < len(c):
                b = rows.at_upper()
                gradient[j] += b.sum()
                hessian[j, j] += b @ b + b @ rows.upper
            if 0 < j < len(c):
                hessian[j - 1, j] = hessian[j, j - 1] = -(a @ b)
        log_density = sum(np.log(rows.mass).sum() for rows in noise) - precision * np.dot(c, c) / 2
        return cls(
            c,
            log_density,
            c + np.linalg.solve(hessian, gradient),
            np.linalg.cholesky(hessian),
            noise,
        )

    def propose(self, rng: np.random.Generator) -> NDArray:
        step = np.linalg.solve(self.root.T, rng.standard_normal(len(self.newton)))
        return self.newton + step / np.sqrt(rng.chisquare(DF) / DF)

    def log_proposal(self, c: NDArray) -> float:
        """Log density of proposing c from here, up to a constant."""
        scaled = self.root.T @ (c - self.newton)
        tail = np.log1p(np.dot(scaled, scaled) / DF)
        return np.log(np.diag(self.root)).sum() - (DF + len(c)) / 2 * tail


def draw_cut_points(
    c: NDArray, eta: Sequence[NDArray], precision: float, rng: np.random.Generator
) -> tuple[NDArray, list[TruncatedNormal]]:
    """The next cut points (n_classes - 1,), and the distribution of z - eta given them.

    eta : predictions for each class's rows.
    """
    here = Expansion.at(c, eta, precision)
    proposal = here.propose(rng)
    log_uniform = np.log(rng.random())
    if np.all(np.diff(proposal) > 0):
        there = Expansion.at(proposal, eta, precision)
        log_odds = (
            there.log_density
            - here.log_density
            + there.log_proposal(c)
            - here.log_proposal(proposal)
        )
        if log_uniform < log_odds:
            return proposal, there.noise
    return c, here.noise
