"""The row kernel against the model equation and against conditionals worked out row by row."""

import numpy as np
import pytest
from scipy import sparse

from fm import column_sets
from fm.arrays import mapping
from fm.rows import rows_of
from tests.oracles import fm_predict


def example(rng, n=40, weighted=False):
    """Sparse values, two fields, a dense column and a binary one: (X, rows, weight)."""
    values = rng.normal(size=(n, 5)) * (rng.random((n, 5)) < 0.4)
    field = np.eye(4)[rng.integers(0, 4, n)]
    binary = rng.random((n, 1)) < 0.5
    some = np.eye(3)[rng.integers(0, 3, n)] * rng.normal(size=(n, 1)) * (rng.random((n, 1)) < 0.7)
    X = np.hstack([values, field, some, rng.normal(size=(n, 1)), binary])
    weight = rng.uniform(0.2, 2, n) if weighted else None
    rows = rows_of(sparse.csr_array(X), weight, None, k=2, dtype=np.float64, rescale=False)
    return X, rows, weight


def priors_of(kernel, c, rng):
    root = rng.normal(size=(c, c))
    return [(rng.normal(size=c), root @ root.T + np.eye(c)) for _ in kernel.columns]


def conditional_mean(X, y, w0, theta, members, mean, precision, alpha, weight):
    """Coordinates of the columns `members` set to their conditional means in turn, with nothing
    kept.
    """
    s = np.ones(len(y)) if weight is None else weight
    for j in range(theta.shape[1]):
        new = theta[:, j].copy()
        for column in members:
            h = X[:, column]
            if j:
                h = h * (X @ theta[:, j] - h * theta[column, j])
            e = y - fm_predict(X, w0, theta[:, 0], theta[:, 1:])
            total = alpha * (s * h) @ h + precision[j, j]
            slope = alpha * (s * h) @ e - precision[j] @ (theta[column] - mean)
            new[column] += slope / total
        theta[:, j] = new


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sweep_sets_each_coordinate_to_its_conditional_mean(weighted):
    rng = np.random.default_rng(0)
    X, rows, weight = example(rng, weighted=weighted)
    theta, y = rng.normal(size=(X.shape[1], 3)), rng.normal(size=len(X))
    priors, expected = priors_of(rows.kernel, 3, rng), theta.copy()
    for members, (mean, precision) in zip(rows.kernel.columns, priors, strict=True):
        conditional_mean(X, y, 0.7, expected, members, mean, precision, 1.5, weight)
    residual = rows.kernel.sweep(y, 0.7, theta, priors, 1.5, None)
    np.testing.assert_allclose(theta, expected, atol=1e-10)
    left = y - fm_predict(X, 0.7, theta[:, 0], theta[:, 1:])
    np.testing.assert_allclose(residual.vector(), left, atol=1e-10)
    np.testing.assert_allclose(rows.kernel.q, theta[:, 1:].T @ X.T, atol=1e-10)


def test_draws_have_the_conditional_variance():
    """Of the last coordinate of the last set, given which all else is as without noise."""
    rng = np.random.default_rng(0)
    X, rows, _ = example(rng)
    kernel, y = rows.kernel, rng.normal(size=len(X))
    prior = [(np.zeros(1), np.eye(1))] * len(kernel.columns)
    theta = np.zeros((X.shape[1], 1))
    column = kernel.columns[0][0]
    drawn = []
    for _ in range(1000):
        start = theta.copy()
        kernel.load(start)
        kernel.sweep(y, 0.0, start, prior, 2.0, rng)
        drawn.append(start[column, 0])
    total = 2 * X[:, column] @ X[:, column] + 1
    assert np.mean(drawn) == pytest.approx(
        2 * X[:, column] @ y / total, abs=4.5 / np.sqrt(1000 * total)
    )
    assert np.var(drawn) * total == pytest.approx(1, abs=4.5 * np.sqrt(2 / 1000))


def test_pieces_and_threads_do_not_matter(monkeypatch):
    """The number of pieces to rounding, the number of threads to the last bit."""
    thetas = []
    for piece, n_jobs in ((2**16, 1), (16, 1), (16, 2)):
        monkeypatch.setattr(column_sets, "PIECE", piece)
        rng = np.random.default_rng(0)
        X, rows, _ = example(rng, 200)
        theta, y = rng.normal(size=(X.shape[1], 3)), rng.normal(size=200)
        priors = priors_of(rows.kernel, 3, rng)
        with mapping(n_jobs) as each:
            rows.kernel.sweep(y, 0.0, theta, priors, 1.0, np.random.default_rng(1), each)
        thetas.append(theta)
    np.testing.assert_allclose(thetas[0], thetas[1], atol=1e-10)
    np.testing.assert_array_equal(thetas[1], thetas[2])


def test_the_kept_sums_stay_those_of_the_coefficients():
    rng = np.random.default_rng(0)
    X, rows, _ = example(rng)
    theta, y = rng.normal(size=(X.shape[1], 3)), rng.normal(size=len(X))
    for _ in range(200):
        rows.kernel.sweep(y, 0.3, theta, priors_of(rows.kernel, 3, rng), 1.0, rng)
    np.testing.assert_allclose(
        rows.kernel.prediction, fm_predict(X, 0.0, theta[:, 0], theta[:, 1:]), atol=1e-9
    )
