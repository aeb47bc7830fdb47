"""Base of the matrix factorizations: observed cells, learning curve, early stopping.

All of them predict

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
from sklearn.base import RegressorMixin

from baselines.inputs import Machine, blocks_of, check_design, check_target
from baselines.parameters import Estimator, PositiveInt, RandomState
from fm.design import Design


class Factors(NamedTuple):
    """Fitted w0, U (n_users + 1, d) and V (n_items + 1, d).

    The last rows of U and V are those of the unknown level, -1.
    """

    w0: float
    U: NDArray[np.float64]
    V: NDArray[np.float64]

    def predict(self, users: NDArray[np.intp], items: NDArray[np.intp]) -> NDArray[np.float64]:
        return self.w0 + np.einsum("nd,nd->n", self.U[users], self.V[items])


class Ratings(NamedTuple):
    """Number and sum of the ratings in each cell, both (n_users + 1, n_items + 1)."""

    counts: sparse.csr_array
    sums: sparse.csr_array


@dataclass(kw_only=True, eq=False, repr=False)
class Factorization(RegressorMixin, Estimator, ABC):
    """Base of the estimators with parameters k, n_iter, early_stopping and random_state.

    Attributes
    ----------
    factors_ : the fitted `Factors`.
    n_iter_ : sweeps they took; with `early_stopping`, those up to the lowest validation error.
    refit_params_ : hyperparameters with which to fit train and validation rows together.
    history_ : `train_mse`, `validation_mse` if validation rows were given, `seconds` (cumulative,
        without evaluation); each (sweeps,).
    blocks_ : name, levels and side features (none) of the two blocks.
    n_seen_levels_ : levels, of both blocks, with a training row.
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
        self.blocks_ = blocks_of(check_two_blocks(X))
        parts = {"train_mse": (X, y)}
        if validation is not None:
            parts["validation_mse"] = validation
        rows = {name: (*self._levels(A), check_target(A, b)) for name, (A, b) in parts.items()}
        users, items, y = rows["train_mse"]
        self.n_seen_levels_ = sum(len(np.unique(levels[levels >= 0])) for levels in (users, items))

        history: dict[str, list[float]] = {name: [] for name in (*rows, "seconds")}
        seconds, start = 0.0, perf_counter()
        rng = np.random.default_rng(self.random_state)
        sweeps = self._sweeps(self._ratings(users, items, y), rng)
        for n_sweeps, factors in enumerate(islice(sweeps, self.n_iter), start=1):
            seconds += perf_counter() - start
            history["seconds"].append(seconds)
            for name, (users, items, y) in rows.items():
                history[name].append(float(np.mean((y - factors.predict(users, items)) ** 2)))
            if self.early_stopping is None or np.argmin(history["validation_mse"]) == n_sweeps - 1:
                self.factors_, self.n_iter_ = factors, n_sweeps
            elif n_sweeps - self.n_iter_ >= self.early_stopping:
                break
            start = perf_counter()
        self.history_ = {name: np.array(values) for name, values in history.items()}
        self.refit_params_ = {"n_iter": self.n_iter_, "early_stopping": None}
        return self

    def predict(self, X: Design) -> NDArray[np.float64]:
        """(n_rows,). ValueError unless X has the blocks of `fit`."""
        return self.factors_.predict(*self._levels(X))

    def as_machine(self, X: Design) -> Machine:
        """Return it as a factorization machine: the pair sum of two one-hot blocks is <U, V>."""
        check_design(X, self.blocks_)
        w0, U, V = self.factors_
        unknown = np.insert([U[-1], V[-1]], 0, 0, axis=1)
        return Machine(w0, np.zeros(X.shape[1]), np.vstack([U[:-1], V[:-1]]), unknown)

    def _levels(self, X: Design) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        users, items = check_design(X, self.blocks_)
        return users.levels, items.levels

    def _ratings(
        self, users: NDArray[np.intp], items: NDArray[np.intp], y: NDArray[np.float64]
    ) -> Ratings:
        (_, n_users, _), (_, n_items, _) = self.blocks_
        cells = np.where(users < 0, n_users, users), np.where(items < 0, n_items, items)
        shape = (n_users + 1, n_items + 1)
        return Ratings(*(sparse.csr_array((v, cells), shape=shape) for v in (np.ones(len(y)), y)))


def check_two_blocks(X: Design) -> Design:
    """Return X if it has two blocks without side features; ValueError for any other Design."""
    blocks = check_design(X).blocks
    if len(blocks) != 2 or any(block.linear or block.side_features is not None for block in blocks):
        given = ", ".join(
            b.name + " (linear)" * b.linear + " with side features" * (b.side_features is not None)
            for b in blocks
        )
        raise ValueError(
            f"a matrix factorization needs X with two blocks and without side features, got {given}"
        )
    return X
