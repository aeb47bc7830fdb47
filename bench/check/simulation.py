"""How often the rule raises a false alarm, and how small a loss it notices, by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.check.rule import FALSE_ALARMS, GROSS, SUSPICIOUS, Recorded, looks_of, quantile

N_CHECKS = 100_000
SURE = 0.95
"""Fraction of checks in which a loss must be noticed to count as caught."""
WIDENED = (1.0, 1.25, 1.5, 2.0, 3.0)
"""What is allowed for chance is widened to the first of these that keeps the promise."""
SEEDS_TRIED = (8, 12, 24, 48, 96, 192)
GRID = np.arange(0, 10, 0.05)
"""Losses that are tried, in standard deviations over seeds."""


def alarms(
    losses: Sequence[float],
    added: Sequence[float] | NDArray[np.float64],
    n_results: int,
    *,
    recorded: Recorded,
    seeds: int | None = None,
) -> NDArray[np.float64]:
    """Return the fraction of checks that notice each `added` loss; for 0 the false alarms.

    Each check has a reference of its own. Reference and check are drawn from the recorded
    `losses` by the smoothed bootstrap (Silverman & Young, Biometrika 1987), whose tails go beyond
    what was recorded.
    """
    rng = np.random.default_rng(0)
    values = np.asarray(losses)
    n = len(values)
    first, second = looks_of(recorded.seeds if seeds is None else seeds)
    width = (4 / (3 * n)) ** 0.2 * values.std(ddof=1)
    shrink = 1 / np.sqrt(1 + (width / values.std(ddof=1)) ** 2)  # to the variance of the values

    def drawn(size: int) -> NDArray[np.float64]:
        points = rng.choice(values, (N_CHECKS, size))
        points += width * rng.standard_normal((N_CHECKS, size))
        return values.mean() + shrink * (points - values.mean())

    reference = drawn(n)
    mean, std = reference.mean(axis=1), reference.std(axis=1, ddof=1)
    check = drawn(second)
    early, late = check[:, :first].mean(axis=1) - mean, check.mean(axis=1) - mean
    t = recorded.widened * quantile(n, n_results)
    se = {look: std * np.sqrt(1 / n + 1 / look) for look in (first, second)}
    noticed = []
    for loss in added:
        at_once = loss + early > GROSS * (recorded.room + t * se[first])
        doubtful = np.abs(loss + early) > SUSPICIOUS * se[first]
        again = loss + late > recorded.room + t * se[second]
        noticed.append(np.mean(at_once | (doubtful & again)))
    return np.array(noticed)


def widening(losses: Sequence[float], n_results: int, recorded: Recorded) -> float:
    """Return the least of `WIDENED` that keeps the promise; the last if none does."""
    bound = FALSE_ALARMS / n_results
    for factor in WIDENED:
        wide = replace(recorded, widened=factor)
        if alarms(losses, [0.0], n_results, recorded=wide)[0] <= bound:
            break
    return factor


def smallest_caught(losses: Sequence[float], n_results: int, recorded: Recorded) -> float:
    """Return the least loss that `SURE` of the checks notice, to a 20th of a seed's noise."""
    tried = recorded.room + GRID * recorded.std
    caught = alarms(losses, tried, n_results, recorded=recorded) >= SURE
    return float(tried[np.argmax(caught)]) if caught.any() else float("inf")


def seeds_needed(
    losses: Sequence[float], loss: float, n_results: int, recorded: Recorded
) -> int | None:
    """Return the seeds with which `SURE` of the checks notice `loss`; None if too many."""
    if recorded.std == 0:
        return 1 if loss > recorded.room else None
    for seeds in SEEDS_TRIED:
        if alarms(losses, [loss], n_results, recorded=recorded, seeds=seeds)[0] >= SURE:
            return seeds
    return None
