"""The prior of a group of columns: what their theta = (w, v) have in common, learned from them.

    theta_j ~ N(mu + B' s_j, Lambda^-1)         s_j the features of column j, if it has any
    mu, Lambda ~ Normal-Wishart,    rows of B ~ N(0, (strength Lambda)^-1),    strength ~ Gamma

The full covariance of w and v is learned. Without features: Salakhutdinov & Mnih (ICML 2008).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fm.normal_wishart import NormalWishart
from fm.prior import Prior
from fm.side import Ridge, flat

FIRST_PRECISION = 5.0, 20.0
"""Of w and of each factor, in units of y's spread, before anything has been learned."""


class Group:
    """Columns without features.

    columns : those of the group.
    seen : which of them occur in a row; the others say nothing of the prior.
    """

    state = ("mean", "precision")

    def __init__(
        self, columns: NDArray[np.intp], seen: NDArray[np.bool_], k: int, prior: Prior
    ) -> None:
        w, v = FIRST_PRECISION
        scale = np.array([prior.unit**2] + [prior.unit] * k)
        self.columns = columns
        self._seen = seen
        self._hyperprior = NormalWishart(
            np.zeros(k + 1), prior.strength, k + prior.df, prior.scatter * np.diag(scale)
        )
        self.mean = np.zeros(k + 1)
        self.precision = np.diag(np.array([w] + [v] * k) / scale)

    def means(self) -> NDArray:
        """Prior mean of each column's theta, (n_columns, k + 1) or, the same for all, (k + 1,)."""
        return self.mean

    def unknown(self) -> NDArray:
        """(k + 1,): expected theta of a column of which nothing is known."""
        return self.mean

    def flat(self, theta: NDArray) -> NDArray:
        """The coefficients that stand for `theta` (n_columns, k + 1) in `fm.model`."""
        return theta

    def draw(self, theta: NDArray, rng: np.random.Generator) -> None:
        """All parameters given the columns' theta."""
        self.mean, self.precision = self._hyperprior.given(theta[self._seen]).draw(rng)

    def shift(self, theta: NDArray, c: NDArray) -> None:
        """Add c (k + 1,) to every column's theta."""
        theta += c
        self.mean = self.mean + c

    def shift_prior(self) -> tuple[NDArray, NDArray]:
        """(P, g) of the log prior of `shift(c)`, const + g'c - c'Pc / 2: only that of the mean minds."""
        P = self._hyperprior.strength * self.precision
        return P, -P @ self.mean

    def shear(self, theta: NDArray, c: NDArray) -> None:
        """Take <c, v> from every column's w, c (k,), and have mean and precision follow."""
        T = np.eye(len(c) + 1)
        T[0, 1:] = -c
        theta[:] = theta @ T.T
        self.mean = T @ self.mean
        inverse = 2 * np.eye(len(T)) - T
        self.precision = inverse.T @ self.precision @ inverse

    def shear_prior(self) -> tuple[NDArray, NDArray]:
        """(P, g) as in `shift_prior`, of `shear(c)`: only the Wishart prior's scale minds, which is diagonal."""
        scale = np.diag(self._hyperprior.scatter)[1:]
        return np.diag(scale * self.precision[0, 0]), -scale * self.precision[0, 1:]


class SideGroup(Group):
    """Columns with features `side` (n_columns, n_side)."""

    state = ("mean", "precision", "B", "strength")

    def __init__(
        self,
        columns: NDArray[np.intp],
        seen: NDArray[np.bool_],
        k: int,
        prior: Prior,
        side: sparse.csr_array,
    ) -> None:
        super().__init__(columns, seen, k, prior)
        self._side = side
        self._ridge = Ridge(side[seen])
        self._strength_prior = prior.side
        self.B = np.zeros((side.shape[1], k + 1))
        self.strength = 1.0
        self._known = None, None

    def means(self) -> NDArray:
        return self.mean + self._effect()

    def _effect(self) -> NDArray:
        """S B (n_columns, k + 1), kept until B is another array."""
        if self._known[0] is not self.B:
            self._known = self.B, self._side @ self.B
        return self._known[1]

    def unknown(self) -> NDArray:
        return self.means()[self._seen].mean(axis=0)

    def flat(self, theta: NDArray) -> NDArray:
        return flat(theta, self.B, self._side)

    def shear(self, theta: NDArray, c: NDArray) -> None:
        super().shear(theta, c)
        self.B = self.B.copy()
        self.B[:, 0] -= self.B[:, 1:] @ c

    def draw(self, theta: NDArray, rng: np.random.Generator) -> None:
        """mu, Lambda given B; B given these; strength given all."""
        theta = theta[self._seen]
        prior = self._hyperprior
        prior = replace(
            prior,
            df=prior.df + len(self.B),
            scatter=prior.scatter + self.strength * self.B.T @ self.B,
        )
        self.mean, self.precision = prior.given(theta - self._effect()[self._seen]).draw(rng)
        root = np.linalg.inv(np.linalg.cholesky(self.precision)).T
        self.B = self._ridge.draw(theta - self.mean, self.strength, root, rng)
        shape, rate = self._strength_prior
        squares = np.sum(self.B @ self.precision * self.B)
        self.strength = rng.gamma(shape + self.B.size / 2) / (rate + squares / 2)
