"""Whether one model's error is smaller than another's on the same rows, and how sure that is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap


def paired_gap(
    errors: NDArray[np.float64],
    reference: NDArray[np.float64],
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Mean of `errors - reference` over rows and its 95 % percentile bootstrap interval.

    Both are (n_rows,) squared errors on the *same* rows: resampling rows keeps the pairs together,
    so that what both find hard cancels (Efron & Tibshirani, 1993, chapters 8 and 13).
    """
    difference = errors - reference
    gap = float(difference.mean())
    if np.ptp(difference) == 0:
        return gap, gap, gap
    interval = bootstrap(
        (difference,),
        np.mean,
        n_resamples=n_resamples,
        batch=250,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return gap, float(interval.low), float(interval.high)


def grouped_gap(
    errors: NDArray[np.float64],
    reference: NDArray[np.float64],
    groups: NDArray,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """As `paired_gap`, where rows with the same label in `groups` (n_rows,) are not independent, as the ratings
    of an unknown user are not: whole groups are resampled (Efron & Tibshirani, 1993, section 8.5)."""
    _, group = np.unique(groups, return_inverse=True)
    difference = errors - reference
    sums, sizes = np.bincount(group, difference), np.bincount(group).astype(np.float64)
    gap = float(difference.mean())
    interval = bootstrap(
        (sums, sizes),
        lambda sums, sizes, axis=-1: sums.sum(axis) / sizes.sum(axis),
        paired=True,
        n_resamples=n_resamples,
        batch=250,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return gap, float(interval.low), float(interval.high)
