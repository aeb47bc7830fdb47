"""Tracked jobs, read back."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.errors import UserError
from bench.tracking.result_queue import Entry
from bench.tracking.run_record import Experiment, Record, Sweep
from bench.tracking.store import Store
from fm.params import nearest

if TYPE_CHECKING:
    from mlflow.entities import Run


VALIDATION_CURVE = "curve/validation_mse"


class Reader(Store):
    """What was tracked."""

    def records(
        self, experiment: Experiment, sweep: str, *, with_predictions: bool = False
    ) -> list[Record]:
        """Every job of a sweep, newest attempt only, ordered by name; none that is being written."""
        newest = {}
        query = f"tags.`sweep.{sweep}` = 'true' and attributes.status != 'RUNNING'"
        for run in self.search(self.experiment_id(experiment), query):
            newest.setdefault(run.data.tags["digest"], run)
        records = [self.record(run, with_predictions) for run in newest.values()]
        return sorted(records, key=lambda record: record.name)

    def all_records(self, experiment: str | None = None) -> list[Record]:
        """Every job of an experiment or of all, newest first; the tag `experiment` names its own.

        Raises
        ------
        UserError : there is no such experiment.
        """
        there = {e.name: e.experiment_id for e in self.client.search_experiments()}
        if experiment is not None and experiment not in there:
            raise UserError(
                f"there is no experiment {experiment!r}{nearest(experiment, there)}; there are {', '.join(there)}"
            )
        records = []
        for name in there if experiment is None else [experiment]:
            for run in self.search(there[name], "tags.digest != ''"):
                record = self.record(run, with_predictions=False)
                records.append(replace(record, tags=record.tags | {"experiment": name}))
        return records

    def record(self, run: Run, with_predictions: bool) -> Record:
        predictions = None
        if with_predictions and run.info.status == "FINISHED":
            with tempfile.TemporaryDirectory() as folder:
                path = self.client.download_artifacts(run.info.run_id, "predictions.csv", folder)
                predictions = pd.read_csv(io.BytesIO(Path(path).read_bytes()), index_col="row")
        tags = dict(run.data.tags)
        return Record(
            run_id=run.info.run_id,
            name=run.info.run_name,
            model=tags["model"],
            status="PRUNED" if "pruned" in tags else run.info.status,
            reason=tags.get("reason"),
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
            tags=tags,
            predictions=predictions,
        )

    def settled(self, experiment: Experiment) -> Callable[[str], Entry | None]:
        """Of a digest, the job with it that need not be run again, wherever it was computed. One search
        for all; those asked for are remembered on this disk."""
        runs: dict[str, Run] = {}
        experiment_id = self.experiment_id(experiment)
        for query in (
            "attributes.status = 'FINISHED' and tags.digest != ''",
            "tags.pruned = 'true'",
        ):
            for run in self.search(experiment_id, query):
                runs.setdefault(run.data.tags["digest"], run)

        def look(digest: str) -> Entry | None:
            if digest not in runs:
                return None
            run = runs[digest]
            record = replace(self.record(run, with_predictions=False), curves=self._curves(run))
            sweep = Sweep("", "", "", run.data.tags.get("owner", ""))
            attempt = run.data.tags.get("attempt", "")
            entry = Entry(self.uri, experiment, sweep, record, 0, 0, {}, attempt)
            self.folder.remember(entry)
            return entry

        return look

    def _curves(self, run: Run) -> dict[str, dict[int, float]]:
        """The one that searches go by."""
        if VALIDATION_CURVE not in run.data.metrics:
            return {}
        history = self.client.get_metric_history(run.info.run_id, VALIDATION_CURVE)
        return {VALIDATION_CURVE.partition("/")[2]: {point.step: point.value for point in history}}
