"""Ridge regression on all pairwise products of features: the model that an FM replaces.

    y(x) = w0 + sum_j w_j x_j + sum_{i<j} W_ij x_i x_j
    minimize  sum_rows (y - y(x))^2 + l2 |w|^2 + l2_pairs |W|^2

A pair that no training row has keeps W_ij = 0 (Rendle, "Factorization Machines", ICDM 2010,
section III-B). So with one-hot ids, each pair rated once, W says nothing of the pairs to be
predicted: minimizing over W_ij first turns a row's loss into (y - w0 - <w, x>)^2 l2_pairs / (1 +
l2_pairs), and what is left is the linear model with penalty l2 (1 + 1 / l2_pairs).

Only pairs that occur are kept, at most the sum over rows of (features in the row)^2 / 2. The
columns of linear blocks are in no pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import RegressorMixin
from sklearn.preprocessing import PolynomialFeatures

from baselines.inputs import Machine, as_csr, check_target
from baselines.linear import solve_ridge
from baselines.parameters import Estimator, NonNegativeFloat
from fm.design import Design

MAX_PRODUCTS = 50_000_000
"""Products of two features, over all rows, up to which they are held in memory: some gigabytes."""


@dataclass(kw_only=True, eq=False, repr=False)
class QuadraticRegression(RegressorMixin, Estimator):
    """Linear model of all features and all their pairwise products.

    Parameters
    ----------
    l2 : penalty on the squared weights of single features, in the sum objective above.
    l2_pairs : the same for the products' weights; None: as `l2`.

    Attributes
    ----------
    coef_ : (n_features,) w; 0 for a feature that no training row has.
    n_paired_ : how many features, the first ones, are in pairs: all but those of linear blocks.
    pairs_ : (n_pairs,) positions, in W's upper triangle read row by row, of pairs some training row
        has.
    pair_coef_ : (n_pairs,) their W_ij.
    intercept_ : w0.
    n_parameters_ : weights that are not zero, and the intercept.
    """

    l2: NonNegativeFloat = 4.0
    l2_pairs: NonNegativeFloat | None = None

    def fit(self, X: Design | ArrayLike, y: ArrayLike) -> Self:
        """Fit to X, a Design or matrix (n_rows, n_features).

        ValueError for NaN, lengths that differ, or too many products.
        """
        self.check_params()
        matrix = as_csr(X)
        y = check_target(matrix, y)
        n_features = matrix.shape[1]
        self.n_paired_ = X.n_interacting if isinstance(X, Design) else n_features
        products = pair_products(matrix[:, : self.n_paired_])
        self.pairs_ = np.unique(products.indices)
        l2_pairs = self.l2 if self.l2_pairs is None else self.l2_pairs
        penalty = np.repeat([float(self.l2), float(l2_pairs)], [n_features, len(self.pairs_)])
        matrix = sparse.hstack([matrix, products[:, self.pairs_]], format="csr")
        w, self.intercept_ = solve_ridge(matrix, y, penalty)
        self.coef_, self.pair_coef_ = w[:n_features], w[n_features:]
        self.n_parameters_ = np.count_nonzero(w) + 1
        return self

    def predict(self, X: Design | ArrayLike) -> NDArray[np.float64]:
        """(n_rows,). ValueError unless X has as many columns as in `fit`."""
        matrix = as_csr(X, n_features=len(self.coef_))
        pairs = pair_products(matrix[:, : self.n_paired_])[:, self.pairs_]
        return matrix @ self.coef_ + pairs @ self.pair_coef_ + self.intercept_

    def as_machine(self, X: Design) -> Machine:
        """Return it as a factorization machine: each pair of levels that occurs adds its weight.

        ValueError for side features, whose pairs belong to no levels.
        """
        if any(block.side_features is not None for block in X):
            raise ValueError(f"{type(self).__name__} has weights for pairs of side features")
        row_starts = np.cumsum(np.arange(self.n_paired_, 0, -1)) - self.n_paired_
        i = np.searchsorted(row_starts, self.pairs_, side="right") - 1
        features = np.column_stack([i, self.pairs_ - row_starts[i] + i + 1])
        first = np.cumsum([0, *(block.n_levels for block in X.interacting)])
        blocks = np.searchsorted(first, features, side="right") - 1
        levels = features - first[blocks]
        combinations = []
        for pair in np.unique(blocks, axis=0):
            rows = (blocks == pair).all(axis=1)
            combinations.append((tuple(pair.tolist()), levels[rows], self.pair_coef_[rows]))
        return Machine(self.intercept_, self.coef_, combinations=combinations)


def pair_products(X: sparse.csr_array) -> sparse.csr_array:
    """(n_rows, n_features * (n_features - 1) / 2): x_i x_j for i < j, j running faster.

    ValueError if there are more than `MAX_PRODUCTS`.
    """
    in_row = np.diff(X.indptr).astype(np.int64)
    n_products = np.sum(in_row * (in_row - 1) // 2)
    if n_products > MAX_PRODUCTS:
        raise ValueError(
            f"the {len(in_row):,} rows have {n_products:,} products of two features, more than "
            f"{MAX_PRODUCTS:,}: leave out features of which a row has many"
        )
    expanded = PolynomialFeatures(
        degree=2, interaction_only=True, include_bias=False
    ).fit_transform(X)
    return sparse.csr_array(expanded)[:, X.shape[1] :]
