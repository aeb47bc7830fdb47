"""One estimator of each kind and solver, for tests of what all of them promise."""

import numpy as np

from fm import FMClassifier, FMOrdinal, FMRegressor

EVERY = [
    FMRegressor(solver="sgd", n_iter=4),
    FMRegressor(solver="als", n_iter=4),
    FMRegressor(solver="gibbs", n_iter=4),
    FMClassifier(solver="sgd", n_iter=4),
    FMClassifier(solver="als", n_iter=4),
    FMClassifier(solver="gibbs", n_iter=4),
    FMOrdinal(n_iter=4),
]
NAMES = [f"{type(e).__name__}-{e.solver}" for e in EVERY]


def target(estimator, y):
    """y as the estimator wants it: as it is, two classes, or the ratings 1 to 5."""
    if isinstance(estimator, FMClassifier):
        return np.where(y > np.median(y), "good", "bad")
    return np.clip(np.round(y), 1, 5) if isinstance(estimator, FMOrdinal) else y


def scores(estimator, X):
    """The finest thing the estimator predicts."""
    return (
        estimator.predict(X) if isinstance(estimator, FMRegressor) else estimator.predict_proba(X)
    )
