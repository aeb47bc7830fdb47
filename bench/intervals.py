"""Whether one model's error is smaller than another's on the same rows, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm, rankdata

Floats = NDArray[np.float64]


def paired_gap(
    errors: Floats, reference: Floats, *, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean of `errors - reference` over rows and its 95 % percentile bootstrap interval.

    Both are (n_rows,) losses on the *same* rows. Resampling rows keeps the pairs together, so that
    what is hard for both cancels (Efron & Tibshirani, 1993, chapters 8, 13).
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


def paired_p(errors: Floats, reference: Floats) -> float:
    """Return the two-sided p-value of equal mean losses on the same rows (paired z-test)."""
    difference = errors - reference
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] == 0 else 0.0
    z = difference.mean() / (difference.std(ddof=1) / len(difference) ** 0.5)
    return float(2 * norm.sf(abs(z)))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being many (Holm, 1979).

    Rejecting those up to 0.05 has at most a 5 % chance of one false rejection or more.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


def auc_placements(y: NDArray, score: Floats) -> tuple[Floats, Floats]:
    """Return the share of zeros below each one, and of ones above each zero, ties counting half.

    `y` (n_rows,) holds zeros and ones, `score` (n_rows,) is higher where a one is more likely; the
    mean of either result is the AUC (DeLong, DeLong & Clarke-Pearson, 1988; Sun & Xu, 2014).
    """
    ones = np.asarray(y) == 1
    n_ones, n_zeros = np.count_nonzero(ones), np.count_nonzero(~ones)
    ranks = rankdata(score)
    of_ones = (ranks[ones] - rankdata(score[ones])) / n_zeros
    of_zeros = 1 - (ranks[~ones] - rankdata(score[~ones])) / n_ones
    return of_ones, of_zeros


def delong_gap(
    placements: tuple[Floats, Floats], reference: tuple[Floats, Floats]
) -> tuple[float, float, float]:
    """Return the difference of two AUCs on the same rows and its 95 % interval by DeLong's method.

    Both are what `auc_placements` returns, or its mean over repeats.
    """
    differences = [mine - other for mine, other in zip(placements, reference, strict=True)]
    gap = float(differences[0].mean())
    margin = norm.ppf(0.975) * sum(d.var(ddof=1) / len(d) for d in differences) ** 0.5
    return gap, float(gap - margin), float(gap + margin)
