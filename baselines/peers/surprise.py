"""Surprise, a library of rating predictors in Cython (https://surpriselib.com; JOSS 5(52), 2020).

What it can't do: anything but users and items. Ratings go in and predictions come out one by one,
through Python. Rows of an unknown user or item are left out of training; a prediction for one is
made of what is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from baselines.estimator import Regressor
from baselines.external import Package
from baselines.factorization import check_two_blocks
from fm.design import Design
from fm.validation import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


@dataclass(kw_only=True, eq=False, repr=False)
class SVD(Package, Regressor):
    """Biased matrix factorization by stochastic gradient descent over `n_iter` epochs.

    `l2` is a penalty for each rating (Koren, Bell & Volinsky, IEEE Computer 42(8), 2009); `model_`
    is Surprise's own fitted algorithm. Predictions are not clipped. `fit` raises ValueError unless
    X is two blocks without side features, ImportError where Surprise is not installed.
    """

    k: NonNegativeInt = 100
    n_iter: PositiveInt = 20
    random_state: NonNegativeInt = 0
    learning_rate: PositiveFloat = 0.005
    l2: NonNegativeFloat = 0.02

    package = "surprise"
    title = "Surprise"

    def _fit(self, X: Design, y: NDArray[np.float64]) -> None:
        users, items = (block.levels for block in check_two_blocks(X))
        known = (users >= 0) & (items >= 0)
        surprise = self.module()
        rows = zip(users[known].tolist(), items[known].tolist(), y[known].tolist(), repeat(None))
        reader = surprise.Reader(rating_scale=(float(y.min()), float(y.max())))
        algorithm = surprise.SVD(
            n_factors=self.k,
            n_epochs=self.n_iter,
            random_state=self.random_state,
            lr_all=self.learning_rate,
            reg_all=self.l2,
        )
        trainset = surprise.Dataset(reader).construct_trainset(list(rows))
        self.model_ = algorithm.fit(trainset)

    def _predict(self, X: Design) -> NDArray[np.float64]:
        pairs = zip(*(block.levels.tolist() for block in X), strict=True)
        estimates = (self.model_.predict(u, i, clip=False).est for u, i in pairs)
        return np.fromiter(estimates, dtype=np.float64, count=len(X))

    @property
    def n_parameters_(self) -> int:
        """The mean, and bias and factors of each user and item that has a rating."""
        trainset = self.model_.trainset
        return 1 + (1 + self.k) * (trainset.n_users + trainset.n_items)
