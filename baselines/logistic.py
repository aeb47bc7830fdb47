"""Classifiers: base rate, look-up, logistic regression of single features and of hashed pairs.

    P(y = 1 | x) = 1 / (1 + exp(-f(x))),    f(x) = w0 + <w, x> (+ sum_{i<j} W_h(i,j) x_i x_j)
    minimize  sum_rows log loss + l2 |w|^2 / 2 (+ l2_pairs |W|^2 / 2)

A hash h gives each pair of features one of `2^bits` weights, which two pairs may share (Weinberger
et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009). An FM has factors instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression as Solver

from baselines.estimator import BinaryClassifier, Estimator, Machine, Regressor, flat, n_interacting
from baselines.linear import pair_products
from fm.design import Design
from fm.validation import PositiveFloat, PositiveInt, check_number, check_X

HASH = 0x9E3779B97F4A7C15
"""Odd, 2^64 over the golden ratio: multiplied by it, neighboring numbers fall far apart."""


class LogOdds(BinaryClassifier, Estimator):
    """Base of classifiers that give log-odds of the second class."""

    def _probability(self, X: Any) -> NDArray[np.float64]:
        return expit(self.decision_function(X))


class BaseRate(LogOdds):
    """The share of the second class among training rows, for every row alike."""

    n_parameters_ = 1

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to y; X is not looked at. ValueError unless y has two classes."""
        rows = check_X(self, X, reset=True)
        codes = self._target(rows, y)
        self.coef_ = np.zeros(rows.shape[1])
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        rate = np.average(codes, weights=weights)
        self.intercept_ = float(np.log(rate / (1 - rate)))
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """(n_rows,) log-odds of the second class."""
        return np.full(check_X(self, X).shape[0], self.intercept_)


class RowLookup(LogOdds, Regressor):
    """Two rates: of rows whose levels were seen with the second class, and of all others.

        P(y = 1 | x) = p_seen     if a training row of the second class has the same levels
                       p_unseen   otherwise

    Both are of training rows, each looked up among all others (leave one out). Of the user and the
    item it is what a benchmark gives away whose negatives are pairs that were never positive.

    Attributes
    ----------
    positive_ : sorted numbers of the combinations of levels seen with the second class.
    rates_ : (2,) share of the second class among unseen and among seen combinations.
    n_parameters_ : combinations kept, and two.
    """

    def _fit(self, X: Design, y: NDArray[np.float64]) -> None:
        if math.prod(block.n_levels + 1 for block in X) >= 2**63:
            raise ValueError("X has more combinations of levels than 2^63: give it fewer blocks")
        keys = self._keys(X)
        self.positive_, counts = np.unique(keys[y == 1], return_counts=True)
        place = np.minimum(np.searchsorted(self.positive_, keys), len(counts) - 1)
        seen = np.where(self.positive_[place] == keys, counts[place], 0) > y
        n_positive = np.bincount(seen, weights=y, minlength=2)
        self.rates_ = (n_positive + y.mean()) / (np.bincount(seen, minlength=2) + 1)
        self.n_parameters_ = len(self.positive_) + 2

    def decision_function(self, X: Design) -> NDArray[np.float64]:
        """(n_rows,) log-odds of the second class."""
        seen = np.isin(self._keys(self._checked(X)), self.positive_)
        return logit(self.rates_)[seen.astype(np.intp)]

    def as_machine(self, X: Design) -> Machine:
        """Return it as a factorization machine: the combinations it has seen add the same.

        ValueError if there are unknown levels among them, which no factorization machine combines.
        """
        unseen, seen = logit(self.rates_)
        sizes = [block.n_levels + 1 for block in X]
        levels = np.column_stack(np.unravel_index(self.positive_, sizes)) - 1
        if (levels < 0).any():
            raise ValueError(f"{type(self).__name__} has combinations with unknown levels")
        combinations = [(tuple(range(len(sizes))), levels, np.full(len(levels), seen - unseen))]
        return Machine(unseen, np.zeros(X.shape[1]), combinations=combinations)

    def _keys(self, X: Design) -> NDArray[np.int64]:
        """Return a number for each row's combination of levels."""
        keys = np.zeros(len(X), dtype=np.int64)
        for block in X:
            keys = keys * (block.n_levels + 1) + block.levels + 1
        return keys


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegression(LogOdds):
    """Linear logistic regression, solved by scikit-learn's L-BFGS.

    Parameters
    ----------
    l2 : penalty on the squared weights, in the sum objective above.
    max_iter : steps, at most.
    """

    l2: PositiveFloat = 1.0
    max_iter: PositiveInt = 500

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to X, a Design or matrix (n_rows, n_features).

        ValueError for NaN, lengths that differ, or other than two classes.
        """
        self.check_params()
        rows = check_X(self, X, reset=True)
        self.n_paired_ = n_interacting(rows)
        matrix, codes = self._features(flat(rows)), self._target(rows, y)
        solver = Solver(C=1 / self.l2, max_iter=self.max_iter)
        solver.fit(matrix, codes, sample_weight=sample_weight)
        self.coef_, self.intercept_ = solver.coef_[0], float(solver.intercept_[0])
        self.n_parameters_ = np.count_nonzero(self.coef_) + 1
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """(n_rows,) log-odds of the second class."""
        return self._features(flat(check_X(self, X))) @ self.coef_ + self.intercept_

    def _features(self, X: sparse.csr_array) -> sparse.csr_array:
        return X


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

    def _features(self, X: sparse.csr_array) -> sparse.csr_array:
        """Features, then pairs, scaled so that one penalty is right for both."""
        pairs = pair_products(X[:, : self.n_paired_])
        hashed = pairs.indices.astype(np.uint64) * np.uint64(HASH) >> np.uint64(64 - self.bits)
        scale = np.sqrt(self.l2 / self.l2_pairs)
        shape = (X.shape[0], 2**self.bits)
        crossed = sparse.csr_array(
            (scale * pairs.data, hashed.astype(np.int32), pairs.indptr.astype(np.int32)), shape
        )
        crossed.sum_duplicates()
        return sparse.csr_array(sparse.hstack([X, crossed], format="csr"))
