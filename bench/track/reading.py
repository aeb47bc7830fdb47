"""Tracked jobs, read back."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.track.records import Experiment, Record
from bench.track.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run


class Reader(Store):
    """What was tracked."""

    def records(self, experiment: Experiment, sweep: str, *, with_predictions: bool = False) -> list[Record]:
        """Every job of a sweep, newest attempt only, ordered by name."""
        newest = {}
        for run in self.search(self.experiment_id(experiment), f"tags.`sweep.{sweep}` = 'true'"):
            newest.setdefault(run.data.tags["digest"], run)
        records = [self.record(run, with_predictions) for run in newest.values()]
        return sorted(records, key=lambda record: record.name)

    def record(self, run: Run, with_predictions: bool) -> Record:
        predictions = None
        if with_predictions and run.info.status == "FINISHED":
            with tempfile.TemporaryDirectory() as folder:
                path = self.client.download_artifacts(run.info.run_id, "predictions.csv", folder)
                predictions = pd.read_csv(io.BytesIO(Path(path).read_bytes()), index_col="row")
        return Record(
            run_id=run.info.run_id,
            name=run.info.run_name,
            model=run.data.tags["model"],
            status=run.info.status,
            reason=run.data.tags.get("reason"),
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
            tags=dict(run.data.tags),
            predictions=predictions,
        )

    def find(self, experiment: Experiment, digest: str) -> str | None:
        """Run id of a finished job with this digest."""
        found = self.search(
            self.experiment_id(experiment), f"tags.digest = '{digest}' and attributes.status = 'FINISHED'"
        )
        return found[0].info.run_id if found else None

    def metrics(self, run_id: str) -> dict[str, float]:
        return dict(self.client.get_run(run_id).data.metrics)
