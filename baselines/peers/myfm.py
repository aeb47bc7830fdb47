"""myFM, a Bayesian FM by Gibbs sampling in C++ (https://github.com/tohtsky/myFM).

A block of a `Design` becomes one of its relation blocks, level columns and side columns each a
group with a prior of its own. A row of level -1 has an empty row of the block.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from dataclasses import dataclass
from types import ModuleType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from baselines.external import Package
from baselines.inputs import (
    BinaryClassifier,
    check_design,
    check_factors_everywhere,
    check_target,
    group_sizes,
)
from baselines.parameters import Estimator, NonNegativeInt, PositiveInt
from fm.design import Block, Design


@dataclass(kw_only=True, eq=False, repr=False)
class MyFM(Package, RegressorMixin, Estimator):
    """Regression with Gaussian noise; predicts the posterior mean.

    Parameters: k factors, `n_iter` sweeps, all but the first tenth of which are averaged;
    random_state. Raises ImportError in `fit` where myFM is not installed.
    """

    k: NonNegativeInt = 10
    n_iter: PositiveInt = 200
    random_state: NonNegativeInt = 0

    package = "myfm"
    title = "myFM"

    def fit(self, X: Design, y: ArrayLike) -> Self:
        self.check_params()
        X = check_design(X)
        model = self._model(self.module())
        with redirect_stderr(io.StringIO()):  # its progress bar is drawn in a pipe too
            self.model_ = model.fit(
                None,
                self._encode(X, y),
                X_rel=relations(X),
                n_iter=self.n_iter,
                n_kept_samples=self.n_iter - self.n_iter // 10,
                group_shapes=group_sizes(X),
            )
        self.n_parameters_ = (self.n_iter - self.n_iter // 10) * (1 + (self.k + 1) * X.shape[1])
        return self

    def predict(self, X: Design) -> NDArray[np.float64]:
        """(n_rows,)."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict(None, relations(check_design(X))), dtype=np.float64)

    def _model(self, myfm: ModuleType):
        return myfm.MyFMGibbsRegressor(rank=self.k, random_seed=self.random_state)

    def _encode(self, X: Design, y: ArrayLike) -> NDArray:
        return check_target(X, y)


class MyFMClassifier(BinaryClassifier, MyFM):
    """Probit; the probability is averaged over draws."""

    def _probability(self, X: Design) -> NDArray[np.float64]:
        check_is_fitted(self, "model_")
        p = self.model_.predict_proba(None, relations(check_design(X)))
        return np.asarray(p, dtype=np.float64)

    def _model(self, myfm: ModuleType):
        return myfm.MyFMGibbsClassifier(rank=self.k, random_seed=self.random_state)

    def _encode(self, X: Design, y: ArrayLike) -> NDArray:
        return self._codes(X, y).astype(np.intp)


class MyFMOrdered(MyFM):
    """Ordered probit; predicts the expected rating."""

    def predict(self, X: Design) -> NDArray[np.float64]:
        check_is_fitted(self, "model_")
        return self.model_.predict_proba(None, relations(check_design(X))) @ self.classes_

    def _model(self, myfm: ModuleType):
        return myfm.MyFMOrderedProbit(rank=self.k, random_seed=self.random_state)

    def _encode(self, X: Design, y: ArrayLike) -> NDArray:
        self.classes_, classes = np.unique(check_target(X, y), return_inverse=True)
        return classes


def relations(X: Design) -> list:
    """Return the blocks as myFM's relation blocks.

    ValueError for linear blocks, which myFM has no counterpart of.
    """
    check_factors_everywhere(X, MyFM.title)
    myfm = MyFM.module()
    return [myfm.RelationBlock(_rows(block), _levels(block)) for block in X]


def _rows(block: Block) -> NDArray[np.intp]:
    return np.where(block.levels < 0, block.n_levels, block.levels)


def _levels(block: Block) -> sparse.csr_matrix:
    """(n_levels + 1, n_features): each level's own column and side columns, and an empty row."""
    own = sparse.eye_array(block.n_levels, format="csr")
    columns = own if block.side_features is None else sparse.hstack([own, block.side_features])
    return sparse.csr_matrix(sparse.vstack([columns, sparse.csr_array((1, columns.shape[1]))]))
