"""How often the rule raises a false alarm, and how small a loss it catches: simulated from recorded seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.check.rule import FALSE_ALARMS, GROSS, LOOKS, NEGLIGIBLE, SUSPICIOUS

N_CHECKS = 100_000
SURE = 0.95
"""Share of checks in which a loss must be noticed to count as caught."""


def alarms(
    errors: Sequence[float], losses: Sequence[float], n_experiments: int
) -> NDArray[np.float64]:
    """For each loss the share of simulated checks that notice it; for loss 0 that is the false alarms.

    Each check has a reference of its own. Reference and check are drawn from the recorded `errors` by
    the smoothed bootstrap (Silverman & Young, Biometrika 1987), whose tails go beyond what was recorded.
    """
    rng = np.random.default_rng(0)
    recorded = np.asarray(errors)
    n, first, second = len(recorded), *LOOKS
    width = (4 / (3 * n)) ** 0.2 * recorded.std(ddof=1)
    reference, checks = (_smoothed(rng, recorded, width, (N_CHECKS, size)) for size in (n, second))
    mean, std = reference.mean(axis=1), reference.std(axis=1, ddof=1)
    t = stats.t.isf(FALSE_ALARMS / (n_experiments * len(LOOKS)), n - 1)
    loss, se = {}, {}
    for look in LOOKS:
        loss[look] = checks[:, :look].mean(axis=1) - mean
        se[look] = std * np.sqrt(1 / n + 1 / look)
    noticed = []
    for added in losses:
        at_once = added + loss[first] > GROSS * (NEGLIGIBLE + t * se[first])
        doubtful = np.abs(added + loss[first]) > SUSPICIOUS * se[first]
        noticed.append(
            np.mean(at_once | (doubtful & (added + loss[second] > NEGLIGIBLE + t * se[second])))
        )
    return np.array(noticed)


def smallest_caught(errors: Sequence[float], n_experiments: int) -> float:
    """The least loss that `SURE` of the checks notice, to 0.0001."""
    losses = np.arange(0, 0.02, 1e-4)
    return float(losses[np.argmax(alarms(errors, losses, n_experiments) >= SURE)])


def _smoothed(
    rng: np.random.Generator, values: NDArray[np.float64], width: float, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Draws from a kernel density estimate of `values`, shrunk to their variance."""
    drawn = rng.choice(values, shape) + width * rng.standard_normal(shape)
    shrink = 1 / np.sqrt(1 + (width / values.std(ddof=1)) ** 2)
    return values.mean() + shrink * (drawn - values.mean())
