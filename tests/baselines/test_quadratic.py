from itertools import combinations

import numpy as np
import pytest

from baselines import QuadraticRegression, RidgeRegression
from fm.design import Block, Design


def explicit(X: np.ndarray) -> np.ndarray:
    return np.column_stack([X[:, i] * X[:, j] for i, j in combinations(range(X.shape[1]), 2)])


@pytest.mark.parametrize("l2_pairs", [None, 0.3])
def test_is_ridge_on_all_products(rng: np.random.Generator, l2_pairs: float | None) -> None:
    X = rng.normal(size=(80, 6)) * (rng.random((80, 6)) < 0.7)
    y = rng.normal(size=80)
    model = QuadraticRegression(l2=2.0, l2_pairs=l2_pairs).fit(X, y)

    A = np.column_stack([X, explicit(X), np.ones(len(X))])
    penalty = np.diag([2.0] * 6 + [l2_pairs or 2.0] * 15 + [0.0])
    expected = np.linalg.solve(A.T @ A + penalty, A.T @ y)
    np.testing.assert_allclose(
        [*model.coef_, *model.pair_coef_, model.intercept_], expected, atol=1e-8
    )
    np.testing.assert_allclose(model.predict(X), A @ expected, atol=1e-8)


def test_learns_what_no_linear_model_can() -> None:
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    xor = np.array([0.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(QuadraticRegression(l2=1e-9).fit(X, xor).predict(X), xor, atol=1e-6)


def test_pairs_rated_once_leave_a_linear_model(rng: np.random.Generator) -> None:
    """For unseen pairs: that of the module's header, with penalty l2 (1 + 1 / l2_pairs)."""
    user, item = (levels.ravel() for levels in np.indices((12, 9)))
    X = Design((Block("user", user, 12), Block("item", item, 9)))
    y = rng.normal(size=len(X))
    seen = rng.random(len(X)) < 0.6
    quadratic = QuadraticRegression(l2=3.0, l2_pairs=2.0).fit(X[seen], y[seen])
    linear = RidgeRegression(l2=3.0 * (1 + 1 / 2.0)).fit(X[seen], y[seen])
    np.testing.assert_allclose(quadratic.predict(X[~seen]), linear.predict(X[~seen]), atol=1e-7)
    assert quadratic.n_parameters_ == 1 + 12 + 9 + seen.sum()
    assert np.mean((quadratic.predict(X[seen]) - y[seen]) ** 2) < np.mean(
        (linear.predict(X[seen]) - y[seen]) ** 2
    )


def test_linear_blocks_are_in_no_pair(design: Design, y: np.ndarray) -> None:
    """The ridge on ids, their products, and the sessions' own columns."""
    sessions = Block("session", np.arange(400) % 40, 40, linear=True)
    X = Design([*design, sessions])
    model = QuadraticRegression(l2=2.0, l2_pairs=3.0).fit(X, y)
    A = np.hstack([X.to_csr().toarray(), explicit(design.to_csr().toarray()), np.ones((400, 1))])
    penalty = np.diag([2.0] * (50 + 40) + [3.0] * (50 * 49 // 2) + [0.0])
    expected = np.linalg.solve(A.T @ A + penalty, A.T @ y)
    np.testing.assert_allclose(model.predict(X), A @ expected, atol=1e-7)
    assert np.array_equal(model.predict(X.to_csr()), model.predict(X))


def test_more_products_than_memory_are_refused(
    design: Design, y: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baselines.linear.MAX_PRODUCTS", 399)
    with pytest.raises(
        ValueError, match="the 400 rows have 400 products of two features, more than 399: leave"
    ):
        QuadraticRegression().fit(design, y)
    with pytest.raises(ValueError, match="have 400 products"):
        QuadraticRegression().fit(design.to_csr(), y)
    user, item = design
    described = Block("item", item.levels, item.n_levels, side_features=np.ones((item.n_levels, 2)))
    with pytest.raises(ValueError, match="have 2,400 products"):
        QuadraticRegression().fit(Design([user, described]), y)


def test_both_penalties_bite(design: Design, y: np.ndarray) -> None:
    base = QuadraticRegression().fit(design, y).predict(design)
    for changed in ({"l2": 5.0, "l2_pairs": 4.0}, {"l2_pairs": 5.0}):
        assert not np.allclose(QuadraticRegression(**changed).fit(design, y).predict(design), base)


def test_errors(design: Design, y: np.ndarray) -> None:
    with pytest.raises(ValueError, match="l2_pairs must be at least 0"):
        QuadraticRegression(l2_pairs=-2.0).fit(design, y)
    with pytest.raises(ValueError, match=r"X has 4 features, but Quadratic.* is expecting 50"):
        QuadraticRegression().fit(design, y).predict(np.ones((2, 4)))
