"""Surprise, a library of rating predictors in Cython (https://surpriselib.com; JOSS 5(52), 2020).

What it can't do: anything but users and items. Ratings go in and predictions come out one by one,
through Python. Rows of an unknown user or item are left out of training; a prediction for one is
made of what is known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import repeat
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from baselines.factorization import two_sides
from baselines.inputs import check_target
from baselines.peers.installed import Package
from fm.design import Design
from fm.validation import check_integer, check_number


class Surprise(Package, RegressorMixin, BaseEstimator, ABC):
    """Base of the adapters. `model_` is Surprise's own fitted algorithm."""

    package = "surprise"
    title = "Surprise"

    def fit(self, X: Design, y: ArrayLike) -> Self:
        """Fit Surprise's algorithm to the rows with both levels known.

        ValueError unless X is two blocks without side features; ImportError where Surprise is not
        installed.
        """
        self.check_params()
        self.blocks_ = two_sides(X)
        surprise = self.module()
        y = check_target(X, y)
        users, items = (block.levels for block in X)
        known = (users >= 0) & (items >= 0)
        rows = zip(users[known].tolist(), items[known].tolist(), y[known].tolist(), repeat(None))
        reader = surprise.Reader(rating_scale=(float(y.min()), float(y.max())))
        self.model_ = self._algorithm(surprise).fit(
            surprise.Dataset(reader).construct_trainset(list(rows))
        )
        return self

    def predict(self, X: Design) -> NDArray[np.float64]:
        """(n_rows,), not clipped. ValueError unless X has the blocks of `fit`."""
        if two_sides(X) != self.blocks_:
            raise ValueError(
                f"X has the blocks (name, levels) {two_sides(X)}, "
                f"the model was fitted on {self.blocks_}"
            )
        users, items = (block.levels.tolist() for block in X)
        said = (
            self.model_.predict(u, i, clip=False).est for u, i in zip(users, items, strict=True)
        )
        return np.fromiter(said, dtype=np.float64, count=len(X))

    @property
    def n_parameters_(self) -> int:
        """The mean, and what is kept of each user and item that has a rating."""
        trainset = self.model_.trainset
        return 1 + self._per_user() * trainset.n_users + self._per_item() * trainset.n_items

    @abstractmethod
    def _algorithm(self, surprise):
        """Surprise's algorithm, not fitted."""

    def _per_user(self) -> int:
        return 1

    def _per_item(self) -> int:
        return 1


class Baseline(Surprise):
    """`BaselineOnly`: the mean and a bias of each user and item.

    Fitted by `n_iter` alternating sweeps; `l2_user` and `l2_item` are penalties (Koren, TKDD 4(1),
    2010, section 2.1).
    """

    def __init__(self, *, n_iter: int = 10, l2_user: float = 15.0, l2_item: float = 10.0) -> None:
        self.n_iter = n_iter
        self.l2_user = l2_user
        self.l2_item = l2_item

    def check_params(self) -> None:
        check_integer("n_iter", self.n_iter, low=1)
        check_number("l2_user", self.l2_user, low=0)
        check_number("l2_item", self.l2_item, low=0)

    def _algorithm(self, surprise):
        options = {
            "method": "als",
            "n_epochs": self.n_iter,
            "reg_u": self.l2_user,
            "reg_i": self.l2_item,
        }
        return surprise.BaselineOnly(bsl_options=options, verbose=False)


class NMF(Surprise):
    """Non-negative matrix factorization of the ratings, without biases.

    Fitted by `n_iter` multiplicative updates; `l2` is a penalty for each rating (Luo et al., IEEE
    TII 10(2), 2014). An unknown user or item is the mean.
    """

    def __init__(
        self, *, k: int = 15, n_iter: int = 50, l2: float = 0.06, random_state: int = 0
    ) -> None:
        self.k = k
        self.n_iter = n_iter
        self.l2 = l2
        self.random_state = random_state

    def check_params(self) -> None:
        check_integer("k", self.k, low=1)
        check_integer("n_iter", self.n_iter, low=1)
        check_number("l2", self.l2, low=0)
        check_integer("random_state", self.random_state, low=0)

    def _algorithm(self, surprise):
        return surprise.NMF(
            n_factors=self.k,
            n_epochs=self.n_iter,
            reg_pu=self.l2,
            reg_qi=self.l2,
            random_state=self.random_state,
        )

    def _per_user(self) -> int:
        return self.k

    def _per_item(self) -> int:
        return self.k


class SVD(Surprise):
    """Biased matrix factorization by stochastic gradient descent over `n_iter` epochs.

    `l2` is a penalty for each rating (Koren, Bell & Volinsky, IEEE Computer 42(8), 2009).
    """

    algorithm = "SVD"

    def __init__(
        self,
        *,
        k: int = 100,
        n_iter: int = 20,
        learning_rate: float = 0.005,
        l2: float = 0.02,
        random_state: int = 0,
    ) -> None:
        self.k = k
        self.n_iter = n_iter
        self.learning_rate = learning_rate
        self.l2 = l2
        self.random_state = random_state

    def check_params(self) -> None:
        check_integer("k", self.k, low=0)
        check_integer("n_iter", self.n_iter, low=1)
        check_number("learning_rate", self.learning_rate, above=0)
        check_number("l2", self.l2, low=0)
        check_integer("random_state", self.random_state, low=0)

    def _algorithm(self, surprise):
        return getattr(surprise, self.algorithm)(
            n_factors=self.k,
            n_epochs=self.n_iter,
            lr_all=self.learning_rate,
            reg_all=self.l2,
            random_state=self.random_state,
        )

    def _per_user(self) -> int:
        return 1 + self.k

    def _per_item(self) -> int:
        return 1 + self.k


class SVDpp(SVD):
    """SVD++: adds to a user's factors a vector of each item that she rated (Koren, KDD 2008).

    An epoch goes over all ratings of the user for each of them, so that its time grows with their
    square.
    """

    algorithm = "SVDpp"

    def _per_item(self) -> int:
        return 1 + 2 * self.k
