import warnings
from functools import partial

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from fm import FMRegressor
from fm.als import als
from fm.design import Block, Design
from fm.model import predict
from fm.rows import rows_of
from tests.fm.data import random_design, ratings
from tests.fm.planted import planted
from tests.fm.slow_als import column_sweep, coordinate_sweep, objective


def matrix(kind, rng, n_rows=25):
    if kind == "design":
        return random_design(rng, n_rows, side=False)
    if kind == "sparse":
        return sparse.random_array((n_rows, 9), density=0.25, rng=rng, format="csr")
    return sparse.csr_array(rng.normal(size=(n_rows, 4)))


def flat(X):
    return (X.to_csr() if isinstance(X, Design) else X).toarray()


def same_fit(a, b, **tolerance):
    for x, y in zip(a.coefficients[:3], b.coefficients[:3], strict=True):
        np.testing.assert_allclose(x, y, **tolerance)


KINDS = ["design", "sparse", "dense"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_each_sweep_is_that_of_the_slow_solver(kind, k, weighted):
    """By the block kernel a level at once, by the row kernel a coordinate at a time."""
    rng = np.random.default_rng(k)
    X = (
        matrix(kind, rng)
        if kind != "sparse"
        else matrix("design", rng, 25).to_csr().multiply(2.5).tocsr()
    )
    y, weight = rng.normal(size=25), rng.uniform(0.1, 3, 25) if weighted else np.ones(25)
    penalties = {"l2": 0.7, "l2_w": 0.3}
    slow_sweep = column_sweep
    if kind != "design":
        rows = rows_of(X, None, None, k=k, dtype=np.float64, rescale=False)
        order = np.concatenate(rows.kernel.columns)
        slow_sweep = partial(coordinate_sweep, order=order)
    given = {"k": k, "sample_weight": weight if weighted else None, **penalties}
    fit = als(X, y, n_iter=1, rng=rng, **given)
    for _ in range(3):
        slow = slow_sweep(flat(X), y, weight, *fit.coefficients[:3], **penalties)
        fit = als(X, y, n_iter=1, rng=rng, start=fit, **given)
        for fast, expected in zip(fit.coefficients, slow, strict=False):
            np.testing.assert_allclose(fast, expected, rtol=1e-9, atol=1e-12)
        assert fit.history["objective"][-1] == pytest.approx(
            objective(flat(X), y, weight, *slow, **penalties), rel=1e-10
        )


@pytest.mark.parametrize("kind", KINDS)
def test_converges_to_where_coordinate_descent_stays(kind):
    rng = np.random.default_rng(7)
    X, y, weight = matrix(kind, rng), rng.normal(size=25), rng.uniform(0.5, 2, 25)
    fit = als(X, y, k=2, n_iter=400, l2=1.0, l2_w=0.5, rng=rng, sample_weight=weight)
    stayed = coordinate_sweep(flat(X), y, weight, *fit.coefficients[:3], l2=1.0, l2_w=0.5)
    for ours, theirs in zip(fit.coefficients, stayed, strict=False):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("l2", "l2_w"), [(1.0, 0.1), (0.0, 0.0), (0.5, 0.0)])
def test_objective_never_rises(kind, l2, l2_w):
    rng = np.random.default_rng(5)
    X, y = matrix(kind, rng, 60), rng.normal(size=60)
    fit = als(X, y, k=3, n_iter=60, l2=l2, l2_w=l2_w, rng=rng)
    curve = fit.history["objective"]
    assert np.all(np.diff(curve) <= 1e-10 * curve[0])
    assert curve[-1] < curve[0]


def test_without_factors_it_is_ridge_regression():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 6)), rng.normal(size=50)
    fit = als(sparse.csr_array(X), y, k=0, n_iter=300, l2=1.0, l2_w=2.0, rng=rng)
    centerd = X - X.mean(axis=0)
    w = np.linalg.solve(centerd.T @ centerd + 2 * np.eye(6), centerd.T @ y)
    np.testing.assert_allclose(fit.coefficients.w, w, atol=1e-10)
    assert fit.coefficients.V.shape == (6, 0)
    assert fit.coefficients.w0 == pytest.approx(y.mean() - X.mean(axis=0) @ w)


def test_unpenalized_weights_reach_least_squares():
    """Rank deficient: the two one-hot groups add up to the same constant. The prediction is
    unique.
    """
    rng = np.random.default_rng(1)
    X = random_design(rng, 60, side=False, unknown=False)
    y = rng.normal(size=60)
    fit = als(X, y, k=0, n_iter=500, l2=0.0, l2_w=0.0, rng=rng)
    dense = np.column_stack([np.ones(60), flat(X)])
    expected = dense @ np.linalg.lstsq(dense, y)[0]
    np.testing.assert_allclose(predict(X, fit.coefficients), expected, atol=1e-6)


@pytest.mark.parametrize(
    "n_side_features", [3, 20], ids=["few features", "more features than levels"]
)
def test_side_features_without_factors_are_columns(n_side_features):
    rng = np.random.default_rng(2)
    side = sparse.random_array((8, n_side_features), density=0.5, rng=rng)
    X = Design(
        (Block("user", rng.integers(-1, 8, 60), 8, side), Block("item", rng.integers(0, 5, 60), 5))
    )
    y = rng.normal(size=60)
    fit = als(X, y, k=0, n_iter=500, l2=1.0, l2_w=3.0, rng=rng)
    columns = als(X.to_csr(), y, k=0, n_iter=500, l2=1.0, l2_w=3.0, rng=rng)
    same_fit(fit, columns, atol=1e-7)
    assert fit.history["objective"][-1] == pytest.approx(columns.history["objective"][-1])


def test_side_features_with_factors():
    """Objective never rising, `train_loss` that of the returned coefficients."""
    rng = np.random.default_rng(3)
    X = random_design(rng, 80)
    y = rng.normal(size=80)
    fit = als(X, y, k=2, n_iter=50, l2=0.5, l2_w=0.5, rng=rng)
    assert np.all(np.diff(fit.history["objective"]) <= 1e-10)
    assert fit.history["train_loss"][-1] == pytest.approx(
        np.mean((y - predict(X, fit.coefficients)) ** 2)
    )


def test_a_level_without_rows_has_the_prior_mean():
    rng = np.random.default_rng(4)
    X = Design((Block("user", rng.integers(0, 4, 30), 5), Block("item", rng.integers(0, 3, 30), 3)))
    for l2 in (0.0, 1.0):
        fit = als(X, rng.normal(size=30), k=2, n_iter=3, l2=l2, l2_w=l2, rng=rng)
        assert fit.coefficients.w[4] == 0
        np.testing.assert_array_equal(fit.coefficients.V[4], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_goes_on_bit_for_bit(kind):
    rng = np.random.default_rng(0)
    X, y = matrix(kind, rng), rng.normal(size=25)
    given = {"k": 20, "l2": 1.0, "l2_w": 0.5}
    whole = als(X, y, n_iter=5, rng=np.random.default_rng(1), **given)
    half = als(X, y, n_iter=2, rng=np.random.default_rng(1), **given)
    rest = als(X, y, n_iter=3, rng=np.random.default_rng(9), start=half, **given)
    same_fit(whole, rest, rtol=0)
    assert rest.n_sweeps == 5
    np.testing.assert_array_equal(whole.history["objective"][2:], rest.history["objective"])


def test_goes_on_bit_for_bit_with_side_features():
    rng = np.random.default_rng(0)
    X, y = random_design(rng), rng.normal(size=30)
    given = {"k": 2, "l2": 1.0, "l2_w": 0.5}
    whole = als(X, y, n_iter=4, rng=np.random.default_rng(1), **given)
    half = als(X, y, n_iter=2, rng=np.random.default_rng(1), **given)
    same_fit(whole, als(X, y, n_iter=2, rng=rng, start=half, **given), rtol=0)


@pytest.mark.slow
def test_many_factors_in_parts_reach_the_same_objective(monkeypatch):
    """One part or several: other paths, one convex-enough problem."""
    X, y = ratings(np.random.default_rng(0), 12, 10, 100)
    given = {"k": 6, "n_iter": 300, "l2": 8.0, "l2_w": 1.0}
    whole = als(X, y, rng=np.random.default_rng(1), **given)
    monkeypatch.setattr("fm.block_kernel.FACTORS", 2)
    parts = als(X, y, rng=np.random.default_rng(1), **given)
    assert parts.history["objective"][0] != whole.history["objective"][0]
    np.testing.assert_allclose(
        predict(X, parts.coefficients), predict(X, whole.coefficients), atol=1e-6
    )


def test_recovers_a_planted_machine():
    """In what it predicts for every pair, seen or not: factors are known only up to a rotation."""
    rng = np.random.default_rng(0)
    X, truth, everything = planted(rng, 40, 30, 1100)
    y = predict(X, truth) + rng.normal(scale=0.05, size=1100)
    fit = als(X, y, k=2, n_iter=60, l2=0.1, l2_w=0.1, rng=rng)
    assert np.std(predict(everything, truth) - predict(everything, fit.coefficients)) < 0.1


def test_callback_sees_every_sweep_and_can_stop():
    X, y = ratings(np.random.default_rng(0))
    seen = []

    def callback(sweep, coefficients):
        seen.append((sweep, coefficients))
        return sweep == 3

    fit = als(
        X, y, k=2, n_iter=10, l2=1.0, l2_w=1.0, rng=np.random.default_rng(1), callback=callback
    )
    assert [sweep for sweep, _ in seen] == [1, 2, 3] and fit.n_sweeps == 3
    assert len(fit.history["seconds"]) == 3
    assert not np.array_equal(seen[0][1].V, seen[1][1].V)
    np.testing.assert_array_equal(seen[2][1].V, fit.coefficients.V)


def test_a_row_of_weight_two_is_two_rows_and_of_weight_zero_none():
    X, y = ratings(np.random.default_rng(0), n_rows=200)
    weight = np.random.default_rng(1).integers(0, 3, 200)
    given = {"k": 2, "n_iter": 5, "l2": 1.0, "l2_w": 1.0}
    weighted = als(X, y, rng=np.random.default_rng(2), sample_weight=weight, **given)
    rows = np.repeat(np.arange(200), weight)
    same_fit(weighted, als(X[rows], y[rows], rng=np.random.default_rng(2), **given), rtol=1e-7)


def test_single_precision_is_near():
    X, y = ratings(np.random.default_rng(0))
    given = {"k": 3, "n_iter": 5, "l2": 1.0, "l2_w": 1.0}
    double, single = (
        als(X, y, rng=np.random.default_rng(1), dtype=dtype, **given)
        for dtype in (np.float64, "float32")
    )
    same_fit(double, single, rtol=1e-3, atol=1e-4)
    assert not np.array_equal(double.coefficients.V, single.coefficients.V)


def test_number_of_threads_does_not_matter():
    X, y = ratings(np.random.default_rng(0), 200, 100, 20_000)
    fits = []
    for n in (1, 2):
        with threadpool_limits(n):
            fits.append(als(X, y, k=20, n_iter=5, l2=1.0, l2_w=1.0, rng=np.random.default_rng(1)))
    same_fit(*fits, atol=1e-8)


@pytest.mark.parametrize("n_rows", [60, 50])
def test_warm_start_on_other_rows_of_a_matrix(n_rows):
    """Sums kept of the old rows are not taken for those of the new."""
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(60, 4)), rng.normal(size=(n_rows, 4))
    model = FMRegressor(k=2, solver="als", n_iter=30, l2=1e-3, warm_start=True, random_state=0)
    model.fit(old, old @ [1, 2, 0, -1]).fit(new, new @ [1, 2, 0, -1])
    np.testing.assert_allclose(model.predict(new), new @ [1, 2, 0, -1], atol=0.01)


def two_classes(rng, kind="design", n_rows=60):
    X = matrix(kind, rng, n_rows)
    return X, (flat(X) @ rng.normal(size=X.shape[1]) + rng.normal(size=n_rows) > 0).astype(float)


@pytest.mark.parametrize("kind", KINDS)
def test_objective_of_classes_never_rises(kind):
    rng = np.random.default_rng(5)
    X, y = two_classes(rng, kind)
    weight = rng.uniform(0.5, 2, 60)
    given = {"k": 3, "l2": 0.5, "l2_w": 0.2, "loss": "logistic", "sample_weight": weight}
    fit = als(X, y, n_iter=60, rng=rng, **given)
    curve = fit.history["objective"]
    assert np.all(np.diff(curve) <= 1e-10 * curve[0])
    f = predict(X, fit.coefficients)
    loss = 2 * weight @ (np.logaddexp(0, f) - y * f)
    assert fit.history["train_loss"][-1] == pytest.approx(loss / 2 / weight.sum())
    penalized = 0.2 * np.sum(fit.coefficients.w**2) + 0.5 * np.sum(fit.coefficients.V**2)
    assert curve[-1] == pytest.approx(loss + penalized)


def test_classes_without_factors_are_logistic_regression():
    rng = np.random.default_rng(0)
    X, y = two_classes(rng, "dense")
    fit = als(X, y, k=0, n_iter=300, l2=1.0, l2_w=2.0, rng=rng, loss="logistic")
    peer = LogisticRegression(C=1 / 2, tol=1e-10, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(fit.coefficients.w, peer.coef_[0], atol=1e-5)
    assert fit.coefficients.w0 == pytest.approx(peer.intercept_[0], abs=1e-5)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("penalties", [{"l2": 1.0, "l2_w": 0.5}, {"l2": None, "l2_w": None}])
@pytest.mark.parametrize("kind", KINDS)
def test_n_then_m_sweeps_are_n_plus_m(kind, penalties, loss):
    X, y = two_classes(np.random.default_rng(0), kind, 200)
    given = {"k": 2, "loss": loss, **penalties}
    whole = als(X, y, n_iter=5, rng=np.random.default_rng(1), **given)
    part = als(X, y, n_iter=2, rng=np.random.default_rng(1), **given)
    rest = als(X, y, n_iter=3, rng=np.random.default_rng(2), start=part, **given)
    same_fit(rest, whole, rtol=0, atol=0)
    assert rest.state["penalties"] == whole.state["penalties"]


@pytest.mark.parametrize("solver", ["als", "sgd", "gibbs"])
def test_units_do_not_matter(solver):
    """Of the columns and of y, powers of 2 so that nothing is even rounded differently."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    y = X @ rng.normal(size=5) + X[:, 0] * X[:, 1] + rng.normal(size=300)
    n_iter = 10 if solver == "gibbs" else None
    model = FMRegressor(k=2, solver=solver, n_iter=n_iter, random_state=0)
    one = model.fit(X, y).predict(X)
    units = 2.0 ** np.array([-10, 0, 10, 3, -4])
    np.testing.assert_allclose(model.fit(X * units, y).predict(X * units), one, atol=1e-5)
    np.testing.assert_allclose(model.fit(X, 1024 * y).predict(X) / 1024, one, atol=1e-5)


def test_a_fit_that_has_not_converged_warns():
    X, y = ratings(np.random.default_rng(0))
    given = {"k": 2, "l2": 1.0, "l2_w": 1.0, "rng": np.random.default_rng(1)}
    with pytest.warns(ConvergenceWarning, match=r"after 2 sweeps .* try a larger n_iter"):
        als(X, y, n_iter=2, **given)
    with warnings.catch_warnings(action="error"):
        als(X, y, n_iter=100, **given)
        als(X, y, n_iter=2, callback=lambda sweep, _: sweep == 2, **given)
