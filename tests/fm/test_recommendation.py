"""Predictions for whole blocks of pairs, and the best of them."""

from itertools import product

import numpy as np
import pytest

from fm import Block, Design, FMClassifier, FMOrdinal, FMRegressor, predict_pairs, recommend
from tests.fm.data import random_design, ratings

ESTIMATORS = [
    FMRegressor(solver="sgd", n_iter=3),
    FMRegressor(solver="als", n_iter=3, dtype="float32"),
    FMRegressor(n_iter=6),
    FMClassifier(solver="sgd", n_iter=3),
    FMClassifier(n_iter=6),
    FMOrdinal(n_iter=6),
]


@pytest.fixture(params=ESTIMATORS, ids=[f"{type(e).__name__}-{e.solver}" for e in ESTIMATORS])
def fitted(request):
    X = random_design(np.random.default_rng(0), 80)
    labels = [0, 1] if isinstance(request.param, FMClassifier) else [1.0, 2.0, 4.5]
    return request.param.fit(X, np.resize(labels, 80)), X


def every_pair(X, users, items):
    """The rows that `predict_pairs` speaks of."""
    user, item = np.array(list(product(users, items))).T
    levels = {"user": user, "item": item, "day": np.full(len(user), -1)}
    return Design(tuple(Block(b.name, levels[b.name], b.n_levels, b.side_features) for b in X))


def predictions(estimator, X):
    return (
        estimator.predict_proba(X)[:, 1]
        if isinstance(estimator, FMClassifier)
        else estimator.predict(X)
    )


def test_pairs_are_what_predict_says(fitted, monkeypatch):
    estimator, X = fitted
    expected = predictions(estimator, every_pair(X, range(5), range(7))).reshape(5, 7)
    tolerance = {"rtol": 1e-4 if estimator.dtype == "float32" else 1e-10}
    [(levels, whole)] = predict_pairs(estimator, X, "user", "item")
    np.testing.assert_array_equal(levels, range(5))
    np.testing.assert_allclose(whole, expected, **tolerance)
    monkeypatch.setattr("fm.recommendation.SLICE", 15)
    slices = list(predict_pairs(estimator, X, "user", "item", levels=[4, 0, 2]))
    assert [list(levels) for levels, _ in slices] == [[4, 0], [2]]
    np.testing.assert_allclose(np.vstack([s for _, s in slices]), expected[[4, 0, 2]], **tolerance)


def test_best_items_without_those_seen(fitted):
    estimator, X = fitted
    seen = {
        (u, i)
        for u, i in zip(X.block("user").levels, X.block("item").levels, strict=True)
        if u >= 0 <= i
    }
    scores = predictions(estimator, every_pair(X, range(5), range(7))).reshape(5, 7)
    items, found = recommend(estimator, X, n=3, seen=X)
    for user in range(5):
        left = sorted(
            (i for i in range(7) if (user, i) not in seen), key=lambda i: -scores[user, i]
        )[:3]
        expected = left + [-1] * (3 - len(left))
        np.testing.assert_array_equal(items[user], expected)
        np.testing.assert_allclose(found[user, : len(left)], scores[user, left], rtol=1e-4)
        assert np.all(found[user, len(left) :] == -np.inf)


def test_all_items_when_n_is_large_and_none_for_no_users():
    X, y = ratings(np.random.default_rng(0))
    model = FMRegressor(solver="sgd", n_iter=5).fit(X, y)
    items, scores = recommend(model, X, n=1000)
    assert items.shape == scores.shape == (40, 30)
    assert np.all(np.diff(scores, axis=1) <= 0) and np.all(np.sort(items, axis=1) == np.arange(30))
    assert recommend(model, X, levels=[])[0].shape == (0, 10)


def test_errors():
    X, y = ratings(np.random.default_rng(0))
    model = FMRegressor(solver="sgd", n_iter=1).fit(X, y)
    with pytest.raises(KeyError, match="no block 'film'; there are"):
        recommend(model, X, items="film")
    with pytest.raises(ValueError, match="rows and columns must be different blocks"):
        recommend(model, X, items="user")
    with pytest.raises(ValueError, match=r"levels of 'user' must lie in \[0, 40\)"):
        recommend(model, X, levels=[40])
    with pytest.raises(ValueError, match="n must be at least 1"):
        recommend(model, X, n=0)
