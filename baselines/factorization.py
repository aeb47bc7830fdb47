"""Matrix factorizations, biased and non-negative.

Both predict

    y(u, i) = w0 + <U_u, V_i>

and are fitted to observed cells (u, i) alone: a cell without a rating is unknown, not zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from baselines.estimator import Machine, RandomState, Regressor, n_seen_features, numbers
from fm.design import Design
from fm.validation import NonNegativeFloat, PositiveFloat, PositiveInt


class Factors(NamedTuple):
    """Fitted w0, U (n_users + 1, d) and V (n_items + 1, d).

    The last rows of U and V are those of the unknown level, -1.
    """

    w0: float
    U: NDArray[np.float64]
    V: NDArray[np.float64]

    def predict(self, X: Design) -> NDArray[np.float64]:
        users, items = (block.levels for block in X)
        return self.w0 + np.einsum("nd,nd->n", self.U[users], self.V[items])


class Ratings(NamedTuple):
    """Number and sum of the ratings in each cell, both (n_users + 1, n_items + 1)."""

    counts: sparse.csr_array
    sums: sparse.csr_array

    @classmethod
    def of(cls, X: Design, y: NDArray[np.float64]) -> Self:
        cells = [np.where(block.levels < 0, block.n_levels, block.levels) for block in X]
        shape = tuple(block.n_levels + 1 for block in X)
        return cls(*(sparse.csr_array((v, cells), shape=shape) for v in (np.ones(len(y)), y)))


@dataclass(kw_only=True, eq=False, repr=False)
class Factorization(Regressor, ABC):
    """Base of the estimators with parameters k, n_iter, early_stopping and random_state.

    Attributes
    ----------
    factors_ : the fitted `Factors`.
    n_iter_ : sweeps they took; with `early_stopping`, those up to the lowest validation error.
    refit_params_ : hyperparameters with which to fit train and validation rows together.
    history_ : `train_mse`, `validation_mse` if validation rows were given, `seconds` (cumulative,
        without evaluation); each (sweeps,).
    """

    k: PositiveInt
    n_iter: PositiveInt
    early_stopping: PositiveInt | None = None
    random_state: RandomState = None

    @abstractmethod
    def _sweeps(self, ratings: Ratings, rng: np.random.Generator) -> Iterator[Factors]:
        """Yield new factors after each sweep, without end."""

    def fit(
        self, X: Design, y: ArrayLike, *, validation: tuple[Design, ArrayLike] | None = None
    ) -> Self:
        """Fit to a Design of two blocks without side features, for at most `n_iter` sweeps.

        `early_stopping` ends it after that many sweeps without a lower error on `validation`.
        """
        self.check_params()
        if self.early_stopping is not None and validation is None:
            raise ValueError(f"early_stopping={self.early_stopping} needs validation=(X, y) in fit")
        X = check_two_blocks(self._checked(X, reset=True))
        rows = {"train_mse": (X, numbers(y, X))}
        if validation is not None:
            A = self._checked(validation[0])
            rows["validation_mse"] = A, numbers(validation[1], A)
        self.n_seen_levels_ = sum(map(n_seen_features, X))

        history: dict[str, list[float]] = {name: [] for name in (*rows, "seconds")}
        seconds, start = 0.0, perf_counter()
        rng = np.random.default_rng(self.random_state)
        sweeps = self._sweeps(Ratings.of(*rows["train_mse"]), rng)
        for n_sweeps, factors in enumerate(islice(sweeps, self.n_iter), start=1):
            seconds += perf_counter() - start
            history["seconds"].append(seconds)
            for name, (A, b) in rows.items():
                history[name].append(float(np.mean((b - factors.predict(A)) ** 2)))
            if self.early_stopping is None or np.argmin(history["validation_mse"]) == n_sweeps - 1:
                self.factors_, self.n_iter_ = factors, n_sweeps
            elif n_sweeps - self.n_iter_ >= self.early_stopping:
                break
            start = perf_counter()
        self.history_ = {name: np.array(values) for name, values in history.items()}
        self.refit_params_ = {"n_iter": self.n_iter_, "early_stopping": None}
        return self

    def _predict(self, X: Design) -> NDArray[np.float64]:
        return self.factors_.predict(X)

    def as_machine(self, X: Design) -> Machine:
        """Return it as a factorization machine: the pair sum of two one-hot blocks is <U, V>."""
        w0, U, V = self.factors_
        unknown = np.insert([U[-1], V[-1]], 0, 0, axis=1)
        return Machine(w0, np.zeros(X.shape[1]), np.vstack([U[:-1], V[:-1]]), unknown)


@dataclass(kw_only=True, eq=False, repr=False)
class MatrixFactorization(Factorization):
    """Biased matrix factorization, an FM for two one-hot blocks that is written without one.

        y(u, i) = w0 + b_u + b_i + <p_u, q_i>
        minimize  sum (y - y(u, i))^2 + l2_w (|b_users|^2 + |b_items|^2) + l2 (|P|^2 + |Q|^2)

    by alternating ridge regressions: given the items, each user's theta_u = (b_u, p_u) is that of
    y - w0 - b_i on h_i = (1, q_i),

        (sum_i h_i h_i' + diag(l2_w, l2, ..., l2)) theta_u = sum_i (y_ui - w0 - b_i) h_i,

    then the items in the same way given the users, then w0 = mean residual. The left sides of all
    users at once are one product of the sparse matrix of rating counts (users x items) with the
    items' outer products. A sweep costs O(n_ratings k^2 + (n_users + n_items) k^3).

    A level without a training row has bias and factors 0. `factors_` holds b and p side by side:
    U_u = (b_u, 1, p_u), V_i = (1, b_i, q_i).

    Parameters
    ----------
    k : number of factors.
    l2 : penalty on the squared factors, in the sum objective above.
    l2_w : penalty on the squared biases; None: as `l2`.
    random_state : int, Generator or None; of the first Q ~ N(0, 0.1^2).

    References
    ----------
    Koren, Bell and Volinsky, "Matrix Factorization Techniques for Recommender Systems", IEEE
    Computer 2009, eq. 4. Zhou et al., "Large-scale Parallel Collaborative Filtering for the Netflix
    Prize", AAIM 2008, where a penalty grows with a level's ratings.
    """

    k: PositiveInt = 10
    l2: PositiveFloat = 10.0
    l2_w: PositiveFloat | None = None
    n_iter: PositiveInt = 30

    @property
    def n_parameters_(self) -> int:
        """w0, and bias and factors of each level that has a training row."""
        return 1 + self.n_seen_levels_ * (self.factors_.U.shape[1] - 1)

    def _sweeps(self, ratings: Ratings, rng: np.random.Generator) -> Iterator[Factors]:
        counts, sums = ratings
        penalty = np.full(self.k + 1, self.l2, dtype=np.float64)
        if self.l2_w is not None:
            penalty[0] = self.l2_w
        w0 = sums.sum() / counts.sum()
        items = np.zeros((counts.shape[1], self.k + 1))
        items[:-1, 1:] = rng.normal(scale=0.1, size=(len(items) - 1, self.k))
        while True:
            users = _regress(counts, sums, items, w0, penalty)
            items = _regress(counts.T, sums.T, users, w0, penalty)
            U, V = np.insert(users, 1, 1, axis=1), np.insert(items, 0, 1, axis=1)
            w0 = (sums.sum() - np.vdot(U, counts @ V)) / counts.sum()
            yield Factors(w0, U, V)


def _regress(
    counts: sparse.sparray,
    sums: sparse.sparray,
    others: NDArray[np.float64],
    w0: float,
    penalty: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Solve for theta (n, k + 1) of one side, the last 0, given the other side's (m, k + 1)."""
    h = others.copy()
    h[:, 0] = 1
    i, j = np.triu_indices(len(penalty))
    left = np.empty((counts.shape[0], len(penalty), len(penalty)))
    left[:, i, j] = left[:, j, i] = counts @ (h[:, i] * h[:, j])
    left += np.diag(penalty)
    right = sums @ h - counts @ (h * (w0 + others[:, :1]))
    theta = np.linalg.solve(left, right[..., np.newaxis])[..., 0]
    theta[-1] = 0
    return theta


@dataclass(kw_only=True, eq=False, repr=False)
class NonNegativeMatrixFactorization(Factorization):
    """Non-negative matrix factorization by multiplicative updates.

    No intercept and no biases:

        y(u, i) = <p_u, q_i>,     minimize  sum (y - y(u, i))^2 + l2 (|P|^2 + |Q|^2),  P, Q >= 0

    by Lee and Seung, "Algorithms for Non-negative Matrix Factorization", NIPS 2000, eq. 4, with the
    penalty's gradient in the denominator:

        p_uf <- p_uf (sum_i y_ui q_if) / (sum_i y(u, i) q_if + l2 p_uf),     then Q in the same way.

    It minimizes an upper bound that touches the objective at the present P (their lemma 2, to which
    the penalty adds a term that is its own bound). Cost of a sweep: O(n_ratings k).

    Training rows must have y >= 0; one with an unknown level (-1) teaches nothing. A level without
    information gets the average factors of the training rows, so that an unknown user is predicted
    an item's average over users.

    Parameters
    ----------
    k : number of factors.
    l2 : penalty on the squared factors, in the sum objective above.
    random_state : int, Generator or None; of the first P and Q, uniform with mean sqrt(mean(y) /
        k).
    """

    k: PositiveInt = 5
    l2: NonNegativeFloat = 4.0
    n_iter: PositiveInt = 300

    @property
    def n_parameters_(self) -> int:
        """Factors of each level that has a training row."""
        return self.n_seen_levels_ * self.factors_.U.shape[1]

    def _sweeps(self, ratings: Ratings, rng: np.random.Generator) -> Iterator[Factors]:
        counts, sums = (matrix[:-1, :-1] for matrix in ratings)
        if sums.data.min(initial=0) < 0:
            raise ValueError(
                f"non-negative factorization needs y >= 0, got ratings down to {sums.data.min():g}"
            )
        if not counts.nnz:
            raise ValueError("no training row has both levels known")
        cells = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr)), counts.indices
        fitted = counts.copy()
        size = np.sqrt(sums.sum() / counts.sum() / self.k)
        P, Q = (rng.uniform(0, 2 * size, (n, self.k)) for n in counts.shape)
        while True:
            fitted.data = counts.data * np.einsum("nk,nk->n", P[cells[0]], Q[cells[1]])
            P = _scaled(P, sums @ Q, fitted @ Q + self.l2 * P)
            fitted.data = counts.data * np.einsum("nk,nk->n", P[cells[0]], Q[cells[1]])
            Q = _scaled(Q, sums.T @ P, fitted.T @ P + self.l2 * Q)
            yield Factors(0.0, _completed(P, counts.sum(axis=1)), _completed(Q, counts.sum(axis=0)))


def _scaled(
    factors: NDArray[np.float64], up: NDArray[np.float64], down: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return factors * up / down; where down is 0, the factors or all they multiply are 0 too."""
    return np.divide(factors * up, down, out=np.zeros_like(factors), where=down > 0)


def _completed(factors: NDArray[np.float64], n_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give levels without rows, and the unknown one after them, the average factors of all rows."""
    average = n_rows @ factors / n_rows.sum()
    return np.vstack([np.where(n_rows[:, np.newaxis] > 0, factors, average), average])


def check_two_blocks(X: Design) -> Design:
    """Return X if it has two blocks without side features; ValueError for any other Design."""
    if len(X.blocks) != 2 or any(b.linear or b.side_features is not None for b in X):
        given = ", ".join(
            b.name + " (linear)" * b.linear + " with side features" * (b.side_features is not None)
            for b in X
        )
        raise ValueError(
            f"a matrix factorization needs X with two blocks and without side features, got {given}"
        )
    return X
