"""Every hyperparameter of every solver: it bites, nonsense is named, and a word without a use is
refused.
"""

import inspect

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fm import FMRegressor
from fm.validation import DEFAULTS
from tests.fm.data import ratings

SOLVERS = ["sgd", "als", "gibbs"]


@pytest.fixture
def data():
    return ratings(np.random.default_rng(0))


def test_signature_has_every_hyperparameter_of_every_solver():
    names = set(inspect.signature(FMRegressor).parameters)
    assert names >= {name for settings in DEFAULTS.values() for name in settings}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"k": -1}, "k must be at least 0, got -1"),
        ({"k": 2.0}, "k must be a whole number"),
        ({"solver": "sdg"}, r"solver must be one of .*did you mean 'sgd'"),
        ({"solver": "sgd", "n_iter": 0}, "n_iter must be at least 1"),
        ({"solver": "sgd", "learning_rate": 0}, "learning_rate must be above 0, got 0"),
        ({"solver": "sgd", "learning_rate": np.inf}, "learning_rate"),
        ({"solver": "sgd", "learning_rate": "fast"}, "learning_rate must be a number"),
        ({"solver": "als", "l2": -1.0}, "l2 must be at least 0"),
        ({"solver": "als", "l2_w": -1.0}, "l2_w must be at least 0"),
        ({"solver": "sgd", "batch_size": 0}, "batch_size"),
        ({"solver": "gibbs", "learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"solver": "gibbs", "early_stopping": 3}, "early_stopping=3 contradicts solver='gibbs'"),
        ({"solver": "sgd", "early_stopping": 0}, "early_stopping"),
        ({"solver": "als", "tol": -1e-4}, "tol must be at least 0"),
        ({"solver": "gibbs", "thin": 0}, "thin"),
        ({"solver": "gibbs", "burn_in": -1}, "burn_in"),
        ({"init_std": -0.1}, "init_std"),
        ({"dtype": "float16"}, "dtype must be one of"),
    ],
)
def test_bad_hyperparameters_are_named(params, message, data):
    with pytest.raises((ValueError, TypeError), match=message):
        FMRegressor(**params).fit(*data)


OTHER_VALUES = {"noise_by": "user"}


@pytest.mark.parametrize("solver", SOLVERS)
def test_check_params_refuses_what_the_solver_has_no_use_for(solver):
    for name in set().union(*DEFAULTS.values()) - DEFAULTS[solver].keys() - {"early_stopping"}:
        with pytest.raises(ValueError, match=f"{name}=.* has no meaning for solver='{solver}'"):
            FMRegressor(solver=solver, **{name: OTHER_VALUES.get(name, 1)}).check_params()


@pytest.mark.parametrize("solver", SOLVERS)
def test_fit_ignores_what_the_solver_has_no_use_for(solver, data):
    X, y = data
    plain = FMRegressor(k=2, solver=solver, n_iter=4, random_state=0)
    unused = set().union(*DEFAULTS.values()) - DEFAULTS[solver].keys() - {"early_stopping"}
    more = clone(plain).set_params(**{name: OTHER_VALUES.get(name, 1) for name in unused})
    np.testing.assert_array_equal(plain.fit(X, y).predict(X), more.fit(X, y).predict(X))


def test_a_grid_over_solvers(data):
    X, y = data
    grid = {"solver": SOLVERS, "l2": [1.0, 10.0]}
    search = GridSearchCV(
        FMRegressor(k=2, n_iter=3, random_state=0), grid, cv=2, error_score="raise"
    )
    scores = search.fit(X.to_csr(), y).cv_results_["mean_test_score"]
    assert len(scores) == 6 and np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("solver", "name", "one", "other"),
    [
        ("sgd", "learning_rate", 0.1, 0.2),
        ("sgd", "l2", 1.0, 2.0),
        ("sgd", "l2_w", 1.0, 2.0),
        ("sgd", "batch_size", 100, 200),
        ("als", "l2", 1.0, 2.0),
        ("als", "l2_w", 1.0, 2.0),
        ("gibbs", "burn_in", 0, 2),
        ("gibbs", "n_chains", 1, 2),
        ("gibbs", "thin", 1, 2),
        *[
            (s, *change)
            for s in SOLVERS
            for change in [("k", 2, 3), ("n_iter", 4, 5), ("random_state", 0, 1)]
        ],
        *[(s, "init_std", 0.1, 0.3) for s in SOLVERS],
        *[(s, "dtype", "float64", "float32") for s in SOLVERS],
    ],
)
def test_every_hyperparameter_bites(solver, name, one, other, data):
    X, y = data
    common = {"solver": solver, "k": 2, "n_iter": 5, "random_state": 0}
    fits = [FMRegressor(**(common | {name: value})).fit(X, y).predict(X) for value in (one, other)]
    assert not np.array_equal(*fits)
