"""Gradient boosting on target statistics, a few numbers a row instead of ids.

    of each block's level in the row:  (sum of y - mean) / (n + smoothing)     its target, shrunk to
    the mean
                                       log(1 + n)                              how much it was seen
                                       the same statistic averaged over its side features, where it
                                       has any

Micci-Barreca, "A Preprocessing Scheme for High-Cardinality Categorical Attributes", SIGKDD
Explorations 3(1), 2001. Statistics are of training rows only; those of a training row leave out the
fold, of `n_folds`, that it is in, since a rating that enters its own statistics predicts itself.

What it can't do: no statistic of single ids says anything of pairs, so that no trees on top can.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from baselines.estimator import BinaryClassifier, Regressor, n_seen_features
from fm.design import Block, Design
from fm.validation import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    check_integer,
)

AtLeastTwo = Annotated[int, partial(check_integer, low=2)]


@dataclass(kw_only=True, eq=False, repr=False)
class BoostingOnTargetStatistics(Regressor):
    """Gradient-boosted trees on the statistics, by `HistGradientBoostingRegressor`.

    Parameters
    ----------
    n_iter, n_leaves : trees, and leaves of each at most, which are counted as parameters.
    learning_rate, l2 : as scikit-learn has them.
    smoothing, n_folds : of the statistics.
    random_state : of the folds and the trees.

    Attributes
    ----------
    statistics_ : for each block, (n_levels + 1, columns); the last row is of the unknown level, -1.
    n_parameters_ : a sum and a count of each feature seen, the mean, and the leaves.
    """

    n_iter: PositiveInt = 100
    learning_rate: PositiveFloat = 0.1
    n_leaves: AtLeastTwo = 31
    l2: NonNegativeFloat = 0.0
    smoothing: NonNegativeFloat = 10.0
    n_folds: AtLeastTwo = 5
    random_state: NonNegativeInt = 0

    _kind: ClassVar[type] = HistGradientBoostingRegressor

    def _fit(self, X: Design, y: NDArray[np.float64]) -> None:
        fold = np.random.default_rng(self.random_state).permutation(len(y)) % self.n_folds
        self.mean_ = float(y.mean())
        views = [
            statistics(block, y - self.mean_, fold, self.n_folds, self.smoothing) for block in X
        ]
        columns = [view[block.levels, fold] for view, block in zip(views, X, strict=True)]
        self.statistics_ = [view[:, self.n_folds] for view in views]
        model = self._kind(
            learning_rate=self.learning_rate,
            max_iter=self.n_iter,
            max_leaf_nodes=self.n_leaves,
            l2_regularization=self.l2,
            early_stopping=False,
            random_state=self.random_state,
        )
        self.model_ = model.fit(np.hstack(columns), y if is_classifier(self) else y - self.mean_)
        n_leaves = self.model_.n_iter_ * self.n_leaves
        self.n_parameters_ = 1 + 2 * sum(map(n_seen_features, X)) + n_leaves

    def _predict(self, X: Design) -> NDArray[np.float64]:
        return self.mean_ + self.model_.predict(self._columns(X))

    def _columns(self, X: Design) -> NDArray[np.float64]:
        """Return the statistics of each row's levels."""
        columns = [table[block.levels] for table, block in zip(self.statistics_, X, strict=True)]
        return np.hstack(columns)


class BoostingClassifierOnTargetStatistics(BinaryClassifier, BoostingOnTargetStatistics):
    """The same of two classes, by `HistGradientBoostingClassifier`."""

    _kind = HistGradientBoostingClassifier

    def _predict(self, X: Design) -> NDArray[np.float64]:
        return self.model_.predict_proba(self._columns(X))[:, 1]


def statistics(
    block: Block,
    residual: NDArray[np.float64],
    fold: NDArray[np.integer],
    n_folds: int,
    smoothing: float,
) -> NDArray[np.float64]:
    """Return statistics of each level (n_levels + 1, n_folds + 1, columns).

    Along the second axis they leave out the rows of each fold; the last entry is of all rows.
    `residual` is y less its mean. A level without rows has zeros, and so has the last one, unknown.
    """
    n_cells = (block.n_levels + 1) * n_folds
    cell = np.where(block.levels < 0, block.n_levels, block.levels) * n_folds + fold
    by_fold = np.stack(
        [
            np.bincount(cell, weights, minlength=n_cells).reshape(-1, n_folds)
            for weights in (residual, np.ones(len(fold)))
        ]
    )
    by_fold[:, -1] = 0
    total = by_fold.sum(axis=2, keepdims=True)
    sums, counts = np.concatenate([total - by_fold, total], axis=2)
    columns = [_shrunk(sums, counts, smoothing), np.log1p(counts)]
    if block.side_features is not None:
        side = abs(block.side_features)
        of_side = _shrunk(side.T @ sums[:-1], side.T @ counts[:-1], smoothing)
        weight = side.sum(axis=1)
        shares = sparse.diags_array(1 / np.where(weight > 0, weight, 1)) @ side
        columns.append(np.vstack([shares @ of_side, np.zeros(n_folds + 1)]))
    return np.stack(columns, axis=-1)


def _shrunk(
    sums: NDArray[np.float64], counts: NDArray[np.float64], smoothing: float
) -> NDArray[np.float64]:
    weight = counts + smoothing
    return sums / np.where(weight > 0, weight, 1)
