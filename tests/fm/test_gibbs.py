from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse, stats
from threadpoolctl import threadpool_limits

from fm.design import Block, Design
from fm.diagnostics import effective_sample_size, r_hat
from fm.gibbs import gibbs
from fm.model import predict
from fm.priors import Prior
from fm.rows import rows_of
from tests.fm.data import random_design, ratings
from tests.fm.planted import planted

pytestmark = pytest.mark.slow

LIKELIHOODS = ["gaussian", "probit", "ordered"]
CERTAIN = 1e9
"""As a shape, strength or degrees of freedom it leaves no doubt."""
LITTLE_NOISE = {"noise": (1.0, 0.01), "scatter": 3.0}


def observed(y, likelihood):
    """y as that likelihood has it."""
    if likelihood == "gaussian":
        return y
    return np.digitize(
        y, np.quantile(y, [0.5] if likelihood == "probit" else [0.2, 0.5, 0.8])
    ).astype(float)


def agree(draws, mean, covariance):
    """Moments of draws (S, d) within Monte-Carlo error of those given."""
    sd = np.sqrt(np.diag(covariance))
    z = (draws - mean) / sd
    for j in range(z.shape[1]):
        n = effective_sample_size(z[:, j])
        assert abs(z[:, j].mean()) < 4.5 / np.sqrt(n)
        assert abs(z[:, j].std() - 1) < 4.5 / np.sqrt(2 * effective_sample_size(z[:, j] ** 2))
    expected = covariance / np.outer(sd, sd)
    np.testing.assert_allclose(np.corrcoef(z.T), expected, atol=6 / np.sqrt(n))


@pytest.mark.parametrize("kind", ["design", "matrix", "side"])
def test_exact_posterior_without_factors(kind):
    """Noise 0.5 and prior precision 2 of every w known, k = 0: the posterior of (w0, w) is
    Gaussian.
    """
    rng = np.random.default_rng(0)
    if kind == "matrix":
        X = sparse.csr_array(rng.normal(size=(30, 3)))
    else:
        side = sparse.csr_array(rng.normal(size=(4, 2))) if kind == "side" else None
        X = Design(
            (Block("a", rng.integers(-1, 4, 30), 4, side), Block("b", rng.integers(0, 3, 30), 3))
        )
    y, weight = rng.normal(size=30), rng.uniform(0.2, 2, 30)
    prior = Prior(
        location=0.5,
        noise=(CERTAIN, CERTAIN * 0.25),
        strength=CERTAIN,
        df=CERTAIN,
        scatter=CERTAIN / 2,
        side=(CERTAIN, CERTAIN / 3),
    )
    fit = gibbs(X, y, k=0, n_iter=2000, burn_in=50, rng=rng, sample_weight=weight, prior=prior)
    H = np.column_stack(
        [np.ones(30), X.to_csr().toarray() if isinstance(X, Design) else X.toarray()]
    )
    precision = np.diag([0.5] + [2.0] * X.shape[1])
    if kind == "side":  # whose B have 3 times the precision of the levels
        precision[5:7, 5:7] *= 3
    covariance = np.linalg.inv((H.T * weight) @ H / 0.25 + precision)
    agree(
        np.column_stack([fit.draws.w0, fit.draws.w]),
        covariance @ (H.T * weight) @ y / 0.25,
        covariance,
    )


def test_exact_posterior_of_the_noise():
    """No features to speak of: alpha is Gamma, up to w0, which is known to be 0."""
    y = np.random.default_rng(0).normal(size=50)
    X = sparse.csr_array((50, 1))
    prior = Prior(location=CERTAIN * 100, noise=(3.0, 2.0))
    fit = gibbs(X, y, k=0, n_iter=4000, rng=np.random.default_rng(1), prior=prior)
    exact = stats.gamma(3 + 25, scale=1 / (2 + y @ y / 2))
    assert stats.kstest(fit.draws.alpha, exact.cdf).pvalue > 1e-3


def test_exact_posterior_of_probit():
    """One intercept: P(w0 | y) is proportional to its prior times Phi(w0)^a Phi(-w0)^b."""
    y = np.repeat([1.0, 0.0], [12, 4])
    fit = gibbs(
        sparse.csr_array((16, 1)),
        y,
        k=0,
        n_iter=7000,
        rng=np.random.default_rng(1),
        likelihood="probit",
        prior=Prior(location=0.3),
    )
    grid = np.linspace(-3, 4, 2001)
    density = np.exp(-0.15 * grid**2) * stats.norm.cdf(grid) ** 12 * stats.norm.cdf(-grid) ** 4
    mean = np.average(grid, weights=density)
    sd = np.sqrt(np.average((grid - mean) ** 2, weights=density))
    assert fit.draws.w0.mean() == pytest.approx(
        mean, abs=4.5 * sd / np.sqrt(effective_sample_size(fit.draws.w0))
    )
    assert fit.draws.w0.std() == pytest.approx(sd, rel=0.06)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("kind", ["design", "side", "matrix"])
def test_goes_on_bit_for_bit(likelihood, kind):
    rng = np.random.default_rng(0)
    X = random_design(rng, 60, side=kind == "side", unknown=kind != "side")
    X = X.to_csr().multiply(0.5).tocsr() if kind == "matrix" else X
    y = observed(rng.normal(size=60), likelihood)
    given = {"k": 2, "likelihood": likelihood, "burn_in": 2, "thin": 2}
    whole = gibbs(X, y, n_iter=9, rng=np.random.default_rng(1), **given)
    half = gibbs(X, y, n_iter=5, rng=np.random.default_rng(1), **given)
    rest = gibbs(X, y, n_iter=4, rng=None, start=half.state, **given)
    for name in ("w0", "w", "V", "unknown", "alpha", "cut_points"):
        parts = np.concatenate([getattr(half.draws, name), getattr(rest.draws, name)])
        np.testing.assert_array_equal(parts, getattr(whole.draws, name))
    assert len(whole.draws.w0) == 3 and rest.state.n_sweeps == 9
    np.testing.assert_array_equal(whole.trace["alpha"][5:], rest.trace["alpha"])


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_same_seed_same_bits_other_seed_others(likelihood):
    X, y = ratings(np.random.default_rng(0), n_rows=200)
    given = {"k": 2, "n_iter": 3, "likelihood": likelihood}
    a, b, c = (
        gibbs(X, observed(y, likelihood), rng=np.random.default_rng(seed), **given)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a.draws.V, b.draws.V)
    assert not np.array_equal(a.draws.V, c.draws.V)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_recovers_a_planted_machine(likelihood):
    """In what it predicts for every pair, seen or not; the latent scale's unit is the noise."""
    rng = np.random.default_rng(0)
    X, truth, everything = planted(rng, 60, 50, 6000)
    f = predict(X, truth)
    y = observed(f + rng.normal(scale=0.5, size=6000), likelihood)
    fit = gibbs(X, y, k=2, n_iter=150, burn_in=50, rng=rng, likelihood=likelihood)
    found = predict(everything, fit.draws.averaged())
    expected = predict(everything, truth)
    slope, offset = np.polyfit(expected, found, 1)
    assert slope == pytest.approx(1 if likelihood == "gaussian" else 2, rel=0.2)
    assert (
        np.std(found / slope - expected)
        < {"gaussian": 0.15, "probit": 0.45, "ordered": 0.25}[likelihood]
    )
    if likelihood == "gaussian":
        assert offset == pytest.approx(0, abs=0.1)
        assert np.mean(fit.draws.alpha) == pytest.approx(4, rel=0.1)


def test_chains_from_different_starts_agree():
    X, y = ratings(np.random.default_rng(0))
    fits = [gibbs(X, y, k=2, n_iter=400, rng=np.random.default_rng(seed)) for seed in range(4)]
    for name in ("alpha", "w0"):
        chains = np.array([fit.trace[name][100:] for fit in fits])
        assert r_hat(chains) < 1.05
        assert effective_sample_size(chains) > 200


def test_ordered_probit_mixes():
    X, y = ratings(np.random.default_rng(0), n_rows=2000)
    y = observed(y, "ordered")
    fit = gibbs(X, y, k=1, n_iter=400, rng=np.random.default_rng(1), likelihood="ordered")
    gaps = np.diff(fit.trace["cut_points"][100:], axis=1)
    assert min(effective_sample_size(gap) for gap in gaps.T) > 20
    assert np.mean(gaps[1:, 0] != gaps[:-1, 0]) > 0.6


def test_unit_of_y_does_not_matter():
    X, y = ratings(np.random.default_rng(0))
    base, scaled = (
        gibbs(X, target, k=2, n_iter=5, init_std=std, rng=np.random.default_rng(1))
        for target, std in ((y, 0.1), (100 * y - 7, 1.0))
    )
    np.testing.assert_allclose(scaled.draws.w0, 100 * base.draws.w0 - 7)
    np.testing.assert_allclose(scaled.draws.w, 100 * base.draws.w, rtol=1e-6)
    np.testing.assert_allclose(scaled.draws.V, 10 * base.draws.V, rtol=1e-6)


def test_unknown_level_is_the_prior_mean():
    """And, where training rows had it and were explained without it, nothing."""
    rng = np.random.default_rng(0)
    X, y = ratings(rng)
    fit = gibbs(X, y + 5 * (X.blocks[0].levels % 2), k=1, n_iter=300, burn_in=100, rng=rng)
    assert fit.draws.unknown.shape == (200, 2, 2)
    users = fit.draws.w[:, :40].mean(axis=0)
    assert np.mean(fit.draws.unknown[:, 0, 0] - fit.draws.w[:, :40].mean(axis=1)) == pytest.approx(
        0, abs=0.3
    )
    assert np.std(users) > 1
    some_unknown = Design(
        (Block("user", np.where(np.arange(800) < 5, -1, X.blocks[0].levels), 40), X.blocks[1])
    )
    fit = gibbs(some_unknown, y, k=1, n_iter=3, rng=rng)
    np.testing.assert_array_equal(fit.draws.unknown[:, 0], 0)
    assert np.all(fit.draws.unknown[:, 1] != 0)


def test_levels_without_rows_are_drawn_from_the_prior():
    rng = np.random.default_rng(0)
    X, y = ratings(rng)
    wider = Design((Block("user", X.blocks[0].levels, 60), X.blocks[1]))
    fit = gibbs(wider, y, k=0, n_iter=500, burn_in=50, rng=rng)
    seen, unseen = fit.draws.w[:, :40], fit.draws.w[:, 40:60]
    assert unseen.mean() == pytest.approx(fit.draws.unknown[:, 0, 0].mean(), abs=0.05)
    assert unseen.std(axis=1).mean() == pytest.approx(seen.std(axis=1).mean(), rel=0.2)


def test_side_features_say_something_of_levels_without_rows():
    rng = np.random.default_rng(0)
    side = sparse.csr_array(rng.normal(size=(60, 2)))
    users, items = rng.integers(0, 40, 1500), rng.integers(0, 20, 1500)
    X = Design((Block("user", users, 60, side), Block("item", items, 20)))
    w = 2 * side.toarray()[:, 0]
    y = w[users] + rng.normal(scale=0.3, size=1500)
    fit = gibbs(X, y, k=2, n_iter=150, burn_in=50, rng=rng)
    unseen = Design(
        (Block("user", np.arange(40, 60), 60, side), Block("item", np.zeros(20, int), 20))
    )
    found = predict(unseen, fit.draws.averaged())
    assert np.corrcoef(found, w[40:])[0, 1] > 0.98


@pytest.mark.parametrize("kind", ["design", "side"])
def test_train_mse_is_that_of_the_draw(kind):
    rng = np.random.default_rng(0)
    X, y = random_design(rng, side=kind == "side"), rng.normal(size=30)
    weight = rng.uniform(0, 2, 30)
    fit = gibbs(X, y, k=2, n_iter=4, rng=rng, sample_weight=weight)
    for s in range(4):
        draw = list(fit.draws._replace(unknown=np.zeros_like(fit.draws.unknown)).each())[s]
        mse = np.average((y - predict(X, draw)) ** 2, weights=weight)
        assert fit.trace["train_mse"][s] == pytest.approx(mse)


def test_callback_sees_every_draw_and_can_stop():
    X, y = ratings(np.random.default_rng(0))
    seen = []

    def callback(sweep, draw):
        seen.append(draw)
        return sweep == 4

    fit = gibbs(X, y, k=2, n_iter=9, burn_in=2, rng=np.random.default_rng(1), callback=callback)
    assert len(seen) == 4 and fit.state.n_sweeps == 4 and len(fit.trace["alpha"]) == 4
    np.testing.assert_array_equal(fit.draws.V, [draw.V for draw in seen[2:]])


def test_groups_of_a_matrix_have_priors_of_their_own():
    """Two sets of numeric columns, one with large coefficients: shrunk less as a group."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 40))
    w = np.concatenate([rng.normal(scale=3, size=20), rng.normal(scale=0.05, size=20)])
    y = X @ w + rng.normal(size=60)
    errors = []
    for groups in (np.zeros(40, int), np.repeat([0, 1], 20)):
        fit = gibbs(sparse.csr_array(X), y, k=0, n_iter=300, burn_in=100, rng=rng, groups=groups)
        errors.append(np.sum((fit.draws.w.mean(axis=0) - w) ** 2))
    assert errors[1] < 0.7 * errors[0]


def test_number_of_threads_does_not_matter():
    X, y = ratings(np.random.default_rng(0), 200, 100, 20_000)
    fits = []
    for n in (1, 2):
        with threadpool_limits(n):
            fits.append(gibbs(X, y, k=20, n_iter=5, rng=np.random.default_rng(1)))
    np.testing.assert_allclose(fits[0].draws.V, fits[1].draws.V, atol=1e-8)


def test_single_precision_is_near():
    X, y = ratings(np.random.default_rng(0))
    double, single = (
        gibbs(X, y, k=3, n_iter=3, rng=np.random.default_rng(1), dtype=dtype)
        for dtype in ("float64", "float32")
    )
    assert single.draws.V.dtype == np.float32
    np.testing.assert_allclose(double.draws.V, single.draws.V, atol=1e-3)


@pytest.mark.parametrize("kind", ["matrix", "design"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_goes_on_with_other_rows(likelihood, kind):
    """Neither sums nor latent targets of the old rows are taken for those of as many new ones."""
    rng = np.random.default_rng(0)
    old, new = (random_design(rng, 60, side=False, unknown=False) for _ in range(2))
    if kind == "matrix":
        old, new = (X.to_csr().multiply(rng.normal(size=(60, 1))).tocsr() for X in (old, new))
    y = observed(rng.normal(size=60), likelihood)
    given = {"k": 2, "likelihood": likelihood}
    start = gibbs(old, y, n_iter=5, rng=np.random.default_rng(1), **given).state
    state = gibbs(new, y[::-1].copy(), n_iter=1, rng=None, start=start, **given).state
    if kind == "matrix":
        theta = state.arrays["theta"]
        units = rows_of(new, None, None, k=2, dtype=np.float64).units
        np.testing.assert_allclose(state.arrays["q"], (new / units @ theta[:, 1:]).T, atol=1e-10)
    if likelihood == "probit":
        np.testing.assert_array_equal(state.arrays["target"] > 0, y[::-1] > 0)


@pytest.mark.parametrize(("given", "low", "high"), [({}, 0.0, 0.5), (LITTLE_NOISE, 0.99, 1.0)])
def test_five_rows_without_noise(given, low, high):
    """fastFM's example. The default prior, worth ten columns with much noise, outweighs its two."""
    X = np.array([[6, 1], [2, 3], [3, 0], [6, 1], [4, 5]], np.float64)
    y = np.array([298.0, 266, 29, 298, 848])
    prior = replace(Prior.of(y, None), **given)
    rng, rows = np.random.default_rng(0), sparse.csr_array(X)
    fit = gibbs(rows, y, k=2, n_iter=500, burn_in=100, thin=5, rng=rng, prior=prior)
    f = fit.draws.mean(rows, lambda f, _: f)
    assert low < 1 - np.sum((y - f) ** 2) / np.sum((y - y.mean()) ** 2) < high
