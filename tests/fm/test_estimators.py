"""Scikit-learn's conventions, and what the estimators of every solver promise."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fm import Block, Design, FMClassifier, FMOrdinal, FMRanker, FMRegressor
from tests.fm.data import random_design
from tests.fm.estimators import EVERY, scores, target

pytestmark = pytest.mark.slow

SOLVERS = ["sgd", "als", "gibbs"]


def expected_failures(estimator):
    """Checks that cannot pass, and why."""
    reasons = {}
    if not isinstance(estimator, FMRegressor) and estimator.solver == "gibbs":
        reason = (
            "a latent target is drawn per row: weights and repeated rows agree in distribution, "
            "not in bits"
        )
        reasons |= {
            f"check_sample_weight_equivalence_on_{kind}_data": reason
            for kind in ("dense", "sparse")
        }
    if isinstance(estimator, FMOrdinal):
        reasons["check_regressors_no_decision_function"] = (
            "an ordinal regressor has class probabilities"
        )
    return reasons


@parametrize_with_checks(
    [
        FMRegressor(solver="sgd"),
        FMRegressor(solver="als"),
        FMRegressor(solver="gibbs", n_iter=30),
        FMClassifier(solver="sgd"),
        FMClassifier(solver="als"),
        FMClassifier(solver="gibbs", n_iter=30),
        FMOrdinal(n_iter=10),
        FMRanker(),  # takes fields alone, so that what gives a matrix does not apply
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_fit_leaves_hyperparameters_alone(estimator, data):
    X, y = data
    before = estimator.get_params()
    assert estimator.fit(X, target(estimator, y)) is estimator
    assert estimator.get_params() == before


def test_same_seed_same_bits(estimator, data):
    X, y = data
    fits = [scores(clone(estimator).fit(X, target(estimator, y)), X) for _ in range(2)]
    np.testing.assert_array_equal(*fits)


def test_a_generator_is_used_and_moves_on(estimator, data):
    X, y = data
    rng = np.random.default_rng(0)
    seeded = scores(clone(estimator).fit(X, target(estimator, y)), X)
    estimator.random_state = rng
    first, second = (scores(estimator.fit(X, target(estimator, y)), X) for _ in range(2))
    np.testing.assert_array_equal(first, seeded)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("as_matrix", [lambda X: X.to_csr(), lambda X: X.to_csr().toarray()])
def test_design_and_matrix_agree(as_matrix, data):
    X, y = data
    for solver in ("sgd", "als"):
        model = FMRegressor(solver=solver, n_iter=3, random_state=0)
        of_design, of_matrix = clone(model).fit(X, y), clone(model).fit(as_matrix(X), y)
        np.testing.assert_allclose(of_design.predict(X), of_matrix.predict(as_matrix(X)), atol=1e-8)


def test_unknown_and_unseen_levels_are_legal(estimator):
    rng = np.random.default_rng(0)
    X = random_design(rng, 60)
    y = target(estimator, rng.normal(3, 1, 60))
    estimator.fit(X, y)
    nothing = Design(
        tuple(
            Block(
                b.name, np.full(3, -1), b.n_levels, b.side_features, b.labels, b.side_feature_names
            )
            for b in X
        )
    )
    assert np.isfinite(scores(estimator, nothing)).all()
    assert len(np.unique(scores(estimator, nothing), axis=0)) == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_factors_is_a_linear_model(solver, data):
    X, y = data
    model = FMRegressor(k=0, solver=solver, n_iter=20, random_state=0).fit(X, y)
    assert model.coefficients_.V.shape == (70, 0)
    assert np.mean((model.predict(X) - y) ** 2) < np.var(y)


def test_exclusive_or_is_learned(estimator):
    """Not linear in its two columns; the product of their factors is what separates the classes."""
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], size=(200, 2))
    y = X[:, 0] * X[:, 1]
    fitted = estimator.set_params(n_iter=100, k=2).fit(X, np.where(y > 0, 2, 1))
    likes = fitted.predict(np.array([[1.0, 1], [-1, -1], [1, -1], [-1, 1]]))
    np.testing.assert_allclose(likes, [2, 2, 1, 1], atol=0.2)


def test_predictions_of_a_missing_or_other_design_are_refused(estimator, data):
    X, y = data
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    estimator.fit(X, target(estimator, y))
    swapped = Design(X.blocks[::-1])
    with pytest.raises(ValueError, match=r"the design's blocks .* those of fit"):
        estimator.predict(swapped)
    with pytest.raises(ValueError, match="70 features"):
        estimator.predict(np.ones((2, 3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    X, y = np.ones((4, 2)), np.arange(4.0)
    X[1, 1] = bad
    model = FMRegressor(solver="sgd")
    for matrix in (X, sparse.csr_array(X)):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            model.fit(matrix, y)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        model.fit(np.ones((4, 2)), [1, 2, 3, bad])
    side = Design((Block("user", [0, 1, 0, 1], 2, sparse.csr_array([[1.0], [bad]])),))
    with pytest.raises(ValueError, match="block 'user': side_features contains NaN or infinity"):
        model.fit(side, y)


@pytest.mark.parametrize(
    "model", [FMRegressor(n_iter=3), FMRegressor(solver="sgd"), FMOrdinal(n_iter=3)]
)
@pytest.mark.parametrize("bad", ["five", None])
def test_targets_that_are_no_numbers_are_refused(model, bad):
    with pytest.raises(ValueError, match=r"y must be (finite )?numbers.*(five|None)"):
        model.fit(np.eye(4), np.array([1, 2, 3, bad], dtype=object))


def test_shapes_that_do_not_fit_are_refused(data):
    X, y = data
    model = FMRegressor(solver="sgd", n_iter=1)
    with pytest.raises(ValueError, match="X has 800 rows, y has 799"):
        model.fit(X, y[1:])
    with pytest.raises(ValueError, match="no rows"):
        model.fit(X[:0], y[:0])
    with pytest.raises(ValueError, match="1d array"):
        model.fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, y, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="non-zero"):
        model.fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        model.fit(X, y, sample_weight=-np.ones(len(y)))


def test_labels_outside_the_classes_are_refused(data):
    X, y = data
    model = FMClassifier(solver="sgd", n_iter=1)
    with pytest.raises(ValueError, match="needs two classes or more; y has 1 class"):
        model.fit(X, np.zeros(len(y)))
    with pytest.raises(ValueError, match=r"label 2 is outside the classes of fit, \[0 1\]"):
        model.fit(X, np.arange(len(y)) % 2, validation=(X, np.full(len(y), 2)))


def test_classifier_predicts_labels_and_probabilities(data):
    X, y = data
    for model in EVERY:
        if isinstance(model, FMClassifier):
            model = clone(model).set_params(n_iter=30, random_state=0)
            labels = target(model, y)
            p = model.fit(X, labels).predict_proba(X)
            np.testing.assert_allclose(p.sum(axis=1), 1)
            np.testing.assert_array_equal(model.predict(X), np.where(p[:, 1] > 0.5, "good", "bad"))
            np.testing.assert_array_equal(model.decision_function(X) > 0, p[:, 1] > 0.5)
            assert model.score(X, labels) > 0.8


@pytest.mark.parametrize("model", [FMClassifier(n_iter=20), FMOrdinal(n_iter=20)])
def test_classes_take_fractional_weights(model, data):
    """And a label whose rows weigh more is the likelier."""
    X, y = data
    labels = (y > np.median(y)).astype(int)
    weight = np.where(labels == 1, 2.0, 0.5)
    plain, weighted = clone(model).set_params(random_state=0), model.set_params(random_state=0)
    plain.fit(X, labels)
    weighted.fit(X, labels, sample_weight=weight)
    gain = weighted.predict_proba(X)[:, 1].mean() - plain.predict_proba(X)[:, 1].mean()
    assert 0.1 < gain < 0.5


@pytest.mark.parametrize("label", [1, 2, 3])
def test_an_ordered_class_without_weight_is_refused(label):
    y = np.arange(12) % 3 + 1
    with pytest.raises(ValueError, match=f"all rows of class {label}.0 have sample_weight 0"):
        FMOrdinal(n_iter=4).fit(np.eye(12), y, sample_weight=(y != label).astype(float))


def test_clone_and_pickle(estimator, data):
    X, y = data
    estimator.fit(X, target(estimator, y))
    assert not hasattr(clone(estimator), "machine_")
    np.testing.assert_array_equal(
        scores(pickle.loads(pickle.dumps(estimator)), X), scores(estimator, X)
    )


def test_pipeline_and_grid_search(data):
    X, y = data
    ids = np.column_stack([block.levels for block in X])
    pipeline = make_pipeline(
        OneHotEncoder(handle_unknown="ignore"), FMRegressor(solver="als", n_iter=5)
    )
    search = GridSearchCV(
        pipeline, {"fmregressor__k": [0, 2], "fmregressor__l2": [1.0, 1000.0]}, cv=3
    ).fit(ids, y)
    assert search.best_params_ == {"fmregressor__k": 2, "fmregressor__l2": 1.0}
    scaled = make_pipeline(StandardScaler(), FMRegressor(solver="sgd"))
    assert np.isfinite(cross_val_score(scaled, ids, y, cv=3)).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_computes_in_single_precision(solver, data):
    X, y = data
    double, single = (
        FMRegressor(solver=solver, dtype=dtype, n_iter=3, random_state=0).fit(X, y).predict(X)
        for dtype in ("float64", "float32")
    )
    assert single.dtype == np.float64
    assert 0 < np.abs(single - double).max() < 0.01


def test_n_parameters(data):
    X, y = data
    assert FMRegressor(k=3, solver="sgd", n_iter=1).fit(X, y).n_parameters_ == 1 + 70 + 3 * 70
    assert FMRegressor(k=3, n_iter=6, burn_in=2).fit(X, y).n_parameters_ == 4 * (1 + 70 + 3 * 70)
