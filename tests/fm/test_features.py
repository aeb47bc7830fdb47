"""Rows in the forms that gradient descent needs: predictions, gradients, units of columns."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from fm import FMOrdinal, FMRegressor, load, save
from fm.descent import RESIDUALS
from fm.features import MatrixFeatures, OneHotFeatures, features
from fm.model import Coefficients, predict
from tests.fm.data import random_design
from tests.oracles import numerical_gradient

LOSSES = {
    "squared": lambda f, y: (f - y) ** 2 / 2,
    "logistic": lambda f, y: np.logaddexp(0, f) - y * f,
}


def rows_of(kind, rng):
    match kind:
        case "dense":
            return rng.normal(size=(12, 5)) * (rng.random((12, 5)) < 0.7)
        case "sparse":
            return sparse.random_array((12, 5), density=0.4, rng=rng, format="csr")
        case "binary":
            return sparse.csr_array((rng.random((12, 5)) < 0.4).astype(float))
        case "one-hot":
            return random_design(rng, 12, side=False, unknown=False)
        case "unknown levels":
            return random_design(rng, 12, side=False)
        case "side features":
            return random_design(rng, 12)


KINDS = ["dense", "sparse", "binary", "one-hot", "unknown levels", "side features"]


@pytest.mark.parametrize("kind", KINDS)
def test_forward_is_the_model(kind):
    rng = np.random.default_rng(0)
    X = rows_of(kind, rng)
    theta = rng.normal(size=(X.shape[1], 4))
    f, _ = features(X, np.float64).forward(0.7, theta)
    np.testing.assert_allclose(
        f, predict(X, Coefficients(0.7, theta[:, 0], theta[:, 1:])), rtol=1e-12
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", KINDS)
def test_backward_is_the_gradient(kind, loss):
    rng = np.random.default_rng(0)
    X = rows_of(kind, rng)
    x, y, weight = features(X, np.float64), rng.integers(0, 2, 12), rng.random(12)
    theta = rng.normal(size=(X.shape[1], 3))
    f, z = x.forward(0.7, theta)
    e = weight * RESIDUALS[loss](f, y)

    def total(w0, theta):
        return np.sum(weight * LOSSES[loss](x.forward(w0, theta)[0], y))

    expected = numerical_gradient(lambda t: total(0.7, t), theta)
    gradient, squares = x.backward(e, z)
    np.testing.assert_allclose(squares, x.column_squares(e), atol=1e-12)
    gradient[:, 1:] -= squares[:, None] * theta[:, 1:]
    np.testing.assert_allclose(gradient, expected, atol=1e-7)
    at_w0 = numerical_gradient(lambda w0: total(w0, theta), np.array(0.7))
    np.testing.assert_allclose(e.sum(), at_w0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_column_squares_and_selection(kind):
    rng = np.random.default_rng(0)
    X = rows_of(kind, rng)
    matrix = X.to_csr().toarray() if hasattr(X, "to_csr") else sparse.csr_array(X).toarray()
    weight, some = rng.random(12), rng.permutation(12)[:7]
    x = features(X, np.float64)
    np.testing.assert_allclose(x.column_squares(weight), weight @ matrix**2)
    np.testing.assert_allclose(
        x[some].column_squares(weight[some]), weight[some] @ matrix[some] ** 2
    )


def test_plain_one_hot_rows_take_the_fast_path():
    rng = np.random.default_rng(0)
    assert isinstance(features(rows_of("one-hot", rng), np.float64), OneHotFeatures)
    assert isinstance(features(rows_of("unknown levels", rng), np.float64), MatrixFeatures)


@pytest.mark.parametrize("kind", KINDS)
def test_column_units(kind):
    rng = np.random.default_rng(0)
    X, weight = rows_of(kind, rng), rng.random(12)
    matrix = X.to_csr().toarray() if hasattr(X, "to_csr") else sparse.csr_array(X).toarray()
    x = features(X, np.float64)
    occurs = weight @ (matrix != 0)
    units = np.where(occurs > 0, np.sqrt(weight @ matrix**2 / np.where(occurs > 0, occurs, 1)), 1)
    np.testing.assert_allclose(x.column_units(weight), units)
    np.testing.assert_allclose(x.over(units).column_squares(weight), weight @ (matrix / units) ** 2)


@pytest.mark.parametrize("of", [np.asarray, sparse.csr_array], ids=["array", "sparse"])
@pytest.mark.parametrize("solver", ["gibbs", "als"])
def test_a_large_mean_of_a_column_changes_nothing(solver, of, tmp_path):
    """Columns of mean 10 and 1,000 are predicted by as well as ridge regression does, or better."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 6))
    y = X @ rng.normal(size=6) + 0.3 * X[:, 0] * X[:, 1] + 0.5 * rng.normal(size=900)
    ridge = Ridge().fit(X[:600], y[:600]).score(X[600:], y[600:])
    predictions = []
    for mean in (0, 10, 1000):
        A = of(X + mean)
        model = FMRegressor(k=3, solver=solver, n_iter=60, random_state=0).fit(A[:600], y[:600])
        assert model.score(A[600:], y[600:]) > ridge - 0.01
        predictions.append(model.predict(A[600:]))
        averaged = predict(A[600:], model.coefficients_)
        np.testing.assert_allclose(predictions[-1], averaged, atol=1e-6)
    np.testing.assert_allclose(predictions[1], predictions[2], atol=1e-6)
    save(model, tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").predict(A[600:]), predictions[2])


@pytest.mark.parametrize("solver", ["gibbs", "als"])
def test_centered_fits_go_on_bit_for_bit(solver):
    rng = np.random.default_rng(0)
    X, y = rng.normal(5, 1, (200, 4)), rng.normal(size=200)
    whole = FMRegressor(k=2, solver=solver, n_iter=6, random_state=0).fit(X, y)
    part = FMRegressor(k=2, solver=solver, n_iter=3, warm_start=True, random_state=0)
    part.fit(X, y).fit(X, y)
    last = [m.draws_.w[-1] if solver == "gibbs" else m.coefficients_.w for m in (whole, part)]
    np.testing.assert_array_equal(*last)


def test_ordered_classes_of_centered_columns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    y = np.digitize(X[:, 0] + 0.3 * rng.normal(size=600), [-0.5, 0.5])
    model = FMOrdinal(k=1, n_iter=60, random_state=0)
    near, far = (model.fit(X + m, y).predict_proba(X + m) for m in (0, 300))
    assert np.mean(near.argmax(axis=1) == y) > 0.75
    np.testing.assert_allclose(near, far, atol=0.1)
