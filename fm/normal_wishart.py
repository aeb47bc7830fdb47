"""The Normal-Wishart distribution: conjugate prior of the mean and precision of Gaussian vectors.

    Lambda ~ Wishart(W, df),    mu | Lambda ~ N(m, (strength Lambda)^-1)

E[Lambda] = df W. Source: Salakhutdinov & Mnih, "Bayesian Probabilistic Matrix Factorization using MCMC"
(ICML 2008), equations 12 to 14, where m = 0; Gelman et al., "Bayesian Data Analysis" (3rd ed.), section 3.6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NormalWishart:
    """mean m (d,), strength > 0, df > d - 1, and scatter W^-1 (d, d)."""

    mean: NDArray
    strength: float
    df: float
    scatter: NDArray

    def given(self, x: NDArray) -> NormalWishart:
        """The posterior after observing the rows of `x` (n, d)."""
        n = len(x)
        if n == 0:
            return self
        centre = x.mean(axis=0)
        off = centre - self.mean
        strength = self.strength + n
        scatter = self.scatter + (x - centre).T @ (x - centre)
        scatter += np.outer(off, off) * (self.strength * n / strength)
        return NormalWishart(self.mean + off * (n / strength), strength, self.df + n, scatter)

    def draw(self, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """(mu, Lambda), by Bartlett's decomposition of the Wishart."""
        d = len(self.mean)
        bartlett = np.tril(rng.standard_normal((d, d)), -1)
        np.fill_diagonal(bartlett, np.sqrt(rng.chisquare(self.df - np.arange(d))))
        root = np.linalg.solve(np.linalg.cholesky(self.scatter).T, bartlett)  # Lambda = root root'
        mu = self.mean + np.linalg.solve(root.T, rng.standard_normal(d)) / np.sqrt(self.strength)
        return mu, root @ root.T
