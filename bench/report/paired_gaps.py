"""Whether one model's error is smaller than another's on the same rows, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm, rankdata

from bench.report.model_selection import Configuration
from bench.tracking import Record, RunReader

Floats = NDArray[np.float64]


class Gap(NamedTuple):
    """A difference, its 95 % interval, and the p-value of there being none."""

    value: float
    low: float
    high: float
    p: float


class Predictions:
    """Stored test predictions, each read once.

    Frames have a row for each test row: its position in the data (the index), `target`,
    `prediction`, `loss` (the headline metric is its mean), and what else is kept of a row.
    """

    def __init__(self, reader: RunReader) -> None:
        self._reader = reader
        self._frames: dict[str, pd.DataFrame] = {}

    def of(self, record: Record) -> pd.DataFrame:
        """Return the frame of a tested run."""
        run = record.run_id
        if run not in self._frames:
            frame = self._reader.predictions(run).rename(columns={"rating": "target"})
            given = frame["target"], frame["prediction"], self._reader.scale(run)
            self._frames[run] = frame.assign(loss=record.task.row_losses(*given))
        return self._frames[run]

    def once(self, configuration: Configuration) -> pd.DataFrame:
        """Return each test row once: predictions of its first repeat, losses averaged over repeats.

        Repeats of a row are not independent, and would make intervals too narrow.
        """
        test_sets = self._by_test_set(configuration).values()
        return pd.concat(frames[0].assign(loss=_mean_loss(frames)) for frames in test_sets)

    def gap(self, one: Configuration, reference: Configuration) -> Gap | None:
        """Return the loss of `one` minus that of `reference`, averaged over repeats of a test set.

        Over the rows of all test sets that both were tested on; None if there is none, or where
        one of them has other rows or targets than the other.
        """
        losses = [list(map(_mean_loss, both)) for both in self._shared(one, reference)]
        if not losses:
            return None
        mine, other = (np.concatenate(of) for of in zip(*losses, strict=True))
        return Gap(*paired_gap(mine, other), paired_p(mine, other))

    def auc_gap(
        self, one: Configuration, reference: Configuration
    ) -> tuple[float, float, float] | None:
        """Return the AUC of `one` minus that of `reference` with its 95 % interval (DeLong).

        Of the first test set that both were tested on; AUCs are averaged over its repeats.
        """
        for both in self._shared(one, reference):
            if 0 < both[0][0]["target"].mean() < 1:
                return delong_gap(*map(_mean_placements, both))
        return None

    def _shared(
        self, one: Configuration, reference: Configuration
    ) -> Iterator[tuple[list[pd.DataFrame], list[pd.DataFrame]]]:
        """Yield the frames of both, by test set; nothing of one where rows or targets differ."""
        mine, other = (self._by_test_set(c) for c in (one, reference))
        for key in sorted(mine.keys() & other.keys()):
            first, *rest = [*mine[key], *other[key]]
            if all(
                frame.index.equals(first.index) and frame["target"].equals(first["target"])
                for frame in rest
            ):
                yield mine[key], other[key]

    def _by_test_set(self, configuration: Configuration) -> dict[tuple, list[pd.DataFrame]]:
        """Return frames by (data, split, its seed, fold and origin)."""
        frames: dict[tuple, list[pd.DataFrame]] = {}
        for r in configuration.tested:
            keys = ("data_seed", "split.fold", "split.origin")
            drawn = tuple(str(r.params.get(key)) for key in keys)
            key = (r.data, r.tags.get("split", ""), *drawn)
            frames.setdefault(key, []).append(self.of(r))
        return frames


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


def _mean_loss(frames: list[pd.DataFrame]) -> Floats:
    return np.mean([frame["loss"] for frame in frames], axis=0)


def _mean_placements(frames: list[pd.DataFrame]) -> tuple[Floats, Floats]:
    """Return those of ones and of zeros, averaged over repeats of one test set."""
    placed = [auc_placements(f["target"], f["prediction"].to_numpy()) for f in frames]
    of_ones, of_zeros = (np.mean(of, axis=0) for of in zip(*placed, strict=True))
    return of_ones, of_zeros
