"""What every model of the registry `conf/model` keeps to, ours and others' alike."""

import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_module
from sklearn.base import BaseEstimator, clone, is_classifier

import bench.data
from bench.data.splits import random
from bench.features import build_design
from bench.sweep.checks import model_from
from bench.sweep.compose import as_dict
from bench.task_models import hyperparameters_for
from fm.design import UNKNOWN, Block, Design

pytestmark = pytest.mark.slow

REGISTRY = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parent.parent / "conf" / "model").glob("*.yaml"))
}
KNOBS = {
    "k": (5, -1),
    "learning_rate": (0.003, -0.1),
    "l2": (40.0, -1.0),
    "n_iter": (3, 0),
    "passes": (2, 0),
}
"""Hyperparameter -> another value than any configured one, and one that makes no sense."""


@pytest.fixture(scope="module")
def data() -> tuple[Design, np.ndarray, Design, np.ndarray]:
    dataset = bench.data.planted(n_users=80, n_items=60, n_ratings=2400, seed=1)
    split = random(dataset, test=0.2, validation=0.0, seed=0)
    X = build_design(dataset, ("ids",), split.train)
    y = dataset.rows["rating"].to_numpy()
    return X[split.train], y[split.train], X[split.test], y[split.test]


@pytest.fixture(scope="module", params=REGISTRY)
def fitted(request: pytest.FixtureRequest, data: tuple) -> BaseEstimator:
    """A fitted model, whose `fit` keeps to what scikit-learn asks of it."""
    model = quick(request.param)
    before = {key: repr(value) for key, value in model.get_params().items()}
    assert model.fit(data[0], target(model, data[1])) is model
    assert {key: repr(value) for key, value in model.get_params().items()} == before
    return model


@cache
def configured(name: str) -> dict:
    """Hyperparameters of a model of the registry."""
    with initialize_config_module("conf", version_base="1.3"):
        cfg = compose("config", overrides=[f"model={name}"])
        return hyperparameters_for(as_dict(cfg.model), "rating")


def quick(name: str) -> BaseEstimator:
    """As configured, but with few iterations: the conventions don't depend on convergence."""
    model = model_from(configured(name))
    if reason := getattr(model, "unavailable", lambda: None)():  # what others wrote
        pytest.skip(reason)
    short = {"n_iter": 30, "passes": 4, "bits": 16, "early_stopping": None}
    return with_params(model, **short)


def with_params(model: BaseEstimator, **values: object) -> BaseEstimator:
    """The model with other values of those parameters that it, or a part of it, has."""
    names = [(name, name.split("__")[-1]) for name in model.get_params()]
    return model.set_params(**{name: values[own] for name, own in names if own in values})


def target(model: BaseEstimator, y: np.ndarray) -> np.ndarray:
    """The ratings; of a classifier, whether they are above 3."""
    return (y > 3).astype(np.int64) if is_classifier(model) else y


def predicted(model: BaseEstimator, X: Design) -> np.ndarray:
    """The predictions; of a classifier, the probabilities of the second class."""
    return model.predict_proba(X)[:, 1] if is_classifier(model) else model.predict(X)


def test_beats_the_mean(fitted: BaseEstimator, data: tuple) -> None:
    y, y_test = (target(fitted, values).astype(np.float64) for values in (data[1], data[3]))
    prediction = predicted(fitted, data[2])
    assert prediction.dtype == np.float64 and prediction.shape == y_test.shape
    if type(fitted).__name__ in ("BaseRate", "RowLookup"):  # no pair comes twice: the mean
        np.testing.assert_allclose(prediction, y.mean(), rtol=1e-12)
    else:
        assert np.mean((prediction - y_test) ** 2) < np.mean((y.mean() - y_test) ** 2)


def test_same_seed_same_bits_also_after_clone_another_fit_and_pickle(
    fitted: BaseEstimator, data: tuple
) -> None:
    X, y, X_test = data[0], target(fitted, data[1]), data[2]
    expected = predicted(fitted, X_test)
    twice = clone(fitted).fit(X[:500], y.max() + y.min() - y[:500]).fit(X, y)
    np.testing.assert_array_equal(predicted(twice, X_test), expected)
    np.testing.assert_array_equal(predicted(pickle.loads(pickle.dumps(fitted)), X_test), expected)


def test_levels_without_information_are_legal(fitted: BaseEstimator, data: tuple) -> None:
    X, y = data[0], target(fitted, data[1])
    fewer = (X.blocks[0].levels != 3) & (X.blocks[1].levels != 5)
    model = clone(fitted).fit(X[fewer], y[fewer])
    user, item = X.blocks
    strangers = Design(
        [
            Block(user.name, [3, UNKNOWN, UNKNOWN, 3], user.n_levels, labels=user.labels),
            Block(item.name, [5, UNKNOWN, 5, UNKNOWN], item.n_levels, labels=item.labels),
        ]
    )
    prediction = predicted(model, strangers)
    assert np.isfinite(prediction).all()
    assert ((prediction >= y.min()) & (prediction <= y.max())).all()


def test_counts_its_parameters_and_records_its_history(fitted: BaseEstimator) -> None:
    assert fitted.n_parameters_ >= 1 and fitted.n_parameters_ == int(fitted.n_parameters_)
    lengths = {len(values) for values in getattr(fitted, "history_", {}).values()}
    assert len(lengths) <= 1


@pytest.mark.parametrize(
    ("fitted", "knob"),
    [(name, knob) for name, config in REGISTRY.items() for knob in KNOBS if knob in config],
    indirect=["fitted"],
)
def test_knob_bites_and_nonsense_is_refused_by_name(
    fitted: BaseEstimator, knob: str, data: tuple
) -> None:
    other, nonsense = KNOBS[knob]
    X, y, X_test = data[0], target(fitted, data[1]), data[2]
    changed = with_params(clone(fitted), **{knob: other}).fit(X, y)
    assert not np.array_equal(predicted(fitted, X_test), predicted(changed, X_test))
    with pytest.raises(ValueError, match=knob):
        with_params(changed, **{knob: nonsense}).check_params()
