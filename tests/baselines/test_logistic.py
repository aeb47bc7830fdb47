"""Logistic baselines against closed forms and a gradient that vanishes."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit

from baselines import BaseRate, LogisticRegression, QuadraticLogisticRegression
from fm.design import Block, Design

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 6, (2, 600))
X = Design((Block("a", LEVELS[0], 6), Block("b", LEVELS[1], 6)))
PAIR = (LEVELS[0] % 2 == LEVELS[1] % 2).astype(float)
Y = (RNG.random(600) < 0.1 + 0.8 * PAIR).astype(float)


def test_base_rate_is_the_share() -> None:
    model = BaseRate().fit(X, Y)
    assert np.allclose(model.predict_proba(X)[:, 1], Y.mean())
    weighted = BaseRate().fit(X, Y, sample_weight=1 + Y)
    assert weighted.predict_proba(X)[0, 1] == pytest.approx(2 * Y.sum() / (600 + Y.sum()))


@pytest.mark.parametrize("l2", [0.5, 20.0])
def test_the_gradient_of_the_objective_vanishes(l2: float) -> None:
    model = LogisticRegression(l2=l2).fit(X, Y)
    w = model.coef_
    residual = expit(X.to_csr() @ w + model.intercept_) - Y
    assert np.abs(X.to_csr().T @ residual + l2 * w).max() < 0.15
    assert abs(residual.sum()) < 0.15


def test_pairs_learn_what_single_levels_cannot() -> None:
    linear, pairs = LogisticRegression().fit(X, Y), QuadraticLogisticRegression().fit(X, Y)
    right = [np.mean(model.predict(X) == Y) for model in (linear, pairs)]
    assert right[0] < 0.65 < 0.85 < right[1]


def test_few_bits_make_pairs_share_weights_and_penalties_differ() -> None:
    one = QuadraticLogisticRegression(bits=1).fit(X, Y)
    assert one.coef_.shape == (12 + 2,)
    strong = QuadraticLogisticRegression(l2_pairs=1e7).fit(X, Y)
    linear = LogisticRegression().fit(X, Y)
    assert np.allclose(strong.predict_proba(X), linear.predict_proba(X), atol=5e-3)


def test_matrices_are_taken_and_bad_input_is_refused() -> None:
    flat = sparse.csr_array(X.to_csr())
    assert np.allclose(
        LogisticRegression().fit(flat, Y).predict_proba(flat),
        LogisticRegression().fit(X, Y).predict_proba(X),
    )
    with pytest.raises(ValueError, match="two classes, got 1"):
        LogisticRegression().fit(X, np.ones(600))
    with pytest.raises(ValueError, match="l2 must be above 0"):
        LogisticRegression(l2=0).fit(X, Y)
