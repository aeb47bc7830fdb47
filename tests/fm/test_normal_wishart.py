import numpy as np
import pytest
from scipy import stats

from fm.normal_wishart import NormalWishart

SCATTER = np.array([[2.0, 0.3], [0.3, 1.0]])
PRIOR = NormalWishart(np.array([0.5, -1.0]), 2.0, 7.0, SCATTER)


def log_density(nw, mu, precision):
    return stats.wishart.logpdf(precision, nw.df, np.linalg.inv(nw.scatter)) + (
        stats.multivariate_normal.logpdf(mu, nw.mean, np.linalg.inv(nw.strength * precision))
    )


def test_posterior_is_prior_times_likelihood():
    """Up to a constant: the log ratio is the same for any two parameters."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 2))
    ratios = []
    for _ in range(5):
        mu, precision = PRIOR.draw(rng)
        likelihood = stats.multivariate_normal.logpdf(x, mu, np.linalg.inv(precision)).sum()
        posterior = log_density(PRIOR.given(x), mu, precision)
        ratios.append(log_density(PRIOR, mu, precision) + likelihood - posterior)
    np.testing.assert_allclose(ratios, ratios[0])


def test_without_observations_the_posterior_is_the_prior():
    assert PRIOR.given(np.empty((0, 2))) is PRIOR


def test_draws():
    """E[Lambda] = df W; var[Lambda_ij] = df (W_ij^2 + W_ii W_jj); E[mu mu'] by E[Lambda^-1] = W^-1 / (df - d - 1)."""
    n = 40_000
    rng = np.random.default_rng(1)
    mu, precision = map(np.array, zip(*(PRIOR.draw(rng) for _ in range(n)), strict=True))
    W = np.linalg.inv(SCATTER)
    variance = PRIOR.df * (W**2 + np.outer(np.diag(W), np.diag(W)))
    np.testing.assert_allclose(
        (precision.mean(axis=0) - PRIOR.df * W) / np.sqrt(variance), 0, atol=4 / np.sqrt(n)
    )
    np.testing.assert_allclose(precision.var(axis=0), variance, rtol=0.05)
    covariance = SCATTER / (PRIOR.df - 3) / PRIOR.strength
    np.testing.assert_allclose(mu.mean(axis=0), PRIOR.mean, atol=4 * np.sqrt(covariance.max() / n))
    np.testing.assert_allclose(np.cov(mu.T), covariance, atol=0.02)


def test_many_observations_overrule_the_prior():
    rng = np.random.default_rng(2)
    truth = np.array([[1.0, 0.8], [0.8, 2.0]])
    x = rng.multivariate_normal([3, 4], truth, size=50_000)
    mu, precision = PRIOR.given(x).draw(rng)
    assert mu == pytest.approx([3, 4], abs=0.05)
    np.testing.assert_allclose(np.linalg.inv(precision), truth, atol=0.06)
