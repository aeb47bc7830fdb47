"""Differences between models on the same test rows, from stored predictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.intervals import auc_placements, delong_gap, paired_gap, paired_p
from bench.report.model_selection import Configuration
from bench.tracking import Record, RunReader


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
        if record.run_id not in self._frames:
            frame = self._reader.predictions(record.run_id).rename(columns={"rating": "target"})
            scale = self._reader.scale(record.run_id)
            frame["loss"] = record.task.row_losses(frame["target"], frame["prediction"], scale)
            self._frames[record.run_id] = frame
        return self._frames[record.run_id]

    def once(self, configuration: Configuration) -> pd.DataFrame:
        """Return each test row once: predictions of its first repeat, losses averaged over repeats.

        Repeats of a row are not independent, and would make intervals too narrow.
        """
        test_sets = self._by_test_set(configuration).values()
        return pd.concat(
            [
                frames[0].assign(loss=np.mean([frame["loss"] for frame in frames], axis=0))
                for frames in test_sets
            ]
        )

    def gap(self, one: Configuration, reference: Configuration) -> Gap | None:
        """Return the loss of `one` minus that of `reference`, averaged over repeats of a test set.

        Over the rows of all test sets that both were tested on; None if there is none, or where
        one of them has other rows or targets than the other.
        """
        losses = [
            [np.mean([frame["loss"] for frame in frames], axis=0) for frames in both]
            for both in self._shared(one, reference)
        ]
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
            if not 0 < both[0][0]["target"].mean() < 1:
                continue
            placed = [
                [auc_placements(f["target"], f["prediction"].to_numpy()) for f in frames]
                for frames in both
            ]
            means = [
                (np.mean([of[0] for of in each], axis=0), np.mean([of[1] for of in each], axis=0))
                for each in placed
            ]
            return delong_gap(*means)
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
