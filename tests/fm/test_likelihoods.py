"""Likelihoods' parts: cut points and truncated normal distributions."""

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.optimize import approx_fprime, minimize

from fm.cut_points import Expansion, TruncatedNormal, between_cut_points, draw_cut_points
from fm.diagnostics import effective_sample_size
from fm.gibbs import gibbs

pytestmark = pytest.mark.slow

TRUTH = np.array([-1.0, 0.2, 1.1])


def ordered(rng, eta):
    return np.searchsorted(TRUTH, eta + rng.standard_normal(len(eta)))


def by_class(y, eta):
    return [eta[y == j] for j in range(len(TRUTH) + 1)]


def log_likelihood(c, y, eta):
    bounds = np.concatenate(([-np.inf], c, [np.inf]))
    mass = stats.norm.cdf(bounds[y + 1] - eta) - stats.norm.cdf(bounds[y] - eta)
    return np.log(np.maximum(mass, 1e-300)).sum()


def test_expansion_against_finite_differences():
    rng = np.random.default_rng(0)
    eta = rng.normal(size=30)
    y = ordered(rng, eta)
    c = TRUTH + 0.1

    def density(x):
        return Expansion.at(x, by_class(y, eta), None, 0.5).log_density

    def gradient(x):
        e = Expansion.at(x, by_class(y, eta), None, 0.5)
        return e.root @ e.root.T @ (e.newton - x)

    assert density(c) == pytest.approx(log_likelihood(c, y, eta) - 0.25 * c @ c)
    np.testing.assert_allclose(gradient(c), approx_fprime(c, density, 1e-6), atol=1e-3)
    root = Expansion.at(c, by_class(y, eta), None, 0.5).root
    np.testing.assert_allclose(-root @ root.T, approx_fprime(c, gradient, 1e-6), atol=1e-3)


@pytest.mark.parametrize("n", [12, 500])
def test_draws_have_the_right_distribution(n):
    """Given eta: against a grid, with few rows (heavy tails) and with many (nearly Gaussian)."""
    rng = np.random.default_rng(1)
    eta = rng.normal(size=n)
    y = np.concatenate([np.arange(4), ordered(rng, eta[4:])])
    mode = minimize(
        lambda c: 0.5 * c @ c - log_likelihood(c, y, eta), TRUTH, method="Nelder-Mead"
    ).x
    root = Expansion.at(mode, by_class(y, eta), None, 1.0).root
    axes = np.linspace(-5, 5, 15)
    offsets = np.stack(np.meshgrid(axes, axes, axes, indexing="ij"), -1).reshape(-1, 3)
    grid = mode + np.linalg.solve(root.T, offsets.T).T
    grid = grid[np.all(np.diff(grid) > 0, axis=1)]
    log_p = np.array([Expansion.at(c, by_class(y, eta), None, 1.0).log_density for c in grid])
    p = np.exp(log_p - log_p.max())
    mean = p @ grid / p.sum()
    sd = np.sqrt(p @ (grid - mean) ** 2 / p.sum())

    c, draws = mode, []
    for _ in range(2000):
        c, _ = draw_cut_points(c, by_class(y, eta), None, 1.0, rng)
        draws.append(c)
    draws = np.array(draws)
    assert np.mean(np.any(np.diff(draws, axis=0) != 0, axis=1)) > 0.5
    for j in range(3):
        error = sd[j] / np.sqrt(effective_sample_size(draws[:, j]))
        assert draws[:, j].mean() == pytest.approx(mean[j], abs=4 * error)
        assert draws[:, j].std() == pytest.approx(sd[j], rel=0.1)


def test_chain_mixes_when_there_are_many_rows():
    rng = np.random.default_rng(2)
    eta = rng.normal(size=20_000)
    y = ordered(rng, eta)
    c, draws = np.array([-3.0, 0.0, 3.0]), []
    for _ in range(200):
        c, _ = draw_cut_points(c, by_class(y, eta), None, 0.01, rng)
        draws.append(c)
    assert effective_sample_size(np.array(draws)[50:, 0]) > 100
    assert np.mean(draws[50:], axis=0) == pytest.approx(TRUTH, abs=0.05)


def test_against_maximum_likelihood_on_a_model_without_factors():
    """Against 3000 rows the prior is weak, so that the posterior's center is the maximum."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(3000, 2))
    y = ordered(rng, X @ [0.8, -0.5])
    best = minimize(
        lambda p: -log_likelihood(np.cumsum(p[2:]), y, X @ p[:2]), [0, 0, -1, 1, 1], method="BFGS"
    )
    fit = gibbs(
        sparse.csr_array(X), y, k=0, n_iter=1500, burn_in=100, rng=rng, likelihood="ordered"
    )
    for draws, expected in (
        (fit.draws.cut_points, np.cumsum(best.x[2:])),
        (fit.draws.w, best.x[:2]),
    ):
        for column, value in zip(draws.T, expected, strict=True):
            error = column.std() / np.sqrt(effective_sample_size(column))
            assert column.mean() == pytest.approx(value, abs=5 * error + 0.1 * column.std())
    assert np.all(fit.draws.w0 == 0)


INTERVALS = [
    (-np.inf, 0.5),
    (-1.0, 0.3),
    (0.2, 0.21),
    (1.5, np.inf),
    (6.0, 7.0),
    (-9.0, -8.0),
    (-np.inf, -8.0),
    (12.0, np.inf),
]


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_against_scipy(low, high):
    n = 4000
    ours = TruncatedNormal(*(np.full(n, b) if np.isfinite(b) else b for b in (low, high)))
    theirs = stats.truncnorm(low, high)
    draws = ours.draw(np.random.default_rng(0))
    assert np.all((low <= draws) & (draws <= high))
    assert stats.kstest(draws, theirs.cdf).pvalue > 1e-3
    assert ours.mean()[0] == pytest.approx(theirs.mean(), rel=1e-6, abs=1e-12)
    tail = stats.norm.sf if low > 0 else lambda x: -stats.norm.cdf(x)
    assert ours.at_lower()[0] == pytest.approx(theirs.pdf(low) if np.isfinite(low) else 0, rel=1e-6)
    assert ours.at_upper()[0] == pytest.approx(
        theirs.pdf(high) if np.isfinite(high) else 0, rel=1e-6
    )
    assert ours.mass[0] == pytest.approx(tail(low) - tail(high), rel=1e-9)


@pytest.mark.parametrize(("low", "high"), INTERVALS[:5])
def test_a_weight_is_the_mean_of_so_many_draws(low, high):
    """Whole weights in distribution, others in mean and variance."""
    rng, n = np.random.default_rng(0), 6000
    ours = TruncatedNormal(*(np.full(n, b) if np.isfinite(b) else b for b in (low, high)))
    three = np.mean([ours.draw(rng) for _ in range(3)], axis=0)
    assert stats.ks_2samp(ours.draw_means(np.full(n, 3.0), rng), three).pvalue > 1e-3
    sd = ours.draw(rng).std()
    for weight in (0.3, 1.6, 40.0):
        drawn = ours.draw_means(np.full(n, weight), rng)
        error = sd / np.sqrt(weight * n)
        assert drawn.mean() == pytest.approx(ours.mean()[0], abs=4 * error)
        assert drawn.std() == pytest.approx(sd / np.sqrt(weight), rel=0.06)
    assert np.all(ours.draw_means(np.zeros(n), rng) == 0)


@pytest.mark.parametrize("likelihood", ["probit", "ordered"])
def test_a_row_of_weight_two_is_that_row_twice(likelihood):
    """Means and variances of the posterior of w, within Monte Carlo error."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(40, 2))
    y = np.minimum(ordered(rng, X @ [0.8, -0.5]), 1 if likelihood == "probit" else 3)
    weight = rng.integers(0, 4, 40)
    weight[[np.flatnonzero(y == c)[0] for c in np.unique(y)]] = 1
    given = {"k": 0, "n_iter": 1500, "burn_in": 100, "likelihood": likelihood}
    weighted = gibbs(sparse.csr_array(X), y, rng=rng, sample_weight=weight.astype(float), **given)
    rows = np.repeat(np.arange(40), weight)
    repeated = gibbs(sparse.csr_array(X[rows]), y[rows], rng=rng, **given)
    for a, b in zip(weighted.draws.w.T, repeated.draws.w.T, strict=True):
        error = np.hypot(*(x.std() / np.sqrt(effective_sample_size(x)) for x in (a, b)))
        assert abs(a.mean() - b.mean()) < 4 * error
        assert a.std() == pytest.approx(b.std(), rel=0.15)


@pytest.mark.parametrize("sign", [-1, 1])
def test_beyond_what_can_be_represented_it_stays_in_the_interval(sign):
    low, high = sorted([sign * 50.0, sign * 51.0])
    far = TruncatedNormal(np.array([low]), np.array([high]))
    assert low <= far.draw(np.random.default_rng(0))[0] <= high
    assert far.mass[0] > 0


def test_of_a_single_class_there_are_no_bounds():
    (whole,) = between_cut_points(np.empty(0), [np.zeros(2000)])
    assert np.all(whole.mass == 1) and np.all(whole.mean() == 0)
    assert stats.kstest(whole.draw(np.random.default_rng(0)), stats.norm.cdf).pvalue > 1e-3


def test_between_cut_points():
    eta = [np.array([0.3, -1.0]), np.array([0.5]), np.empty(0), np.array([2.0])]
    lower, middle, none, upper = between_cut_points(np.array([-0.5, 0.25, 1.0]), eta)
    np.testing.assert_allclose(lower.mass, stats.norm.cdf([-0.8, 0.5]))
    np.testing.assert_allclose(middle.mass, stats.norm.cdf(-0.25) - stats.norm.cdf(-1))
    np.testing.assert_allclose(upper.mass, stats.norm.sf(-1))
    assert none.mass.size == none.draw(np.random.default_rng(0)).size == 0
