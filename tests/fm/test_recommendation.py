"""Predictions for whole blocks of pairs, the best of them, and features like a given one."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fm import (
    Block,
    Design,
    FMClassifier,
    FMOrdinal,
    FMRegressor,
    predict_pairs,
    recommend,
    similar,
)
from fm.model import Coefficients, Draws
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


def machine(V):
    model = FMRegressor(solver="sgd")
    model.machine_ = Coefficients(0.0, np.zeros(len(V)), np.asarray(V, dtype=float))
    return model


def test_columns_by_cosine():
    model = machine([[1, 0], [2, 2], [3, 0.1], [-1, 0], [0, 0]])
    assert [j for j, _ in similar(model, 0)] == [2, 1, 4, 3]
    np.testing.assert_allclose(
        [s for _, s in similar(model, 0)], [3 / np.hypot(3, 0.1), np.sqrt(0.5), 0, -1], rtol=1e-12
    )
    assert [j for j, _ in similar(model, 0, n=2)] == [2, 1]


def test_levels_are_compared_within_their_block_with_their_side_features():
    items = Block(
        "item",
        [0],
        3,
        sparse.csr_array([[1.0], [1.0], [0.0]]),
        np.array(["a", "b", "c"]),
        ("genre",),
    )
    design = Design((Block("user", [0], 1), items))
    model = machine([[9, 9], [0.1, 0], [0, 0.1], [1, 0], [0, 1]])
    names, cosines = zip(*similar(model, "item=a", design=design), strict=True)
    assert names == ("item=b", "item=c")
    np.testing.assert_allclose(cosines, np.array([1, 0.1]) / np.hypot(0.1, 1))


def test_draws_are_averaged_not_their_factors():
    """Two draws that differ by a rotation say the same; the mean of their factors would say
    nothing.
    """
    V = np.array([[1.0, 0], [1, 0.1], [0, 1]])
    model = FMRegressor()
    model.machine_ = Draws(
        np.zeros(2),
        np.zeros((2, 3)),
        np.stack([V, -V]),
        np.zeros((2, 0, 3)),
        np.ones(2),
        None,
        np.empty((2, 0)),
    )
    names, cosines = zip(*similar(model, 0), strict=True)
    assert names == (1, 2)
    np.testing.assert_allclose(cosines, [1 / np.hypot(1, 0.1), 0], atol=1e-12)


def test_errors_of_similar():
    model = machine([[1, 0], [2, 2]])
    design = Design((Block("user", [0], 1, labels=["Ann"]), Block("item", [0], 1)))
    with pytest.raises(KeyError, match="no feature 7; there are columns 0 to 1"):
        similar(model, 7)
    with pytest.raises(KeyError, match=r"no level 'user=Anne' .did you mean 'user=Ann'"):
        similar(model, "user=Anne", design=design)
    with pytest.raises(ValueError, match="n must be at least 1"):
        similar(model, 0, 0)
    with pytest.raises(ValueError, match="no factors"):
        similar(machine(np.empty((2, 0))), 0)


@pytest.mark.parametrize("solver", ["gibbs", "als"])
def test_a_dataframe_stands_for_its_design(solver):
    rng = np.random.default_rng(0)
    names = {"user": [f"u{u}" for u in range(6)], "item": [f"i{i}" for i in range(9)]}
    rows = pd.DataFrame({name: rng.choice(labels, 60) for name, labels in names.items()})
    estimator = FMRegressor(k=2, solver=solver, n_iter=5, random_state=0)
    estimator.fit(rows, rng.standard_normal(60))
    items, predictions = recommend(estimator, rows, n=9, levels=[2])
    pairs = pd.DataFrame({"user": "u2", "item": np.array(names["item"])[items[0]]})
    np.testing.assert_allclose(estimator.predict(pairs), predictions[0])
    left, _ = recommend(estimator, rows, n=9, seen=rows)
    seen = {(u, i) for u, i in zip(rows["user"], rows["item"], strict=True)}
    assert seen.isdisjoint({(f"u{u}", f"i{i}") for u, own in enumerate(left) for i in own})
    assert len(similar(estimator, "item=i3", design=rows)) == 8


def test_a_dataframe_with_numbers_has_no_blocks_to_pair():
    rows = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "age": [1.0, 2.0]})
    estimator = FMRegressor(k=2, n_iter=5, random_state=0).fit(rows, [1.0, 2.0])
    with pytest.raises(ValueError, match="a DataFrame, with fields alone"):
        recommend(estimator, rows)
