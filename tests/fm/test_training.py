"""Training in steps: warm starts, single epochs, callbacks, learning curves, early stopping."""

import numpy as np
import pytest
from sklearn.base import clone

from fm import FMClassifier, FMRegressor
from tests.fm.estimators import scores, target


def test_n_then_m_are_n_plus_m(estimator, data):
    X, y = data
    y = target(estimator, y)
    fixed = {"burn_in": 1} if estimator.solver == "gibbs" else {}
    whole = clone(estimator).set_params(n_iter=5, **fixed).fit(X, y)
    parts = estimator.set_params(warm_start=True, n_iter=2, **fixed).fit(X, y)
    parts.set_params(n_iter=3).fit(X, y)
    assert parts.n_iter_ == whole.n_iter_ == 5 and parts.n_parameters_ == whole.n_parameters_
    np.testing.assert_array_equal(scores(parts, X), scores(whole, X))


def test_fit_without_warm_start_starts_anew(estimator, data):
    X, y = data
    y = target(estimator, y)
    once = scores(clone(estimator).fit(X, y), X)
    np.testing.assert_array_equal(scores(estimator.fit(X, y).fit(X, y), X), once)


@pytest.mark.parametrize("change", [{"k": 3}, {"solver": "sgd"}, {"solver": "gibbs"}])
def test_warm_start_goes_on_with_the_same_model_only(change, data):
    model = FMRegressor(solver="als", n_iter=2, warm_start=True).fit(*data).set_params(**change)
    with pytest.raises(
        ValueError, match=r"warm_start goes on from .*'als', 'k': 8.*set warm_start=False"
    ):
        model.fit(*data)


def test_a_chain_goes_on_with_the_same_rows_only(data):
    X, y = data
    model = FMRegressor(n_iter=4, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"'n_rows': 800.*'n_rows': 700"):
        model.fit(X[:700], y[:700])


@pytest.mark.parametrize("cls", [FMRegressor, FMClassifier])
def test_partial_fit_is_one_epoch(cls, data):
    X, y = data
    model = cls(solver="sgd", n_iter=3, random_state=0)
    y = target(model, y)
    whole, steps = clone(model).fit(X, y), clone(model)
    for _ in range(3):
        steps.partial_fit(X, y)
    np.testing.assert_array_equal(scores(steps, X), scores(whole, X))
    assert not hasattr(cls(solver="gibbs"), "partial_fit")


def test_partial_fit_learns_classes_beforehand(data):
    X, y = data
    model = FMClassifier(solver="sgd").partial_fit(X, np.zeros(len(y)), classes=[0, 1])
    model.partial_fit(X, (y > 3).astype(int))
    np.testing.assert_array_equal(model.classes_, [0, 1])


def test_callback_sees_a_predicting_estimator_and_can_stop(estimator, data):
    X, y = data
    seen = []

    def callback(epoch, model):
        seen.append((epoch, scores(model, X)))
        return epoch == 3

    estimator.set_params(callback=callback).fit(X, target(estimator, y))
    assert [epoch for epoch, _ in seen] == [1, 2, 3] and estimator.n_iter_ == 3
    assert not np.array_equal(seen[0][1], seen[1][1])


def test_history(estimator, data):
    X, y = data
    y = target(estimator, y)
    estimator.fit(X[:600], y[:600], validation=(X[600:], y[600:]))
    history = estimator.history_
    validation = f"validation_{'log_loss' if isinstance(estimator, FMClassifier) else 'mse'}"
    assert {len(values) for values in history.values()} == {4} and validation in history
    assert np.all(np.diff(history["seconds"]) > 0)
    if isinstance(estimator, FMClassifier):
        p = estimator.predict_proba(X[600:])
        loss = -np.mean(np.log(np.where(y[600:] == "good", p[:, 1], p[:, 0])))
    else:
        loss = np.mean((estimator.predict(X[600:]) - y[600:]) ** 2)
    np.testing.assert_allclose(history[validation][-1], loss, rtol=1e-9)


@pytest.mark.parametrize("solver", ["sgd", "als"])
def test_early_stopping_keeps_the_best_epoch(solver, data):
    X, y = data
    train, val = (X[:500], y[:500]), (X[500:], y[500:])
    model = FMRegressor(
        solver=solver, k=4, l2=0.01, n_iter=200, init_std=0.5, early_stopping=3, random_state=0
    ).fit(*train, validation=val)
    curve = model.history_["validation_mse"]
    assert model.n_iter_ == 1 + np.argmin(curve) == len(curve) - 3
    np.testing.assert_allclose(
        np.mean((model.predict(val[0]) - val[1]) ** 2), curve.min(), rtol=1e-9
    )
    again = clone(model).set_params(**model.refit_params_).fit(*train)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("solver", ["sgd", "als"])
def test_a_low_within_the_tolerance_is_no_new_low(solver, data):
    X, y = data
    train, val = (X[:500], y[:500]), (X[500:], y[500:])
    model = FMRegressor(solver=solver, k=4, l2=5.0, n_iter=60, random_state=0)
    curve = clone(model).fit(*train, validation=val).history_["validation_mse"]
    tol = float((curve[0] - curve.min()) / 10)
    low, epoch = np.inf, 0
    for n, value in enumerate(curve, 1):
        if value < low - tol:
            low, epoch = value, n
        if n - epoch == 3:
            break
    model.set_params(early_stopping=3, tol=tol).fit(*train, validation=val)
    assert (model.n_iter_, len(model.history_["validation_mse"])) == (epoch, n)
    assert epoch < 1 + np.argmin(curve)


def test_early_stopping_needs_a_validation_set(data):
    with pytest.raises(ValueError, match="early_stopping=2 needs"):
        FMRegressor(solver="sgd", early_stopping=2).fit(*data)
