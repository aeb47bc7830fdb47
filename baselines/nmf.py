"""Non-negative matrix factorization of the observed cells.

Model and objective, P and Q non-negative, no intercept and no biases, sums over observed cells
only:

    y(u, i) = <p_u, q_i>,     sum (y - y(u, i))^2 + l2 (|P|^2 + |Q|^2)

Update (Lee and Seung, "Algorithms for Non-negative Matrix Factorization", NIPS 2000, eq. 4, with
the sums restricted to observed cells and the penalty's gradient in the denominator):

    p_uf <- p_uf (sum_i y_ui q_if) / (sum_i y(u, i) q_if + l2 p_uf),     then Q in the same way.

It multiplies, so nothing turns negative, and it minimizes an upper bound that touches the
objective at the present P (their lemma 2, to which the penalty adds a term that is its own bound),
so that the objective never rises. Cost of a sweep: O(n_ratings k).

A level without information gets the average factors of the training rows, so that an unknown user
is predicted an item's average over users.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baselines.factorization import Factorization, Factors, Ratings
from baselines.parameters import NonNegativeFloat, PositiveInt


@dataclass(kw_only=True, eq=False, repr=False)
class NonNegativeMatrixFactorization(Factorization):
    """Non-negative matrix factorization by multiplicative updates.

    Training rows must have y >= 0; one with an unknown level (-1) teaches nothing.

    Parameters
    ----------
    k : number of factors.
    l2 : penalty on the squared factors, in the sum objective above.
    n_iter : sweeps.
    early_stopping : sweeps without a lower validation error before fitting ends; None: never.
    random_state : int, Generator or None; of the first P and Q, uniform with mean sqrt(mean(y) /
        k).
    """

    k: PositiveInt = 5
    l2: NonNegativeFloat = 4.0
    n_iter: PositiveInt = 300

    @property
    def n_parameters_(self) -> int:
        """Factors of each level that has a training row."""
        return self.n_seen_levels_ * self.factors_.U.shape[1]

    def _sweeps(self, ratings: Ratings, rng: np.random.Generator) -> Iterator[Factors]:
        counts, sums = (matrix[:-1, :-1] for matrix in ratings)
        if sums.data.min(initial=0) < 0:
            raise ValueError(
                f"non-negative factorization needs y >= 0, got ratings down to {sums.data.min():g}"
            )
        if not counts.nnz:
            raise ValueError("no training row has both levels known")
        cells = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr)), counts.indices
        fitted = counts.copy()
        size = np.sqrt(sums.sum() / counts.sum() / self.k)
        P, Q = (rng.uniform(0, 2 * size, (n, self.k)) for n in counts.shape)
        while True:
            fitted.data = counts.data * np.einsum("nk,nk->n", P[cells[0]], Q[cells[1]])
            P = _scaled(P, sums @ Q, fitted @ Q + self.l2 * P)
            fitted.data = counts.data * np.einsum("nk,nk->n", P[cells[0]], Q[cells[1]])
            Q = _scaled(Q, sums.T @ P, fitted.T @ P + self.l2 * Q)
            yield Factors(0.0, _completed(P, counts.sum(axis=1)), _completed(Q, counts.sum(axis=0)))


def _scaled(
    factors: NDArray[np.float64], up: NDArray[np.float64], down: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return factors * up / down, and 0 where down is 0.

    There the factors or all that they multiply are 0 as well.
    """
    return np.divide(factors * up, down, out=np.zeros_like(factors), where=down > 0)


def _completed(factors: NDArray[np.float64], n_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Append a row for the unknown level.

    Levels without rows, and the unknown one, get the average factors over all rows.
    """
    average = n_rows @ factors / n_rows.sum()
    return np.vstack([np.where(n_rows[:, np.newaxis] > 0, factors, average), average])
