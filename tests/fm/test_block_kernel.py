import numpy as np
import pytest

from fm.block_kernel import conditional
from fm.blocks import Layout

RNG = np.random.default_rng(0)
LEVELS = np.sort(RNG.integers(0, 3, 60))  # level 3 has no row
H = RNG.normal(size=(60, 3))
R = RNG.normal(size=60)
PRECISION = np.array([[2.0, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 3]])
LINEAR = RNG.normal(size=(4, 3))
ALPHA = 1.7
LAYOUT = Layout.of_sorted(np.searchsorted(LEVELS, np.arange(5)), 128)


def regressors(slab):
    return np.vstack([np.column_stack([H, R]), np.zeros(4)])[slab.chunks(LAYOUT.slots)]


def exact(level):
    """Mean and covariance of a level's theta."""
    h, r = H[level == LEVELS], R[level == LEVELS]
    covariance = np.linalg.inv(h.T @ h * ALPHA + PRECISION)
    return covariance @ (h.T @ r * ALPHA + LINEAR[level]), covariance


def test_mean():
    theta, _ = conditional(LAYOUT, regressors, LINEAR, PRECISION, ALPHA, None)
    np.testing.assert_allclose(theta, [exact(level)[0] for level in range(4)], atol=1e-12)


@pytest.mark.slow
def test_draws_have_the_mean_and_covariance():
    rng = np.random.default_rng(1)
    n = 20_000
    draws = np.array(
        [conditional(LAYOUT, regressors, LINEAR, PRECISION, ALPHA, rng)[0] for _ in range(n)]
    )
    for level in range(4):
        mean, covariance = exact(level)
        scale = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(
            (draws[:, level].mean(axis=0) - mean) / scale, 0, atol=4 / np.sqrt(n)
        )
        found = np.cov(draws[:, level].T) / np.outer(scale, scale)
        np.testing.assert_allclose(found, covariance / np.outer(scale, scale), atol=6 / np.sqrt(n))


@pytest.mark.parametrize("rng", [None, np.random.default_rng(2)], ids=["mean", "draw"])
def test_sums_over_what_is_left(rng):
    theta, left = conditional(LAYOUT, regressors, LINEAR, PRECISION, ALPHA, rng)
    e = R - np.vecdot(H, theta[LEVELS])
    assert left.total == pytest.approx(H[:, 0] @ e)
    assert left.squares == pytest.approx(e @ e)


def test_equations_without_a_solution_are_an_error():
    with pytest.raises(np.linalg.LinAlgError, match="extreme"), np.errstate(invalid="ignore"):
        conditional(LAYOUT, regressors, LINEAR, -1e9 * PRECISION, ALPHA, None)
