"""The mean of several regressors, such as of one FM under two models of noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import VotingRegressor


class MeanRegressor(VotingRegressor):
    """Scikit-learn's mean of regressors, with the checks and the size that models here have."""

    @property
    def n_parameters_(self) -> int:
        """Numbers that were learned, of all regressors together."""
        return sum(regressor.n_parameters_ for regressor in self.estimators_)

    def check_params(self) -> None:
        """Raise ValueError or TypeError for the first parameter that is out of range."""
        for _, regressor in self.estimators:
            regressor.check_params()


def mean_of(
    regressors: Mapping[str, BaseEstimator], n_jobs: int | None = None, **shared: Any
) -> MeanRegressor:
    """Return the mean of regressors, all with the same `shared` parameters.

    Parameters
    ----------
    regressors : mapping of str to BaseEstimator
        What is averaged, with equal weights, by name.
    n_jobs : int, optional
        Processes that fit one regressor each (1).
    **shared
        Parameters of every regressor.

    Returns
    -------
    MeanRegressor
        A regressor, not fitted yet.

    Examples
    --------
    >>> from fm import FMOrdinal, FMRegressor
    >>> model = mean_of({"numbers": FMRegressor(), "classes": FMOrdinal()}, k=0, n_iter=20)
    >>> model.fit([[0.0], [1.0], [2.0]] * 5, [1, 2, 3] * 5).predict([[0.0]]).shape
    (1,)
    """
    each = [(name, clone(of).set_params(**shared)) for name, of in regressors.items()]
    return MeanRegressor(each, n_jobs=n_jobs)
