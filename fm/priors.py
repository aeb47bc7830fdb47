"""The prior of a group of columns: what their theta = (w, v) have in common, learned from them.

    theta_j ~ N(mu + B' s_j, Lambda^-1)         s_j the features of column j, if it has any
    mu, Lambda ~ Normal-Wishart,    rows of B ~ N(0, (strength Lambda)^-1),    strength ~ Gamma

The full covariance of w and v is learned. Without features: Salakhutdinov & Mnih (ICML 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from fm.arrays import BoolArray, IndexArray, RealArray

FIRST_PRECISION = 5.0, 20.0
"""Of w and of each factor, in units of y's spread, before anything has been learned."""


PAIRS = 0.5
"""Variance that the prior lets all pairs of a row's features have together at most, in units of
that of y. On rows drawn from known machines of 20 and 40 fields (seed 7, 30 sweeps) it takes 0.004
and 0.007 off the log loss; on Frappe's validation rows it changes nothing, where 0.1 adds 0.007."""


class Group:
    """Columns without features.

    columns : those of the group.
    seen : which of them occur in a row; the others say nothing of the prior.
    """

    state: tuple[str, ...] = ("mean", "precision")

    def __init__(self, columns: IndexArray, seen: BoolArray, k: int, prior: Prior) -> None:
        w, v = FIRST_PRECISION
        scale = np.array([prior.unit**2] + [prior.unit] * k)
        scatter = prior.scatter * scale
        scatter[1:] *= prior.shrinkage
        self.columns = columns
        self._seen = seen
        self._hyperprior = NormalWishart(
            np.zeros(k + 1), prior.strength, k + prior.df, np.diag(scatter)
        )
        self.mean: RealArray = np.zeros(k + 1)
        self.precision = np.diag(np.array([w] + [v] * k) / scale)

    def means(self) -> RealArray:
        """Return the prior mean of theta, (n_columns, k + 1) or, the same for all, (k + 1,)."""
        return self.mean

    def unknown(self) -> RealArray:
        """Return (k + 1,): expected theta of a column of which nothing is known."""
        return self.mean

    def flat(self, theta: RealArray) -> RealArray:
        """Return the coefficients that stand for `theta` (n_columns, k + 1) in `fm.model`."""
        return theta

    def draw(self, theta: RealArray, rng: np.random.Generator) -> None:
        """Draw all parameters given the columns' theta."""
        self.mean, self.precision = self._hyperprior.given(theta[self._seen]).draw(rng)

    def shift(self, theta: RealArray, c: RealArray) -> None:
        """Add c (k + 1,) to every column's theta."""
        theta += c
        self.mean = self.mean + c

    def shift_prior(self) -> tuple[RealArray, RealArray]:
        """Return (P, g) of the log prior of `shift(c)`, const + g'c - c'Pc / 2.

        Only the prior of the mean depends on c.
        """
        P = self._hyperprior.strength * self.precision
        return P, -P @ self.mean

    def shear(self, theta: RealArray, c: RealArray) -> None:
        """Take <c, v> from every column's w, c (k,), and have mean and precision follow."""
        T = np.eye(len(c) + 1)
        T[0, 1:] = -c
        theta[:] = theta @ T.T
        self.mean = T @ self.mean
        inverse = 2 * np.eye(len(T)) - T
        self.precision = inverse.T @ self.precision @ inverse

    def shear_prior(self) -> tuple[RealArray, RealArray]:
        """Return (P, g) as in `shift_prior`, of `shear(c)`.

        Only the Wishart prior depends on c, by its diagonal scale.
        """
        scale = np.diag(self._hyperprior.scatter)[1:]
        return np.diag(scale * self.precision[0, 0]), -scale * self.precision[0, 1:]

    def rescale(self, scale: RealArray) -> None:
        """Follow theta that was multiplied by `scale` (k + 1,)."""
        self.mean = self.mean * scale
        self.precision = self.precision / np.outer(scale, scale)

    def scale_prior(self, coordinates: Sequence[int]) -> tuple[float, float]:
        """Return (df, rate) of the log prior of multiplying these coordinates by c.

        It is const - df log c - rate / c^2.
        """
        some = list(coordinates)
        scatter = np.diag(self._hyperprior.scatter)
        rate = np.sum((scatter * np.diag(self.precision))[some]) / 2
        return self._hyperprior.df * len(some), float(rate)


class SideGroup(Group):
    """Columns with side features (n_columns, n_side_features)."""

    state: tuple[str, ...] = ("mean", "precision", "B", "strength")

    def __init__(
        self,
        columns: IndexArray,
        seen: BoolArray,
        k: int,
        prior: Prior,
        side: sparse.csr_array,
    ) -> None:
        super().__init__(columns, seen, k, prior)
        self._side = side
        self._ridge = Ridge(side[seen])
        self._strength_prior = prior.side
        self.B: RealArray = np.zeros((side.shape[1], k + 1))
        self.strength = 1.0
        self._effect_of: tuple[RealArray, RealArray] | None = None

    def means(self) -> RealArray:
        """Return the prior mean of theta, (n_columns, k + 1)."""
        return self.mean + self._effect()

    def _effect(self) -> RealArray:
        """Return S B (n_columns, k + 1), kept until B is another array."""
        if self._effect_of is None or self._effect_of[0] is not self.B:
            self._effect_of = self.B, self._side @ self.B
        return self._effect_of[1]

    def unknown(self) -> RealArray:
        """Return (k + 1,): the mean over the columns that occur."""
        return self.means()[self._seen].mean(axis=0)

    def flat(self, theta: RealArray) -> RealArray:
        """Return the coefficients of the columns, then of their features."""
        return flat(theta, self.B, self._side)

    def shear(self, theta: RealArray, c: RealArray) -> None:
        """Take <c, v> from every column's w."""
        super().shear(theta, c)
        self.B = self.B.copy()
        self.B[:, 0] -= self.B[:, 1:] @ c

    def rescale(self, scale: RealArray) -> None:
        """Follow theta that was multiplied by `scale` (k + 1,)."""
        super().rescale(scale)
        self.B = self.B * scale

    def draw(self, theta: RealArray, rng: np.random.Generator) -> None:
        """Draw mu and Lambda given B; B given these; strength given all."""
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


@dataclass(frozen=True)
class Prior:
    """The prior of a Bayesian factorization machine, in units of y's location and spread.

    center, unit : location and spread of y; 0 and 1 for probit.
    location : w0 ~ N(center, unit^2 / location); each cut point ~ N(0, 1 / location), in order.
    noise : shape and rate of Gamma, alpha unit^2 ~ Gamma(shape, rate).
    strength, df, scatter : per group of columns, the mean and precision of (w, v) are
        Normal-Wishart with mean 0, `strength`, k + `df` degrees of freedom and
        W^-1 = scatter diag(unit^2, unit, ..., unit).
    side : shape and rate of Gamma, the prior of `SideGroup.strength`.
    shrinkage : by which the scatter of V is multiplied, see `for_pairs`.

    `df`, `scatter` and `FIRST_PRECISION` are the best of 8 settings on validation (a tenth of
    ua.base of MovieLens-100K, 3 draws, 2 chains each): MSE 0.7909, against 0.7911 to 0.7931. They
    are worth ten columns, and outweigh a handful of rows: of fastFM's five R^2 is 0.2, and 0.999
    with noise = (1, 0.01) and scatter = 3.
    """

    center: float = 0.0
    unit: float = 1.0
    location: float = 0.01
    noise: tuple[float, float] = (1.0, 1.0)
    strength: float = 1.0
    df: float = 10.0
    scatter: float = 0.3
    side: tuple[float, float] = (1.0, 1.0)
    shrinkage: float = 1.0

    def for_pairs(self, n_features: float, k: int) -> Prior:
        """Return the prior for rows of so many features, whose pairs vary by `PAIRS` at most."""
        variance = self.scatter / (self.df - 2)
        expected = n_features * max(n_features - 1, 0) / 2 * k * variance**2
        return replace(self, shrinkage=min(1.0, float(np.sqrt(PAIRS / max(expected, PAIRS)))))

    @classmethod
    def of(cls, y: RealArray, weight: RealArray | None) -> Prior:
        """Return the prior in the unit of `y`, or 1 if it is constant."""
        center = float(np.average(y, weights=weight))
        spread = float(np.sqrt(np.average((y - center) ** 2, weights=weight)))
        return cls(center, spread or 1.0)


@dataclass(frozen=True)
class NormalWishart:
    """mean m (d,), strength > 0, df > d - 1, and scatter W^-1 (d, d)."""

    mean: RealArray
    strength: float
    df: float
    scatter: RealArray

    def given(self, x: RealArray) -> NormalWishart:
        """Return the posterior after observing the rows of `x` (n, d)."""
        n = len(x)
        if n == 0:
            return self
        center = x.mean(axis=0)
        off = center - self.mean
        strength = self.strength + n
        scatter = self.scatter + (x - center).T @ (x - center)
        scatter += np.outer(off, off) * (self.strength * n / strength)
        return NormalWishart(self.mean + off * (n / strength), strength, self.df + n, scatter)

    def draw(self, rng: np.random.Generator) -> tuple[RealArray, RealArray]:
        """Draw (mu, Lambda), by Bartlett's decomposition of the Wishart."""
        d = len(self.mean)
        bartlett = np.tril(rng.standard_normal((d, d)), -1)
        np.fill_diagonal(bartlett, np.sqrt(rng.chisquare(self.df - np.arange(d))))
        # Lambda = root root'
        root = np.linalg.solve(np.linalg.cholesky(self.scatter).T, bartlett)
        mu = self.mean + np.linalg.solve(root.T, rng.standard_normal(d)) / np.sqrt(self.strength)
        return mu, root @ root.T


class Ridge:
    """Solver with S'S + strength I for any strength, by the spectrum of the smaller of the Grams.

    Costs O(min(n_levels, n_side_features)^3) once, then two dense products with the eigenvectors
    per solve.
    """

    def __init__(self, S: sparse.csr_array) -> None:
        self.S = S
        self._tall = S.shape[0] >= S.shape[1]
        gram = S.T @ S if self._tall else S @ S.T
        self._values, self._vectors = np.linalg.eigh(gram.toarray())

    def solve(self, x: RealArray, strength: float) -> RealArray:
        """Return (S'S + strength I)^-1 x, for x (n_side_features, d)."""
        if self._tall:
            return self._filter(x, strength)
        return (x - self.S.T @ self._filter(self.S @ x, strength)) / strength

    def _filter(self, x: RealArray, strength: float) -> RealArray:
        x = x.T @ self._vectors  # few rows: much faster than as many columns
        return ((x / (self._values + strength)) @ self._vectors.T).T

    def fit(self, x: RealArray, strength: float) -> RealArray:
        """Return the minimum over B (n_side_features, d) of |x - S B|^2 + strength |B|^2."""
        return self.solve(self.S.T @ x, strength)

    def draw(
        self, x: RealArray, strength: float, root: RealArray, rng: np.random.Generator
    ) -> RealArray:
        """Draw B given x = S B + noise; noise and sqrt(strength) B have covariance root root'."""
        n_levels, n_side_features = self.S.shape
        noise = rng.standard_normal((n_levels + n_side_features, len(root))) @ root.T
        return self.solve(
            self.S.T @ (x + noise[:n_levels]) + np.sqrt(strength) * noise[n_levels:], strength
        )


def flat(theta: RealArray, B: RealArray, S: sparse.csr_array) -> RealArray:
    """Return (n_levels + n_side, k + 1): coefficients of levels and side features for `theta`.

    A level's own w is less what `fm.model` adds for pairs of its own columns.
    """
    own = theta - S @ B
    squares = [np.vecdot(x[:, 1:], x[:, 1:]) for x in (theta, own, B)]
    own[:, 0] -= (squares[0] - squares[1] - S.power(2) @ squares[2]) / 2
    return np.concatenate([own, B])
