"""More than two classes, weights of classes, and ordered classes that are not numbers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fm import Block, Design, FMClassifier, FMOrdinal, load, predict_pairs, save

MULTICLASS = [FMClassifier(k=2, n_iter=20), FMClassifier(k=2, solver="sgd", n_iter=20)]


@pytest.fixture(scope="module")
def three():
    """Three classes that follow from two fields, of which the middle one is rare."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 12, 400), rng.integers(0, 9, 400)
    X = Design((Block("user", user, 12), Block("item", item, 9)))
    y = np.array(["bad", "good", "great"])[(user % 3 + item % 3) // 2]
    return X, y


@pytest.mark.parametrize("model", MULTICLASS)
def test_one_machine_a_class(model, three):
    """Each is the two-class machine of its class; their probabilities are brought to sum 1."""
    X, y = three
    model = clone(model).set_params(random_state=0).fit(X, y)
    p = np.column_stack(
        [clone(model).fit(X, y == c).predict_proba(X)[:, 1] for c in model.classes_]
    )
    np.testing.assert_allclose(model.predict_proba(X), p / p.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(model.predict(X), model.classes_[p.argmax(axis=1)])
    assert model.score(X, y) > 0.8
    assert model.decision_function(X).shape == (400, 3)
    assert model.n_parameters_ == sum(m.n_parameters_ for m in model.estimators_)


def test_learning_curves_of_three_classes_are_means_over_their_machines(three, tmp_path):
    X, y = three
    model = FMClassifier(k=2, solver="sgd", n_iter=8, early_stopping=2, random_state=0)
    model.fit(X[:300], y[:300], validation=(X[300:], y[300:]))
    curves = [machine.history_["validation_log_loss"] for machine in model.estimators_]
    n = min(map(len, curves))
    mean = np.mean([curve[:n] for curve in curves], axis=0)
    np.testing.assert_allclose(model.history_["validation_log_loss"], mean)
    ends = sum(machine.history_["seconds"][n - 1] for machine in model.estimators_)
    assert model.history_["seconds"][-1] == pytest.approx(ends)
    save(model, tmp_path / "classes.npz")
    np.testing.assert_array_equal(
        load(tmp_path / "classes.npz").history_["validation_log_loss"],
        model.history_["validation_log_loss"],
    )


@pytest.mark.parametrize("model", MULTICLASS)
def test_machines_of_classes_go_on_and_are_saved(model, three, tmp_path):
    X, y = three
    whole = clone(model).set_params(random_state=0, n_iter=6, thin=None).fit(X, y)
    steps = clone(whole).set_params(n_iter=3, warm_start=True).fit(X, y).fit(X, y)
    assert steps.n_iter_ == 6
    if model.solver == "sgd":
        np.testing.assert_array_equal(steps.predict_proba(X), whole.predict_proba(X))
    save(steps, tmp_path / "classes.npz")
    again = load(tmp_path / "classes.npz")
    np.testing.assert_array_equal(again.predict_proba(X), steps.predict_proba(X))
    np.testing.assert_array_equal(again.classes_, ["bad", "good", "great"])


def test_partial_fit_of_three_classes(three):
    X, y = three
    model = FMClassifier(solver="sgd", random_state=0)
    for rows in (slice(0, 200), slice(200, None)):
        model.partial_fit(X[rows], y[rows], classes=["bad", "good", "great"])
    assert model.n_iter_ == 2 and model.predict_proba(X).shape == (400, 3)


def test_after_three_classes_two(three):
    X, y = three
    model = FMClassifier(k=2, solver="sgd", random_state=0).fit(X, y)
    with pytest.raises(AttributeError, match="3 classes have a machine each"):
        model.coefficients_  # noqa: B018
    with pytest.raises(AttributeError, match="take one of estimators_"):
        list(predict_pairs(model, X, "user", "item"))
    again = model.fit(X, y == "bad").predict_proba(X)
    np.testing.assert_array_equal(again, clone(model).fit(X, y == "bad").predict_proba(X))
    assert model.coefficients_.V.shape == (21, 2)


@pytest.mark.parametrize("solver", ["sgd", "gibbs"])
@pytest.mark.parametrize("weight", ["balanced", {"no": 0.5, "yes": 3.0}])
def test_class_weight_multiplies_the_weights_of_rows(solver, weight, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), np.where(rng.random(200) < 0.2, "yes", "no")
    own = rng.uniform(0.5, 2, 200)
    share = {c: 200 / (2 * np.sum(y == c)) for c in ("no", "yes")}
    of_row = np.array([(share if weight == "balanced" else weight)[c] for c in y])
    plain = FMClassifier(k=1, solver=solver, n_iter=5, random_state=0)
    weighted = clone(plain).set_params(class_weight=weight)
    expected = plain.fit(X, y, sample_weight=own * of_row).predict_proba(X)
    np.testing.assert_allclose(weighted.fit(X, y, sample_weight=own).predict_proba(X), expected)
    save(weighted, tmp_path / "weighted.npz")
    assert load(tmp_path / "weighted.npz").class_weight == weight


def test_weights_of_numbered_classes_are_saved(tmp_path):
    model = FMClassifier(solver="sgd", n_iter=2, class_weight={0: 1.0, 1: 3.0})
    save(model.fit(np.eye(4), [0, 1, 0, 1]), tmp_path / "weighted.npz")
    assert load(tmp_path / "weighted.npz").class_weight == {0: 1.0, 1: 3.0}


def test_balanced_weights_need_all_rows():
    model = FMClassifier(solver="sgd", class_weight="balanced")
    with pytest.raises(ValueError, match="'balanced' needs all rows at once"):
        model.partial_fit(np.eye(4), [0, 1, 0, 1])


LEVELS = ["low", "medium", "high"]


@pytest.fixture(scope="module")
def ordered():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    return X, np.digitize(X[:, 0] + 0.3 * rng.normal(size=300), [-0.5, 0.5])


def test_ordered_labels_are_as_good_as_numbers(ordered, tmp_path):
    X, number = ordered
    numbers = FMOrdinal(k=1, n_iter=20, random_state=0).fit(X, number)
    text = np.array(LEVELS)[number]
    given = clone(numbers).set_params(classes=LEVELS).fit(X, text)
    category = clone(numbers).fit(X, pd.Series(pd.Categorical(text, LEVELS, ordered=True)))
    for model in (given, category):
        np.testing.assert_array_equal(model.classes_, LEVELS)
        np.testing.assert_array_equal(model.predict_proba(X), numbers.predict_proba(X))
        assert np.mean(model.predict(X) == text) > 0.7
        assert model.score(X, text) == numbers.score(X, number)
    save(given, tmp_path / "ordinal.npz")
    np.testing.assert_array_equal(load(tmp_path / "ordinal.npz").predict(X), given.predict(X))


def test_only_classes_that_occur(ordered):
    X, number = ordered
    y = pd.Categorical(np.array(LEVELS)[number], ["lowest", *LEVELS], ordered=True)
    np.testing.assert_array_equal(FMOrdinal(n_iter=4).fit(X, y).classes_, LEVELS)


def test_labels_without_an_order_are_refused(ordered):
    X, number = ordered
    text = np.array(LEVELS)[number]
    with pytest.raises(ValueError, match=r"no order.*classes=\[.*ordered categorical"):
        FMOrdinal(n_iter=4).fit(X, text)
    with pytest.raises(ValueError, match="label 'high' is outside the classes"):
        FMOrdinal(n_iter=4, classes=LEVELS[:2]).fit(X, text)


def test_score_before_fit():
    with pytest.raises(NotFittedError):
        FMOrdinal().score(np.eye(3), [1, 2, 3])
