import numpy as np
import pytest
from scipy import stats

from fm.truncated_normal import TruncatedNormal, between_cut_points

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
