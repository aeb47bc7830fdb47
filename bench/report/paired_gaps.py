"""Differences between models on the same test rows, from stored predictions."""

from __future__ import annotations

from collections import defaultdict

import pandas as pd

from bench.intervals import paired_gap
from bench.metrics import squared_errors
from bench.report.model_selection import Configuration
from bench.tracking import Record, RunReader


class Predictions:
    """Stored test predictions of configurations, each read once."""

    def __init__(self, evidence: RunReader) -> None:
        self._evidence = evidence
        self._frames: dict[str, pd.DataFrame] = {}

    def of(self, record: Record) -> pd.DataFrame:
        """As `RunReader.predictions`, with the squared error of each row, clipped to the rating scale."""
        if record.run_id not in self._frames:
            frame = self._evidence.predictions(record.run_id)
            scale = self._evidence.data(record.run_id).scale
            frame["squared_error"] = squared_errors(frame["rating"], frame["prediction"], scale)
            self._frames[record.run_id] = frame
        return self._frames[record.run_id]

    def all_of(self, configuration: Configuration) -> pd.DataFrame:
        """Rows of every repeat, one under the other."""
        return pd.concat([self.of(r) for r in configuration.tested])

    def gap(
        self, one: Configuration, reference: Configuration
    ) -> tuple[float, float, float] | None:
        """MSE of `one` minus that of `reference` with its 95 % interval: errors averaged over seeds, rows of all
        test sets that both have been tested on; None if there is none."""
        errors = [self._by_test_set(c) for c in (one, reference)]
        shared = sorted(errors[0].keys() & errors[1].keys())
        if not shared:
            return None
        pairs = pd.concat(
            [pd.concat([e[key] for e in errors], axis=1, join="inner") for key in shared]
        )
        return paired_gap(*pairs.to_numpy().T)

    def _by_test_set(self, configuration: Configuration) -> dict[tuple, pd.Series]:
        """(split, its seed and fold) -> mean squared error of each row."""
        found = defaultdict(list)
        for r in configuration.tested:
            drawn = tuple(str(r.params.get(key)) for key in ("data_seed", "split.fold"))
            found[r.tags.get("split", ""), *drawn].append(self.of(r)["squared_error"])
        return {key: pd.concat(series, axis=1).mean(axis=1) for key, series in found.items()}
