"""The priors of groups of columns, the Normal-Wishart distribution, and regression on level
features.
"""

import numpy as np
import pytest
from scipy import sparse, stats

from fm.chain import Chain
from fm.design import Block, Design
from fm.model import Coefficients, predict
from fm.moves import Shears
from fm.priors import PAIRS, Group, NormalWishart, Prior, Ridge, SideGroup, flat
from tests.fm.data import random_design

pytestmark = pytest.mark.slow

PRIOR = Prior(unit=1.5, scatter=0.4)


def example(side):
    """A group of ten columns, one of which is unseen, with parameters drawn, and their theta."""
    rng = np.random.default_rng(0)
    columns, seen = np.arange(10), np.arange(10) != 4
    features = sparse.csr_array(rng.normal(size=(10, 2)))
    group = SideGroup(columns, seen, 2, PRIOR, features) if side else Group(columns, seen, 2, PRIOR)
    theta = rng.normal(size=(10, 3))
    for _ in range(5):
        group.draw(theta, rng)
    return group, theta


def log_prior(group, theta):
    """Of theta, the mean and B given precision, which the moves leave at the same determinant;
    Wishart's trace.
    """
    deviation = theta - group.means()
    value = np.sum(deviation @ group.precision * deviation)
    value += PRIOR.strength * group.mean @ group.precision @ group.mean
    if isinstance(group, SideGroup):
        value += group.strength * np.sum(group.B @ group.precision * group.B)
    return (
        -(value + np.sum(PRIOR.scatter * np.array([1.5**2, 1.5, 1.5]) * np.diag(group.precision)))
        / 2
    )


@pytest.mark.parametrize("side", [False, True])
@pytest.mark.parametrize(("move", "n"), [("shift", 3), ("shear", 2)])
def test_log_prior_of_a_move(side, move, n):
    c = np.random.default_rng(1).normal(size=n)
    group, theta = example(side)
    before = log_prior(group, theta)
    P, g = getattr(group, f"{move}_prior")()
    determinant = np.linalg.det(group.precision)
    getattr(group, move)(theta, c)
    assert log_prior(group, theta) - before == pytest.approx(g @ c - c @ P @ c / 2)
    assert np.linalg.det(group.precision) == pytest.approx(determinant)


@pytest.mark.parametrize("side", [False, True])
def test_unseen_columns_say_nothing(side):
    """The same parameters are drawn whatever an unseen column's theta."""
    group, theta = example(side)
    other, _ = example(side)
    theta = theta.copy()
    group.draw(theta, np.random.default_rng(2))
    theta[4] = 1e6
    other.draw(theta, np.random.default_rng(2))
    np.testing.assert_array_equal(group.precision, other.precision)


@pytest.mark.parametrize("likelihood", ["gaussian", "probit", "ordered"])
def test_origins_move_without_any_prediction_changing(likelihood):
    """For latent y neither does the noise z - eta, nor how far the cut points are from eta."""
    rng = np.random.default_rng(0)
    X = random_design(rng, unknown=False)
    y = rng.integers(0, 2, 30).astype(float)
    chain = Chain(
        X, y, k=2, likelihood=likelihood, weight=None, groups=None, prior=None, dtype=np.float64
    )  # fmt: skip
    chain.initialize(0.1, rng)
    for _ in range(3):
        chain.sweep()

    def observed():
        draw, target = chain.current(), chain.state(0).arrays.get("target", y)
        eta = predict(X, draw)
        if likelihood == "ordered":
            return np.column_stack([target - eta, draw.cut_points - eta[:, None]])
        return np.column_stack([target - eta, eta])

    before = observed()
    for g, group in enumerate(chain._groups):
        thetas = [chain.theta[other.columns] for other in chain._groups]
        shears = Shears(chain._groups, 2)
        chain._translate(g, thetas[g], shears)
        for h, (other, theta) in enumerate(zip(chain._groups, thetas, strict=True)):
            shears.apply(h, theta)
            chain.theta[other.columns] = theta
        assert np.any(group.mean != 0)
        np.testing.assert_allclose(observed(), before, atol=1e-10)


SCATTER = np.array([[2.0, 0.3], [0.3, 1.0]])
NORMAL_WISHART = NormalWishart(np.array([0.5, -1.0]), 2.0, 7.0, SCATTER)


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
        mu, precision = NORMAL_WISHART.draw(rng)
        likelihood = stats.multivariate_normal.logpdf(x, mu, np.linalg.inv(precision)).sum()
        posterior = log_density(NORMAL_WISHART.given(x), mu, precision)
        ratios.append(log_density(NORMAL_WISHART, mu, precision) + likelihood - posterior)
    np.testing.assert_allclose(ratios, ratios[0])


def test_without_observations_the_posterior_is_the_prior():
    assert NORMAL_WISHART.given(np.empty((0, 2))) is NORMAL_WISHART


def test_draws():
    """E[Lambda] = df W; var[Lambda_ij] = df (W_ij^2 + W_ii W_jj); E[mu mu'] by E[Lambda^-1] = W^-1
    / (df - d - 1).
    """
    n = 10_000
    rng = np.random.default_rng(1)
    mu, precision = map(np.array, zip(*(NORMAL_WISHART.draw(rng) for _ in range(n)), strict=True))
    W = np.linalg.inv(SCATTER)
    variance = NORMAL_WISHART.df * (W**2 + np.outer(np.diag(W), np.diag(W)))
    np.testing.assert_allclose(
        (precision.mean(axis=0) - NORMAL_WISHART.df * W) / np.sqrt(variance), 0, atol=4 / np.sqrt(n)
    )
    np.testing.assert_allclose(precision.var(axis=0), variance, rtol=0.1)
    covariance = SCATTER / (NORMAL_WISHART.df - 3) / NORMAL_WISHART.strength
    np.testing.assert_allclose(
        mu.mean(axis=0), NORMAL_WISHART.mean, atol=4 * np.sqrt(covariance.max() / n)
    )
    np.testing.assert_allclose(np.cov(mu.T), covariance, atol=0.04)


def test_many_observations_overrule_the_prior():
    rng = np.random.default_rng(2)
    truth = np.array([[1.0, 0.8], [0.8, 2.0]])
    x = rng.multivariate_normal([3, 4], truth, size=50_000)
    mu, precision = NORMAL_WISHART.given(x).draw(rng)
    assert mu == pytest.approx([3, 4], abs=0.05)
    np.testing.assert_allclose(np.linalg.inv(precision), truth, atol=0.06)


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
    S, rng, n = features(shape), np.random.default_rng(2), 6000
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
    """One block with features: its level's bias is theta's, whatever pairs of its own columns
    add.
    """
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


def test_pairs_of_many_features_have_a_bounded_variance():
    assert Prior().for_pairs(2, 100) == Prior()
    prior, n_pairs, k = Prior().for_pairs(40, 4), 40 * 39 / 2, 4
    variance = prior.shrinkage * prior.scatter / (prior.df - 2)  # the mean of a factor's
    assert n_pairs * k * variance**2 == pytest.approx(PAIRS)
    assert Prior().for_pairs(0.5, 4) == Prior()
