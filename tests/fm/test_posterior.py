"""Predictions from draws, against the sums and integrals that define them, and diagnostics."""

import numpy as np
import pytest
from scipy.stats import norm

from fm import FMOrdinal, FMRegressor
from fm.diagnostics import RunningMean, effective_sample_size, r_hat
from fm.model import Draws, predict
from tests.fm.data import random_coefficients, random_design, ratings

pytestmark = pytest.mark.slow


@pytest.fixture(name="X")
def some_design():
    return random_design(np.random.default_rng(1), 12)


@pytest.fixture
def draws(X):
    rng = np.random.default_rng(0)
    machines = [random_coefficients(rng, X.shape[1], k=2, n_blocks=3) for _ in range(5)]
    fields = [np.array(parts) for parts in zip(*machines, strict=True)]
    return Draws(
        *fields,
        alpha=rng.gamma(2, size=5),
        cut_points=np.sort(rng.normal(size=(5, 3)), axis=1),
        noise=rng.gamma(2, size=(5, 4)),
    )


def test_mean_and_averaged_agree(X, draws):
    mean = draws.mean(X, lambda f, draw: f)
    np.testing.assert_allclose(mean, np.mean([predict(X, draw) for draw in draws.each()], axis=0))
    np.testing.assert_allclose(predict(X, draws.averaged()), mean)


def test_quantiles_invert_the_distribution_of_the_mixture(X, draws, monkeypatch):
    levels = np.array([0.01, 0.3, 0.5, 0.95])
    f = np.array([predict(X, draw) for draw in draws.each()])
    for chunk in (10**6, 17):
        monkeypatch.setattr("fm.model.CHUNK", chunk)
        quantiles = draws.quantiles(X, levels, None)
        for s, level in zip(quantiles.T, levels, strict=True):
            below = norm.cdf(s, f, 1 / np.sqrt(draws.alpha)[:, None]).mean(axis=0)
            np.testing.assert_allclose(below, level, atol=1e-5)


def test_class_probabilities(X, draws):
    for draw in draws.each():
        f = predict(X, draw)
        p = FMOrdinal()._expectation(f, draw, None)
        assert p.shape == (12, 4)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        np.testing.assert_allclose(
            p[:, 2], norm.cdf(draw.cut_points[2] - f) - norm.cdf(draw.cut_points[1] - f)
        )


def test_running_mean_is_that_of_the_kept_draws(X, draws):
    def response(f, draw):
        return f

    mean = RunningMean(X, response, burn_in=0, thin=2, earlier=None)
    each = list(draws.each())
    f = [predict(X, draw) for draw in each]
    found = [mean(sweep, draw) for sweep, draw in enumerate(each, start=1)]
    expected = [f[0], f[1], f[1], (f[1] + f[3]) / 2, (f[1] + f[3]) / 2]
    np.testing.assert_allclose(found, expected)
    later = RunningMean(X, response, burn_in=0, thin=1, earlier=draws)
    np.testing.assert_allclose(later(6, each[0]), (np.sum(f, axis=0) + f[0]) / 6)


def test_standard_deviation_is_that_of_noise_and_draws_together(X, draws):
    model = FMRegressor()
    model.machine_, model.n_features_in_ = draws, X.shape[1]
    model.blocks_ = model.table_ = None
    mean, std = model.predict(X, return_std=True)
    f = np.array([predict(X, draw) for draw in draws.each()])
    np.testing.assert_allclose(mean, f.mean(axis=0))
    np.testing.assert_allclose(std**2, f.var(axis=0) + np.mean(1 / draws.alpha))


def test_intervals_cover_what_they_say():
    """Simulated from a machine with known noise: 90 % intervals of new rows hold 90 %."""
    X, y = ratings(np.random.default_rng(0), n_rows=4000, noise=0.5)
    model = FMRegressor(k=2, n_iter=150, random_state=0).fit(X[:3000], y[:3000])
    low, high = model.predict_quantiles(X[3000:], [0.05, 0.95]).T
    assert np.mean((low < y[3000:]) & (y[3000:] < high)) == pytest.approx(0.9, abs=0.03)
    np.testing.assert_allclose(model.draws_.alpha.mean(), 1 / 0.5**2, rtol=0.1)


def test_expected_rating_is_the_mean_of_the_class_probabilities():
    X, y = ratings(np.random.default_rng(0))
    y = np.select([y < 2, y < 3.5], [1.0, 2.0], 5.0)
    model = FMOrdinal(k=2, n_iter=20, random_state=0).fit(X, y)
    p = model.predict_proba(X)
    np.testing.assert_allclose(model.predict(X), p @ [1, 2, 5])
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert np.mean(model.classes_[p.argmax(axis=1)] == y) > 0.7


def test_draws_are_asked_of_gibbs_only():
    X, y = ratings(np.random.default_rng(0))
    model = FMRegressor(solver="als", n_iter=1).fit(X, y)
    assert not hasattr(model, "draws_")
    with pytest.raises(
        AttributeError, match="no draws from the posterior: fit with solver='gibbs'"
    ):
        model.predict(X, return_std=True)
    with pytest.raises(AttributeError, match="solver='gibbs'"):
        model.predict_quantiles(X)


@pytest.mark.parametrize("levels", [0.0, 1.0, [0.5, 2.0]])
def test_quantiles_outside_the_unit_interval(levels):
    X, y = ratings(np.random.default_rng(0))
    with pytest.raises(ValueError, match="quantiles must lie between 0 and 1"):
        FMRegressor(n_iter=4).fit(X, y).predict_quantiles(X, levels)


def test_no_draw_left_by_burn_in():
    X, y = ratings(np.random.default_rng(0))
    seen = []
    model = FMRegressor(n_iter=5, burn_in=5, callback=lambda sweep, model: seen.append(sweep))
    with pytest.raises(ValueError, match="burn_in=5 and thin=1 leave no draw of 5 sweeps"):
        model.fit(X, y)
    assert not seen, "found out before any work"
    with pytest.raises(ValueError, match="leave no draw of 2 sweeps"):
        FMRegressor(n_iter=9, burn_in=3, callback=lambda sweep, model: sweep == 2).fit(X, y)


def test_a_weight_of_two_is_two_rows_for_classes():
    """The posterior is the same, the random numbers are not; ignored weights would be noticed."""
    X, y = ratings(np.random.default_rng(0), n_rows=200)
    y, times = np.clip(np.round(y), 2, 4), np.random.default_rng(1).integers(0, 5, 200)
    rows = np.repeat(np.arange(200), times)

    def fitted(rows, weight, seed):
        model = FMOrdinal(k=2, n_iter=300, burn_in=50, random_state=seed)
        return model.fit(X[rows], y[rows], sample_weight=weight).predict(X)

    repeated = fitted(rows, None, 10)
    weighted, ignored = (fitted(np.arange(200), weight, 0) for weight in (times, None))
    assert np.abs(weighted - repeated).mean() < np.abs(ignored - repeated).mean() / 2


def autoregressive(rng, phi, shape):
    """Stationary AR(1) of unit variance, whose integrated autocorrelation time is (1 + phi) / (1 -
    phi).
    """
    x = rng.standard_normal(shape)
    for t in range(1, shape[1]):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * x[:, t]
    return x


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9])
def test_effective_sample_size_of_an_autoregressive_chain(phi):
    n = 4 * 20_000
    x = autoregressive(np.random.default_rng(1), phi, (4, n // 4))
    assert effective_sample_size(x) == pytest.approx(n * (1 - phi) / (1 + phi), rel=0.1)


def test_effective_sample_size_sees_chains_that_disagree():
    rng = np.random.default_rng(2)
    assert effective_sample_size(rng.standard_normal((4, 500)) + np.arange(4)[:, None]) < 10


def test_r_hat_is_one_for_independent_draws():
    assert r_hat(np.random.default_rng(3).standard_normal((4, 1000))) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "distort",
    [
        lambda x: np.add(x, [[0], [0], [0], [1]]),
        lambda x: x * [[1], [1], [1], [3]],
        lambda x: x + np.linspace(0, 2, x.shape[1]),
    ],
    ids=["location", "spread", "trend"],
)
def test_r_hat_sees_what_has_not_converged(distort):
    assert r_hat(distort(np.random.default_rng(4).standard_normal((4, 1000)))) > 1.05


def test_r_hat_does_not_depend_on_the_scale_of_the_trace():
    x = np.random.default_rng(5).standard_normal((2, 100))
    assert r_hat(np.exp(x)[:, :50]) == pytest.approx(r_hat(np.exp(3 * x)[:, :50]), abs=0.02)


def test_one_chain_is_a_row():
    x = np.random.default_rng(6).standard_normal(100)
    assert r_hat(x) == r_hat(x[None])
    assert effective_sample_size(x) == effective_sample_size(x[None])


@pytest.mark.parametrize("measure", [r_hat, effective_sample_size])
def test_too_few_or_constant_draws(measure):
    with pytest.raises(ValueError, match="at least 4"):
        measure([1.0, 2.0, 3.0])
    assert np.isnan(measure(np.ones((2, 10))))
