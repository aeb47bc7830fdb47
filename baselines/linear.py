"""Ridge regression on the flat feature matrix: what each user and each item do by themselves.

    y(x) = w0 + <w, x>,     minimize  sum_rows (y - y(x))^2 + l2 |w|^2

With one-hot ids this is a mean, a shrunk deviation of each user and one of each item: everything
that can be said of a rating without an interaction, and so what a model of interactions has to beat
(Hoerl and Kennard, "Ridge Regression", Technometrics 1970).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg
from sklearn.base import RegressorMixin

from baselines.inputs import as_csr, check_target
from baselines.parameters import Estimator, NonNegativeFloat
from fm.design import Design


@dataclass(kw_only=True, eq=False, repr=False)
class RidgeRegression(RegressorMixin, Estimator):
    """Linear model with a ridge penalty and a free intercept.

    Parameters
    ----------
    l2 : penalty on the squared weights, in the sum objective above.

    Attributes
    ----------
    coef_ : (n_features,) w; 0 for a feature that no training row has.
    intercept_ : w0.
    n_parameters_ : weights that are not zero, and the intercept.
    """

    l2: NonNegativeFloat = 4.0

    def fit(self, X: Design | ArrayLike, y: ArrayLike) -> Self:
        """X : Design, or matrix (n_rows, n_features). ValueError for NaN or lengths that differ."""
        self.check_params()
        matrix = as_csr(X)
        target = check_target(matrix, y)
        penalty = np.full(matrix.shape[1], float(self.l2))
        self.coef_, self.intercept_ = solve_ridge(matrix, target, penalty)
        self.n_parameters_ = np.count_nonzero(self.coef_) + 1
        return self

    def predict(self, X: Design | ArrayLike) -> NDArray[np.float64]:
        """(n_rows,). ValueError unless X has as many columns as in `fit`."""
        return as_csr(X, n_features=len(self.coef_)) @ self.coef_ + self.intercept_


def solve_ridge(
    X: sparse.csr_array, y: NDArray[np.float64], penalty: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Weights and intercept that minimize sum (y - w0 - X w)^2 + sum_j penalty_j w_j^2.

    Conjugate gradients on the normal equations, preconditioned by their diagonal: O(nnz) a step,
    some twenty steps for one-hot ids, whose columns differ in length far more than in direction. A
    column of zeros keeps weight 0. RuntimeError if they do not converge.
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
