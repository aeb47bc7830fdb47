"""Penalties learned on rows set aside: the factors, and what becomes of the penalties."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fm.penalties import FALL, FEWEST, RISE, SHARE, SPREAD, adjusted, scale_factors, split


def test_one_in_16_rows_is_set_aside_the_same_every_time():
    fitted, aside = split(1600)
    assert len(aside) == 1600 // SHARE
    np.testing.assert_array_equal(np.sort(np.concatenate([fitted, aside])), np.arange(1600))
    np.testing.assert_array_equal(split(1600)[1], aside)
    assert len(split(SHARE * FEWEST - 1)[1]) == 0


@pytest.mark.parametrize("classes", [False, True])
def test_factors_minimize_the_stated_objective(classes):
    rng = np.random.default_rng(0)
    linear, pairs, weight = rng.normal(size=300), rng.normal(size=300), rng.uniform(0.5, 2, 300)
    f = 0.3 + 0.5 * linear + 1.5 * pairs
    y = (f + rng.logistic(size=300) > 0).astype(float) if classes else f + rng.normal(size=300)
    e = y - 0.1 - linear - pairs
    noise = 1.0 if classes else np.average(e * e, weights=weight)

    def objective(beta):
        g = beta[0] + beta[1] * linear + beta[2] * pairs
        loss = np.logaddexp(0, g) - y * g if classes else (y - g) ** 2 / 2
        return weight @ loss + noise * np.sum((beta[1:] - 1) ** 2) / (2 * SPREAD**2)

    best = minimize(objective, np.ones(3)).x[1:]
    found = scale_factors(linear, pairs, y, weight, intercept=0.1, classes=classes)
    np.testing.assert_allclose(found, best, rtol=1e-3)


def test_penalties_follow_the_factors():
    """Coefficients that should be larger are penalized less, up to a limit."""
    l2_w, l2 = adjusted((3.0, 5.0), (1.1, 0.9))
    assert (l2_w, l2) == pytest.approx((3 / 1.1**4, 5 / 0.9**2))
    assert adjusted((3.0, 5.0), (0.0, 10.0)) == (3 * RISE[0], 5 / FALL)


def test_no_pairs_leave_their_factor_at_one():
    y = np.random.default_rng(0).normal(size=50)
    factors = scale_factors(y, np.zeros(50), y, None, intercept=0.0, classes=False)
    assert factors == pytest.approx((1.0, 1.0))
