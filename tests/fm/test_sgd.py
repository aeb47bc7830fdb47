"""Gradient descent: its objective, its steps, and how it goes on and gives up."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from fm import FMRegressor
from fm.descent import OwnColumns, Rows, compressed
from fm.features import MatrixFeatures
from fm.model import Coefficients, predict
from fm.sgd import FIRST_PENALTIES, sgd
from tests.fm.data import ratings
from tests.oracles import fm_predict, numerical_gradient

LOSSES = {
    "squared": lambda f, y: (f - y) ** 2 / 2,
    "logistic": lambda f, y: np.logaddexp(0, f) - y * f,
}
SETTINGS = {"k": 2, "n_iter": 5, "learning_rate": 0.1, "l2": 1.0, "l2_w": 1.0}


def fit(X, y, seed=0, **settings):
    return sgd(X, y, rng=np.random.default_rng(seed), **(SETTINGS | settings))


@pytest.mark.parametrize("as_matrix", [lambda X: X.to_csr(), lambda X: X.to_csr().toarray()])
def test_every_form_of_the_rows_gives_the_same_fit(as_matrix):
    X, y = ratings(np.random.default_rng(0), n_rows=300)
    design, matrix = fit(X, y), fit(as_matrix(X), y)
    np.testing.assert_allclose(design.coefficients.V, matrix.coefficients.V, atol=1e-9)


def test_linear_model_ends_at_ridge_regression():
    """k = 0, whole-data steps: the minimum of sum weight (y - f)^2 + l2_w |w|^2, in the unit of
    y.
    """
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(60, 3)), rng.normal(5, 20, size=60), rng.random(60) * 3
    Xc, yc = X - np.average(X, axis=0, weights=weight), y - np.average(y, weights=weight)
    w = np.linalg.solve(Xc.T @ (weight[:, None] * Xc) + 7 * np.eye(3), Xc.T @ (weight * yc))
    found = fit(
        X,
        y,
        k=0,
        l2_w=7.0,
        n_iter=3000,
        learning_rate=0.3,
        sample_weight=weight,
    )
    np.testing.assert_allclose(found.coefficients.w, w, rtol=1e-6)
    np.testing.assert_allclose(
        found.coefficients.w0, np.average(y - X @ w, weights=weight), rtol=1e-6
    )


@pytest.mark.slow
def test_minimum_is_a_stationary_point_of_the_stated_objective():
    """With factors: the gradient of sum (y - f)^2 + l2_w |w|^2 + l2 |V|^2 vanishes in the unit of
    y.
    """
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), rng.normal(3, 10, size=40)
    found = fit(X, y, n_iter=3000, learning_rate=0.5, l2=4.0, l2_w=2.0, init_std=0.5)
    w0, w, V, _ = found.coefficients

    def objective(theta):
        f = predict(X, Coefficients(w0, theta[:, 0], theta[:, 1:]))
        return np.sum((y - f) ** 2) + 2 * np.sum(theta[:, 0] ** 2) + 4 * np.sum(theta[:, 1:] ** 2)

    theta = np.column_stack([w, V])
    assert np.abs(V).max() > 0.1
    np.testing.assert_allclose(numerical_gradient(objective, theta), 0, atol=1e-3)


def test_a_weight_of_two_is_two_rows():
    rng = np.random.default_rng(0)
    X, y, times = rng.normal(size=(50, 3)), rng.normal(size=50), rng.integers(0, 4, 50)
    weighted = fit(X, y, sample_weight=times.astype(float)).coefficients
    repeated = fit(np.repeat(X, times, axis=0), np.repeat(y, times)).coefficients
    np.testing.assert_allclose(weighted.V, repeated.V, rtol=1e-7)
    np.testing.assert_allclose(weighted.w, repeated.w, rtol=1e-7)


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_the_unit_of_y_does_not_matter(scale):
    """y in another unit with the penalties that go with it: |w|^2 scales as y^2, |V|^2 as y."""
    X, y = ratings(np.random.default_rng(0))
    one = fit(X, y, l2=2.0)
    other = fit(X, scale * y, l2=2.0 * scale)
    np.testing.assert_allclose(
        predict(X, other.coefficients), scale * predict(X, one.coefficients), rtol=1e-9
    )


@pytest.mark.parametrize("as_matrix", [np.asarray, sparse.csr_array])
def test_the_units_of_the_columns_do_not_matter(as_matrix):
    """Columns in other units, unpenalized: powers of 2, so that nothing is even rounded
    differently.
    """
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    free = {"l2": 0.0, "l2_w": 0.0, "n_iter": 20}
    one, other = as_matrix(X), as_matrix(X * [2.0**30, 1, 2.0**-30])
    f, g = (predict(x, fit(x, y, **free).coefficients) for x in (one, other))
    np.testing.assert_allclose(f, g, rtol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_n_then_m_epochs_are_n_plus_m(loss):
    X, y = ratings(np.random.default_rng(0))
    y = (y > 3).astype(float) if loss == "logistic" else y
    settings = {"loss": loss, "batch_size": 100}
    whole = fit(X, y, n_iter=5, **settings)
    part = fit(X, y, n_iter=2, **settings)
    before = predict(X, part.coefficients)
    rest = sgd(X, y, rng=None, start=part.state, **(SETTINGS | settings | {"n_iter": 3}))
    np.testing.assert_array_equal(predict(X, rest.coefficients), predict(X, whole.coefficients))
    np.testing.assert_array_equal(
        predict(X, part.state.coefficients()), before, "a start is left as it was"
    )


def test_same_seed_same_bits():
    X, y = ratings(np.random.default_rng(0))
    first, second, other = (fit(X, y, seed=seed).coefficients.V for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.parametrize("as_matrix", [lambda X: X, lambda X: X.to_csr()])
def test_levels_without_rows_contribute_nothing(as_matrix):
    X, y = ratings(np.random.default_rng(0))
    absent = X.block("user").levels == 7
    seen = fit(as_matrix(X[~absent]), y[~absent]).coefficients
    assert seen.w[7] == 0 and not seen.V[7].any()
    np.testing.assert_array_equal(
        predict(as_matrix(X[absent][:1]), seen),
        seen.w0 + seen.w[40 + X.block("item").levels[absent][0]],
    )


def test_a_planted_machine_is_recovered():
    rng = np.random.default_rng(0)
    X, y = ratings(rng, n_rows=3000, noise=0.1)
    rows = rng.permutation(3000)
    train, test = rows[:2400], rows[2400:]
    found = fit(X[train], y[train], n_iter=100, l2=0.1, l2_w=0.1, init_std=0.3)
    assert np.mean((predict(X[test], found.coefficients) - y[test]) ** 2) < 0.1 * np.var(y[test])


def test_divergence_is_reported():
    X, y = ratings(np.random.default_rng(0))
    with pytest.raises(
        FloatingPointError, match=r"epoch \d+ with learning_rate=9e\+09; try learning_rate=9e\+08"
    ):
        fit(X, y, learning_rate=9e9, n_iter=300)


def test_an_error_above_that_of_the_mean_is_warned_of():
    """Each step of AdaGrad moves every one of 200 columns by as much: too much for three epochs to
    make good.
    """
    rng = np.random.default_rng(0)
    with pytest.warns(
        ConvergenceWarning,
        match=r"after 3 epochs the error is still .* smaller learning_rate than 0.1",
    ):
        fit(rng.normal(size=(300, 200)), rng.normal(size=300), n_iter=3)


def test_callback_sees_every_epoch_and_can_stop():
    X, y = ratings(np.random.default_rng(0))
    seen = []
    found = fit(X, y, n_iter=10, callback=lambda epoch, c: seen.append((epoch, c)) or epoch == 3)
    assert [epoch for epoch, _ in seen] == [1, 2, 3] and found.state.n_epochs == len(
        found.seconds
    ) == 3
    np.testing.assert_array_equal(seen[-1][1].V, found.coefficients.V)
    assert np.abs(seen[0][1].V - found.coefficients.V).max() > 0, (
        "coefficients are arrays of their own"
    )


def test_float32_is_close_to_float64():
    X, y = ratings(np.random.default_rng(0))
    double, single = fit(X, y), fit(X, y, dtype=np.float32)
    assert single.coefficients.V.dtype == np.float32
    np.testing.assert_allclose(
        predict(X, single.coefficients), predict(X, double.coefficients), atol=1e-3
    )


@pytest.mark.slow
def test_many_rows_are_fitted_as_well_as_few(monkeypatch):
    """In segments, of rows sorted by user: what the order costs is within the scatter of seeds."""
    X, y = ratings(np.random.default_rng(0))
    order = np.argsort(X.block("user").levels)
    X, y, weight = X[order], y[order], np.random.default_rng(1).random(len(y))

    def mse(seed):
        found = fit(X, y, seed=seed, n_iter=25, batch_size=20, sample_weight=weight)
        return np.average((predict(X, found.coefficients) - y) ** 2, weights=weight)

    whole = [mse(seed) for seed in range(10)]
    monkeypatch.setattr("fm.features.SEGMENT", 100)
    segments = [mse(seed) for seed in range(10)]
    monkeypatch.setattr("fm.features.SEGMENT", 20)  # and of one batch each
    assert abs(np.median([mse(seed) for seed in range(10)]) - np.median(whole)) < 3 * np.std(whole)
    assert abs(np.median(segments) - np.median(whole)) < 3 * np.std(whole)


@pytest.mark.parametrize("constant", [4.0, 1 / 3])
def test_constant_y(constant):
    X, _ = ratings(np.random.default_rng(0))
    found = fit(X, np.full(len(X), constant), n_iter=50)
    np.testing.assert_allclose(predict(X, found.coefficients), constant, atol=0.1)


def fields(rng, n=4000, n_fields=6, levels=40):
    columns = rng.integers(0, levels, (n, n_fields)) + levels * np.arange(n_fields)
    ones = np.ones(columns.size), columns.ravel(), np.arange(0, columns.size + 1, n_fields)
    X = sparse.csr_array(ones, shape=(n, levels * n_fields))
    f = X @ rng.normal(scale=0.5, size=X.shape[1])
    return X, f + rng.normal(size=n)


def test_compressed_batches_hold_every_row_once_in_its_own_columns():
    X, _ = fields(np.random.default_rng(0), n=700)
    batches = list(compressed(X, 100))
    chosen = np.concatenate([batch.rows for batch in batches])
    np.testing.assert_array_equal(np.sort(chosen), np.arange(700))
    for batch in batches:
        np.testing.assert_array_equal(batch.x.toarray(), X[batch.rows].toarray()[:, batch.columns])
        assert batch.x.sum(axis=0).min() > 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("values", ["real", "ones"])
def test_gradient_of_a_compressed_batch(values, loss):
    """That of its mean loss plus the columns' penalties, by finite differences."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((12, 5), density=0.4, rng=rng, format="csr")
    if values == "ones":
        X.data[:] = 1
    y, weight = rng.integers(0, 2, 12).astype(float), rng.uniform(0.5, 2, 12)
    descent = OwnColumns(Rows(MatrixFeatures.of(X), y, weight, loss), 12)
    (batch,) = descent.batches
    theta, shrink = rng.normal(size=(len(batch.columns), 3)), rng.random((len(batch.columns), 2))

    def objective(w0, theta):
        f = predict(batch.x, Coefficients(w0, theta[:, 0], theta[:, 1:]))
        own = shrink[:, :1] * theta[:, :1] ** 2, shrink[:, 1:] * theta[:, 1:] ** 2
        return np.mean(weight[batch.rows] * LOSSES[loss](f, y[batch.rows])) + sum(
            np.sum(part) / 2 for part in own
        )

    _, slope, gradient = descent.gradient(batch, shrink, 0.7, theta)
    expected = numerical_gradient(lambda t: objective(0.7, t), theta)
    np.testing.assert_allclose(gradient, expected, atol=1e-7)
    at_w0 = numerical_gradient(lambda w0: objective(w0, theta), np.array(0.7))
    np.testing.assert_allclose(slope, at_w0, atol=1e-7)


def test_compressed_steps_end_at_ridge_regression():
    """k = 0, one batch: rows of more features than `FEW` minimize the same objective."""
    X, y = fields(np.random.default_rng(0), n=300, levels=4)
    dense = X.toarray() - X.toarray().mean(axis=0)
    w = np.linalg.solve(dense.T @ dense + 7 * np.eye(24), dense.T @ (y - y.mean()))
    found = fit(X, y, k=0, l2_w=7.0, n_iter=3000, batch_size=300, learning_rate=0.3)
    np.testing.assert_allclose(found.coefficients.w, w, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_penalties_are_learned_from_rows_set_aside(loss):
    """On rows that no fit saw, as good as the best of a grid of penalties, unlike the worst."""
    rng = np.random.default_rng(0)
    X, f = fields(rng, n=6000, levels=200)
    y = f if loss == "squared" else (f > 0).astype(float)
    train, test = slice(4000), slice(4000, None)

    def loss_of(**penalties):
        found = fit(X[train], y[train], loss=loss, n_iter=15, **penalties)
        return np.mean(LOSSES[loss](predict(X[test], found.coefficients), y[test]))

    learned = loss_of(l2=None, l2_w=None, learning_rate=None)
    grid = [loss_of(l2=10 * l2_w, l2_w=l2_w) for l2_w in (0.1, 1.0, 10.0, 100.0)]
    assert learned < 1.02 * min(grid) < 0.9 * max(grid)


def test_few_rows_leave_none_to_set_aside():
    X, y = fields(np.random.default_rng(0), n=100)
    found = fit(X, y, l2=None, l2_w=None)
    assert found.state.penalties == FIRST_PENALTIES[0]
    assert np.isfinite(found.coefficients.w).all()


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_learned_penalties_have_no_unit(scale):
    X, y = fields(np.random.default_rng(0))
    free = {"l2": None, "l2_w": None, "k": 2, "learning_rate": None}
    one = predict(X, fit(X, y, **free).coefficients)
    np.testing.assert_allclose(
        predict(X, fit(X, scale * y, **free).coefficients), scale * one, rtol=1e-5
    )
    other = X * scale
    np.testing.assert_allclose(predict(other, fit(other, y, **free).coefficients), one, rtol=1e-5)


def test_compressed_n_then_m_epochs_are_n_plus_m():
    X, y = fields(np.random.default_rng(0))
    free = {"l2": None, "l2_w": None}
    whole, part = fit(X, y, **free), fit(X, y, n_iter=2, **free)
    rest = sgd(X, y, rng=None, start=part.state, **(SETTINGS | free | {"n_iter": 3}))
    np.testing.assert_array_equal(rest.coefficients.V, whole.coefficients.V)


@pytest.mark.parametrize("of", [np.asarray, sparse.csr_array], ids=["array", "sparse"])
def test_a_large_mean_of_a_column_does_not_slow_the_descent(of):
    """R^2 is that of the same columns about 0, and a later chunk may have zeros in them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 6))
    y = X @ rng.normal(size=6) + X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=1000)
    scores = []
    for mean in (0.0, 30.0):
        A = of(X + mean)
        model = FMRegressor(k=2, solver="sgd", random_state=0).fit(A[:500], y[:500])
        scores.append(model.score(A[500:], y[500:]))
    assert scores[0] > 0.8
    assert scores[1] == pytest.approx(scores[0], abs=0.02)
    model.partial_fit(of(np.where(rng.random(X.shape) < 0.1, 0, X + mean)), y)
    state, chunk = model.state_, X + mean
    theta = (state.theta if state.average is None else state.average) / state.units[:, None]
    w0, w, V = state.w0, theta[:, 0], theta[:, 1:]
    f = fm_predict(chunk - state.centers, w0, w, V)
    np.testing.assert_allclose(model.predict(of(chunk)), state.offset + state.scale * f, atol=1e-8)
