"""Biased matrix factorization by alternating ridge regressions.

Model, for user u and item i (Koren, Bell and Volinsky, "Matrix Factorization Techniques for
Recommender Systems", IEEE Computer 2009, eq. 4, with w0 fitted too):

    y(u, i) = w0 + b_u + b_i + <p_u, q_i>

Objective, over observed cells only:

    sum (y - y(u, i))^2 + l2_w (|b_users|^2 + |b_items|^2) + l2 (|P|^2 + |Q|^2)

Update (Zhou et al., "Large-scale Parallel Collaborative Filtering for the Netflix Prize", AAIM
2008, here with the biases in the regression and a penalty that doesn't grow with a level's
ratings): given the items, each user's theta_u = (b_u, p_u) is a ridge regression of y - w0 - b_i on
h_i = (1, q_i),

    (sum_i h_i h_i' + diag(l2_w, l2, ..., l2)) theta_u = sum_i (y_ui - w0 - b_i) h_i,

then the items in the same way given the users, then w0 = mean residual. Each is an exact
minimization, so the objective never rises. The left sides of all users at once are one product of
the sparse matrix of rating counts (users x items) with the items' outer products.

Cost of a sweep: O(n_ratings k^2 + (n_users + n_items) k^3). This is a factorization machine for two
one-hot blocks, written without one: the two must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from baselines.factorization import Factorization, Factors, Ratings
from baselines.parameters import PositiveFloat, PositiveInt


@dataclass(kw_only=True, eq=False, repr=False)
class MatrixFactorization(Factorization):
    """Biased matrix factorization; a level without a training row has bias and factors 0.

    `factors_` holds b and p side by side: U_u = (b_u, 1, p_u), V_i = (1, b_i, q_i).

    Parameters
    ----------
    k : number of factors.
    l2 : penalty on the squared factors, in the sum objective above.
    l2_w : penalty on the squared biases; None: as `l2`.
    n_iter : sweeps.
    early_stopping : sweeps without a lower validation error before fitting ends; None: never.
    random_state : int, Generator or None; of the first Q ~ N(0, 0.1^2).
    """

    k: PositiveInt = 10
    l2: PositiveFloat = 10.0
    l2_w: PositiveFloat | None = None
    n_iter: PositiveInt = 30

    @property
    def n_parameters_(self) -> int:
        """w0, and bias and factors of each level that has a training row."""
        return 1 + self.n_seen_levels_ * (self.factors_.U.shape[1] - 1)

    def _sweeps(self, ratings: Ratings, rng: np.random.Generator) -> Iterator[Factors]:
        counts, sums = ratings
        penalty = np.full(self.k + 1, self.l2, dtype=np.float64)
        if self.l2_w is not None:
            penalty[0] = self.l2_w
        w0 = sums.sum() / counts.sum()
        items = np.zeros((counts.shape[1], self.k + 1))
        items[:-1, 1:] = rng.normal(scale=0.1, size=(len(items) - 1, self.k))
        while True:
            users = _regress(counts, sums, items, w0, penalty)
            items = _regress(counts.T, sums.T, users, w0, penalty)
            U, V = np.insert(users, 1, 1, axis=1), np.insert(items, 0, 1, axis=1)
            w0 = (sums.sum() - np.vdot(U, counts @ V)) / counts.sum()
            yield Factors(w0, U, V)


def _regress(
    counts: sparse.sparray,
    sums: sparse.sparray,
    others: NDArray[np.float64],
    w0: float,
    penalty: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Solve for theta (n, k + 1) of one side given the other side's `others` (m, k + 1).

    `counts` and `sums` are (n, m); the last row of theta is 0.
    """
    h = others.copy()
    h[:, 0] = 1
    i, j = np.triu_indices(len(penalty))
    left = np.empty((counts.shape[0], len(penalty), len(penalty)))
    left[:, i, j] = left[:, j, i] = counts @ (h[:, i] * h[:, j])
    left += np.diag(penalty)
    right = sums @ h - counts @ (h * (w0 + others[:, :1]))
    theta = np.linalg.solve(left, right[..., np.newaxis])[..., 0]
    theta[-1] = 0
    return theta
