"""Regression of a block's coefficients on the features of its levels: hierarchical side information.

The levels' theta have prior mean mu + S B, with S (n_levels, n_side) their features (Simm et al., "Macau:
Scalable Bayesian Factorization with High-Dimensional Side Information using MCMC", MLSP 2017). To the
machine this is the same as columns S of their own, with coefficients B: interactions of a level with its own
features are part of its bias. But B is drawn at once, given the levels' theta, instead of column by column
over all rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


class Ridge:
    """Solves with S'S + strength I for any strength, by the spectrum of the smaller of S'S and S S'.

    Costs O(min(n_levels, n_side)^3) once, then two dense products with the eigenvectors per solve.
    """

    def __init__(self, S: sparse.csr_array) -> None:
        self.S = S
        self._tall = S.shape[0] >= S.shape[1]
        gram = S.T @ S if self._tall else S @ S.T
        self._values, self._vectors = np.linalg.eigh(gram.toarray())

    def solve(self, x: NDArray, strength: float) -> NDArray:
        """(S'S + strength I)^-1 x, for x (n_side, d)."""
        if self._tall:
            return self._filter(x, strength)
        return (x - self.S.T @ self._filter(self.S @ x, strength)) / strength

    def _filter(self, x: NDArray, strength: float) -> NDArray:
        x = x.T @ self._vectors  # few rows: much faster than as many columns
        return ((x / (self._values + strength)) @ self._vectors.T).T

    def fit(self, x: NDArray, strength: float) -> NDArray:
        """(n_side, d): argmin over B of |x - S B|^2 + strength |B|^2."""
        return self.solve(self.S.T @ x, strength)

    def draw(self, x: NDArray, strength: float, root: NDArray, rng: np.random.Generator) -> NDArray:
        """B given x = S B + noise, rows of noise and of sqrt(strength) B being N(0, root root')."""
        n_levels, n_side = self.S.shape
        noise = rng.standard_normal((n_levels + n_side, len(root))) @ root.T
        return self.solve(
            self.S.T @ (x + noise[:n_levels]) + np.sqrt(strength) * noise[n_levels:], strength
        )


def flat(theta: NDArray, B: NDArray, S: sparse.csr_array) -> NDArray:
    """(n_levels + n_side, k + 1): coefficients of the columns (level, its features) that amount to `theta`.

    A level's own w is less what `fm.model` adds for pairs of its own columns.
    """
    own = theta - S @ B
    squares = [np.vecdot(x[:, 1:], x[:, 1:]) for x in (theta, own, B)]
    own[:, 0] -= (squares[0] - squares[1] - S.power(2) @ squares[2]) / 2
    return np.concatenate([own, B])
