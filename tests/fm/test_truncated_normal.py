import numpy as np
import pytest
from scipy import stats

from fm.truncated_normal import FAR, TruncatedNormal

INTERVALS = [
    (-FAR, 0.5),
    (-1.0, 0.3),
    (0.2, 0.21),
    (1.5, FAR),
    (6.0, 7.0),
    (-9.0, -8.0),
    (-FAR, FAR),
    (12.0, FAR),
]


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_against_scipy(low, high):
    n = 4000
    ours = TruncatedNormal(np.full(n, low), np.full(n, high))
    bounds = [np.where(np.abs(b) == FAR, np.copysign(np.inf, b), b) for b in (low, high)]
    theirs = stats.truncnorm(*bounds)
    draws = ours.draw(np.random.default_rng(0))
    assert np.all((low <= draws) & (draws <= high))
    assert stats.kstest(draws, theirs.cdf).pvalue > 1e-3
    assert ours.mean()[0] == pytest.approx(theirs.mean(), rel=1e-6, abs=1e-12)
    tail = stats.norm.sf if low > 0 else lambda x: -stats.norm.cdf(x)
    assert ours.mass[0] == pytest.approx(tail(low) - tail(high), rel=1e-9)


@pytest.mark.parametrize("sign", [-1, 1])
def test_beyond_what_can_be_represented_it_stays_in_the_interval(sign):
    low, high = sorted([sign * 50.0, sign * 51.0])
    far = TruncatedNormal(np.array([low]), np.array([high]))
    assert low <= far.draw(np.random.default_rng(0))[0] <= high
    assert far.mass[0] > 0
