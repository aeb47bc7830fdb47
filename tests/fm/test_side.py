import numpy as np
import pytest
from scipy import sparse

from fm.design import Block, Design
from fm.model import Coefficients, predict
from fm.side import Ridge, flat

SHAPES = [(12, 4), (4, 12)]


def features(shape):
    return sparse.random_array(shape, density=0.5, rng=np.random.default_rng(0), format="csr")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strength", [0.1, 3.0])
def test_solve(shape, strength):
    S = features(shape)
    x = np.random.default_rng(1).normal(size=(shape[1], 3))
    dense = S.toarray()
    expected = np.linalg.solve(dense.T @ dense + strength * np.eye(shape[1]), x)
    np.testing.assert_allclose(Ridge(S).solve(x, strength), expected, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_draw(shape):
    """Matrix normal: rows (S'S + strength)^-1, columns root root', about the ridge solution."""
    S, rng, n = features(shape), np.random.default_rng(2), 20_000
    root = np.array([[1.0, 0], [0.5, 0.3]])
    x = rng.normal(size=(shape[0], 2))
    ridge = Ridge(S)
    draws = np.array([ridge.draw(x, 2.0, root, rng) for _ in range(n)]).reshape(n, -1)
    dense = S.toarray()
    rows = np.linalg.inv(dense.T @ dense + 2 * np.eye(shape[1]))
    expected = np.kron(rows, root @ root.T)
    np.testing.assert_allclose(
        draws.mean(axis=0), (rows @ dense.T @ x).ravel(), atol=4 / np.sqrt(n)
    )
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=6 / np.sqrt(n))


def test_flat_coefficients_predict_what_theta_does():
    """One block with features: its level's bias is theta's, whatever pairs of its own columns add."""
    rng = np.random.default_rng(3)
    S = features((6, 4))
    theta, B = rng.normal(size=(6, 3)), rng.normal(size=(4, 3))
    other = rng.normal(size=(5, 3))
    users, items = np.divmod(np.arange(30), 5)
    X = Design((Block("user", users, 6, S), Block("item", items, 5)))
    coefficients = np.concatenate([flat(theta, B, S), other])
    expected = 1 + theta[users, 0] + other[items, 0] + np.vecdot(theta[users, 1:], other[items, 1:])
    np.testing.assert_allclose(
        predict(X, Coefficients(1.0, coefficients[:, 0], coefficients[:, 1:])), expected
    )
