"""myFM, a Bayesian FM by Gibbs sampling in C++ (https://github.com/tohtsky/myFM).

A block of a `Design` becomes one of its relation blocks, level columns and side columns each a
group with a prior of its own. A row of level -1 has an empty row of the block.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from baselines.estimator import BinaryClassifier, Regressor, group_sizes, numbers
from baselines.external import Package
from fm.design import Design
from fm.validation import NonNegativeInt, PositiveInt


@dataclass(kw_only=True, eq=False, repr=False)
class MyFM(Package, Regressor):
    """Regression with Gaussian noise; predicts the posterior mean.

    Parameters: k factors, `n_iter` sweeps, all but the first tenth of which are averaged;
    random_state. Raises ImportError in `fit` where myFM is not installed.
    """

    k: NonNegativeInt = 10
    n_iter: PositiveInt = 200
    random_state: NonNegativeInt = 0

    package = "myfm"
    title = "myFM"
    _takes_linear = False
    _kind: ClassVar = "MyFMGibbsRegressor"

    def _fit(self, X: Design, y: NDArray[Any]) -> None:
        model = getattr(self.module(), self._kind)(rank=self.k, random_seed=self.random_state)
        n_kept = self.n_iter - self.n_iter // 10
        with redirect_stderr(io.StringIO()):  # its progress bar is drawn in a pipe too
            self.model_ = model.fit(
                None,
                y,
                X_rel=self._relations(X),
                n_iter=self.n_iter,
                n_kept_samples=n_kept,
                group_shapes=group_sizes(X),
            )
        self.n_parameters_ = n_kept * (1 + (self.k + 1) * X.shape[1])

    def _predict(self, X: Design) -> NDArray[np.float64]:
        return np.asarray(self.model_.predict(None, self._relations(X)), dtype=np.float64)

    def _relations(self, X: Design) -> list[Any]:
        """Return the blocks as myFM's relation blocks, whose last row is empty."""
        relations = []
        for block in X:
            levels = sparse.csr_matrix(block.level_columns())
            levels.resize(block.n_levels + 1, block.n_features)
            rows = np.where(block.levels < 0, block.n_levels, block.levels)
            relations.append(self.module().RelationBlock(rows, levels))
        return relations


class MyFMClassifier(BinaryClassifier, MyFM):
    """Probit; the probability is averaged over draws."""

    _kind = "MyFMGibbsClassifier"
    _labels = 0, 1

    def _predict(self, X: Design) -> NDArray[np.float64]:
        p = self.model_.predict_proba(None, self._relations(X))
        return np.asarray(p, dtype=np.float64)


class MyFMOrdered(MyFM):
    """Ordered probit; predicts the expected rating."""

    _kind = "MyFMOrderedProbit"

    def _target(self, X: Design, y: ArrayLike) -> NDArray[Any]:
        self.classes_, classes = np.unique(numbers(y, X), return_inverse=True)
        return classes

    def _predict(self, X: Design) -> NDArray[np.float64]:
        return self.model_.predict_proba(None, self._relations(X)) @ self.classes_
