"""Logistic regression, of single features and of hashed pairs of features, and the base rate alone.

    P(y = 1 | x) = 1 / (1 + exp(-f(x))),    f(x) = w0 + <w, x> (+ sum_{i<j} W_h(i,j) x_i x_j)
    minimize  sum_rows log loss + l2 |w|^2 / 2 (+ l2_pairs |W|^2 / 2)

A hash h gives each pair of features one of `2^bits` weights, which two pairs may share (Weinberger
et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009). An FM has factors instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression as Solver

from baselines.estimator import BinaryClassifier, Estimator, as_csr
from baselines.linear import pair_products
from fm.design import Design
from fm.validation import PositiveFloat, PositiveInt, check_number

HASH = 0x9E3779B97F4A7C15
"""Odd, 2^64 over the golden ratio: multiplied by it, neighboring numbers fall far apart."""


class LogOdds(BinaryClassifier, Estimator):
    """Base of classifiers that give log-odds of the second class."""

    def _probability(self, X: Design | ArrayLike) -> NDArray[np.float64]:
        return expit(self.decision_function(X))


class BaseRate(LogOdds):
    """The share of the second class among training rows, for every row alike.

    Attributes
    ----------
    coef_, intercept_ : zeros, and its log-odds.
    """

    n_parameters_ = 1

    def fit(
        self, X: Design | ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit to y; X is not looked at. ValueError unless y has two classes."""
        matrix = as_csr(X)
        codes = self._target(matrix, y)
        self.coef_ = np.zeros(matrix.shape[1])
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        rate = np.average(codes, weights=weights)
        self.intercept_ = float(np.log(rate / (1 - rate)))
        return self

    def decision_function(self, X: Design | ArrayLike) -> NDArray[np.float64]:
        """(n_rows,) log-odds of the second class."""
        return np.full(as_csr(X).shape[0], self.intercept_)


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegression(LogOdds):
    """Linear logistic regression, solved by scikit-learn's L-BFGS.

    Parameters
    ----------
    l2 : penalty on the squared weights, in the sum objective above.
    max_iter : steps, at most.

    Attributes
    ----------
    coef_ : (n_features,) w, those of pairs included.
    intercept_ : w0.
    n_parameters_ : weights that are not zero, and the intercept.
    """

    l2: PositiveFloat = 1.0
    max_iter: PositiveInt = 500

    def fit(
        self, X: Design | ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit to X, a Design or matrix (n_rows, n_features).

        ValueError for NaN, lengths that differ, or other than two classes.
        """
        self.check_params()
        matrix = self._features(X)
        codes = self._target(matrix, y)
        solver = Solver(C=1 / self.l2, max_iter=self.max_iter)
        solver.fit(matrix, codes, sample_weight=sample_weight)
        self.coef_, self.intercept_ = solver.coef_[0], float(solver.intercept_[0])
        self.n_parameters_ = np.count_nonzero(self.coef_) + 1
        return self

    def decision_function(self, X: Design | ArrayLike) -> NDArray[np.float64]:
        """(n_rows,) log-odds of the second class."""
        return self._features(X) @ self.coef_ + self.intercept_

    def _features(self, X: Design | ArrayLike) -> sparse.csr_array:
        return as_csr(X)


@dataclass(kw_only=True, eq=False, repr=False)
class QuadraticLogisticRegression(LogisticRegression):
    """Logistic regression of all features and all hashed pairs of them.

    Parameters
    ----------
    l2, max_iter : as of `LogisticRegression`.
    l2_pairs : penalty on the pairs' weights.
    bits : log2 of the number of pairs' weights.
    """

    l2_pairs: PositiveFloat = 2.0
    bits: Annotated[PositiveInt, partial(check_number, high=30)] = 20

    def _features(self, X: Design | ArrayLike) -> sparse.csr_array:
        """Features, then pairs, scaled so that one penalty is right for both."""
        matrix = as_csr(X)
        n_paired = X.n_interacting if isinstance(X, Design) else matrix.shape[1]
        pairs = pair_products(matrix[:, :n_paired])
        hashed = pairs.indices.astype(np.uint64) * np.uint64(HASH) >> np.uint64(64 - self.bits)
        scale = np.sqrt(self.l2 / self.l2_pairs)
        shape = (matrix.shape[0], 2**self.bits)
        crossed = sparse.csr_array(
            (scale * pairs.data, hashed.astype(np.int32), pairs.indptr.astype(np.int32)), shape
        )
        crossed.sum_duplicates()
        return sparse.csr_array(sparse.hstack([matrix, crossed], format="csr"))
