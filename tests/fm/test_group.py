import numpy as np
import pytest
from scipy import sparse

from fm.chain import Chain
from fm.group import Group, SideGroup
from fm.model import predict
from fm.prior import Prior
from tests.fm.data import random_design

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
    """Of theta, the mean and B given precision, which the moves leave at the same determinant; Wishart's trace."""
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
        chain._translate(g, thetas)
        for other, theta in zip(chain._groups, thetas, strict=True):
            chain.theta[other.columns] = theta
        assert np.any(group.mean != 0)
        np.testing.assert_allclose(observed(), before, atol=1e-10)
