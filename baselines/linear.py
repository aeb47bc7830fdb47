"""Ridge regression on the flat feature matrix, and on all pairwise products of its columns.

    y(x) = w0 + <w, x> (+ sum_{i<j} W_ij x_i x_j)
    minimize  sum_rows (y - y(x))^2 + l2 |w|^2 (+ l2_pairs |W|^2)

With one-hot ids the first is all that can be said of a rating without an interaction, and so what a
model of interactions has to beat (Hoerl and Kennard, "Ridge Regression", Technometrics 1970). The
second is the model that an FM replaces: a pair that no training row has keeps W_ij = 0 (Rendle,
"Factorization Machines", ICDM 2010, section III-B), so that of one-hot ids, each pair rated once, W
says nothing of the pairs to be predicted. Only pairs that occur are kept. The columns of linear
blocks are in no pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg
from sklearn.preprocessing import PolynomialFeatures

from baselines.estimator import Machine, Regressor, Rows, flat, n_interacting
from fm.design import Design
from fm.validation import NonNegativeFloat

MAX_PRODUCTS = 50_000_000
"""Products of two features, over all rows, up to which they are held in memory: some gigabytes."""


@dataclass(kw_only=True, eq=False, repr=False)
class RidgeRegression(Regressor):
    """Linear model with a ridge penalty and a free intercept, of a Design or any matrix.

    Parameters
    ----------
    l2 : penalty on the squared weights, in the sum objective above.
    """

    l2: NonNegativeFloat = 4.0

    _fields_only = False

    def _fit(self, X: Rows, y: NDArray[np.float64]) -> None:
        self.coef_, self.intercept_ = solve_ridge(flat(X), y, np.full(X.shape[1], float(self.l2)))
        self.n_parameters_ = np.count_nonzero(self.coef_) + 1

    def _predict(self, X: Rows) -> NDArray[np.float64]:
        return flat(X) @ self.coef_ + self.intercept_


@dataclass(kw_only=True, eq=False, repr=False)
class QuadraticRegression(RidgeRegression):
    """Linear model of all features and all their pairwise products.

    Parameters
    ----------
    l2 : penalty on the squared weights of single features, in the sum objective above.
    l2_pairs : the same for the products' weights; None: as `l2`.

    Attributes
    ----------
    n_paired_ : how many features, the first ones, are in pairs: all but those of linear blocks.
    pairs_ : (n_pairs,) positions, in W's upper triangle read row by row, of pairs some training row
        has.
    pair_coef_ : (n_pairs,) their W_ij.
    """

    l2_pairs: NonNegativeFloat | None = None

    def _fit(self, X: Rows, y: NDArray[np.float64]) -> None:
        """Fit; ValueError for too many products."""
        self.n_paired_, n_features = n_interacting(X), X.shape[1]
        products = pair_products(flat(X)[:, : self.n_paired_])
        self.pairs_ = np.unique(products.indices)
        l2_pairs = self.l2 if self.l2_pairs is None else self.l2_pairs
        penalty = np.repeat([float(self.l2), float(l2_pairs)], [n_features, len(self.pairs_)])
        every = sparse.hstack([flat(X), products[:, self.pairs_]], format="csr")
        w, self.intercept_ = solve_ridge(every, y, penalty)
        self.coef_, self.pair_coef_ = w[:n_features], w[n_features:]
        self.n_parameters_ = np.count_nonzero(w) + 1

    def _predict(self, X: Rows) -> NDArray[np.float64]:
        pairs = pair_products(flat(X)[:, : self.n_paired_])[:, self.pairs_]
        return flat(X) @ self.coef_ + pairs @ self.pair_coef_ + self.intercept_

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


def solve_ridge(
    X: sparse.csr_array, y: NDArray[np.float64], penalty: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return weights and intercept that minimize sum (y - w0 - X w)^2 + sum_j penalty_j w_j^2.

    By conjugate gradients on the normal equations, preconditioned by their diagonal: O(nnz) a step,
    some twenty for one-hot ids. A column of zeros keeps weight 0. RuntimeError without convergence.
    """
    X = sparse.hstack([np.ones((X.shape[0], 1)), X], format="csr")
    penalty = np.append(0.0, penalty)
    diagonal = X.multiply(X).sum(axis=0) + penalty
    normal = LinearOperator(
        (X.shape[1],) * 2, matvec=lambda w: X.T @ (X @ w) + penalty * w, dtype=np.float64
    )
    inverse = sparse.diags_array(1 / np.where(diagonal > 0, diagonal, 1))
    w, steps = cg(normal, X.T @ y, rtol=1e-10, M=inverse)
    if steps:
        raise RuntimeError(f"ridge regression did not converge in {steps} steps; a larger l2 helps")
    return w[1:], float(w[0])


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
    expand = PolynomialFeatures(degree=2, interaction_only=True, include_bias=False)
    return sparse.csr_array(expand.fit_transform(X))[:, X.shape[1] :]
