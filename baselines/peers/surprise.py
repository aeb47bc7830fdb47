"""Surprise, a library of rating predictors in Cython (https://surpriselib.com; JOSS 5(52), 2020).

What it can't do: anything but users and items. Ratings go in and predictions come out one by one,
through Python. Rows of an unknown user or item are left out of training; a prediction for one is
made of what is known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import repeat
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin

from baselines.external import Package
from baselines.factorization import check_two_blocks
from baselines.inputs import blocks_of, check_design, check_target
from baselines.parameters import (
    Estimator,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from fm.design import Design


class Surprise(Package, RegressorMixin, Estimator, ABC):
    """Base of the adapters. `model_` is Surprise's own fitted algorithm."""

    package = "surprise"
    title = "Surprise"
    algorithm: ClassVar[str]

    def fit(self, X: Design, y: ArrayLike) -> Self:
        """Fit Surprise's algorithm to the rows with both levels known.

        ValueError unless X is two blocks without side features; ImportError where Surprise is not
        installed.
        """
        self.check_params()
        self.blocks_ = blocks_of(check_two_blocks(X))
        surprise = self.module()
        y = check_target(X, y)
        users, items = (block.levels for block in X)
        known = (users >= 0) & (items >= 0)
        rows = zip(users[known].tolist(), items[known].tolist(), y[known].tolist(), repeat(None))
        reader = surprise.Reader(rating_scale=(float(y.min()), float(y.max())))
        trainset = surprise.Dataset(reader).construct_trainset(list(rows))
        self.model_ = getattr(surprise, self.algorithm)(**self._options()).fit(trainset)
        return self

    def predict(self, X: Design) -> NDArray[np.float64]:
        """(n_rows,), not clipped. ValueError unless X has the blocks of `fit`."""
        users, items = (block.levels.tolist() for block in check_design(X, self.blocks_))
        estimates = (
            self.model_.predict(u, i, clip=False).est for u, i in zip(users, items, strict=True)
        )
        return np.fromiter(estimates, dtype=np.float64, count=len(X))

    @property
    def n_parameters_(self) -> int:
        """The mean, and what is kept of each user and item that has a rating."""
        trainset = self.model_.trainset
        return 1 + sum(np.multiply(self._sizes(), (trainset.n_users, trainset.n_items)).tolist())

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """Return the parameters by Surprise's names."""

    @abstractmethod
    def _sizes(self) -> tuple[int, int]:
        """Return how many numbers are kept of a user and of an item."""


@dataclass(kw_only=True, eq=False, repr=False)
class Baseline(Surprise):
    """`BaselineOnly`: the mean and a bias of each user and item.

    Fitted by `n_iter` alternating sweeps; `l2_user` and `l2_item` are penalties (Koren, TKDD 4(1),
    2010, section 2.1).
    """

    n_iter: PositiveInt = 10
    l2_user: NonNegativeFloat = 15.0
    l2_item: NonNegativeFloat = 10.0

    algorithm: ClassVar = "BaselineOnly"

    def _options(self) -> dict[str, Any]:
        als = {"n_epochs": self.n_iter, "reg_u": self.l2_user, "reg_i": self.l2_item}
        return {"bsl_options": {"method": "als"} | als, "verbose": False}

    def _sizes(self) -> tuple[int, int]:
        return 1, 1


@dataclass(kw_only=True, eq=False, repr=False)
class Factorized(Surprise):
    """Base of the algorithms that have k factors and a seed."""

    k: NonNegativeInt = 100
    n_iter: PositiveInt = 20
    random_state: NonNegativeInt = 0

    def _options(self) -> dict[str, Any]:
        return {"n_factors": self.k, "n_epochs": self.n_iter, "random_state": self.random_state}


@dataclass(kw_only=True, eq=False, repr=False)
class NMF(Factorized):
    """Non-negative matrix factorization of the ratings, without biases.

    Fitted by `n_iter` multiplicative updates; `l2` is a penalty for each rating (Luo et al., IEEE
    TII 10(2), 2014). An unknown user or item is the mean.
    """

    k: PositiveInt = 15
    n_iter: PositiveInt = 50
    l2: NonNegativeFloat = 0.06

    algorithm: ClassVar = "NMF"

    def _options(self) -> dict[str, Any]:
        return super()._options() | {"reg_pu": self.l2, "reg_qi": self.l2}

    def _sizes(self) -> tuple[int, int]:
        return self.k, self.k


@dataclass(kw_only=True, eq=False, repr=False)
class SVD(Factorized):
    """Biased matrix factorization by stochastic gradient descent over `n_iter` epochs.

    `l2` is a penalty for each rating (Koren, Bell & Volinsky, IEEE Computer 42(8), 2009).
    """

    learning_rate: PositiveFloat = 0.005
    l2: NonNegativeFloat = 0.02

    algorithm: ClassVar = "SVD"

    def _options(self) -> dict[str, Any]:
        return super()._options() | {"lr_all": self.learning_rate, "reg_all": self.l2}

    def _sizes(self) -> tuple[int, int]:
        return 1 + self.k, 1 + self.k


class SVDpp(SVD):
    """SVD++: adds to a user's factors a vector of each item that she rated (Koren, KDD 2008).

    An epoch goes over all ratings of the user for each of them, so that its time grows with their
    square.
    """

    algorithm: ClassVar = "SVDpp"

    def _sizes(self) -> tuple[int, int]:
        return 1 + self.k, 1 + 2 * self.k
