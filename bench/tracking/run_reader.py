"""Tracked runs, sweeps and experiments, read back."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from bench.errors import UserError
from bench.tracking.local_store import read_runs
from bench.tracking.queue_entry import CODE_FILE, Entry
from bench.tracking.run_record import (
    Experiment,
    ParentRun,
    Record,
    RunData,
    Sweep,
    attempt_that_counts,
)
from bench.tracking.store import Store
from fm.validation import nearest

if TYPE_CHECKING:
    from mlflow.entities import Run

T = TypeVar("T")
CURVE = "curve/"
"""Prefix of the metrics that are learning curves."""
VALIDATION_CURVE = f"{CURVE}validation_mse"


class RunReader(Store):
    """Reads what `MLflowTracker` writes. Large files are read only when asked for."""

    def __init__(self, uri: str | None = None, directory: str = "results") -> None:
        super().__init__(uri, directory)
        self._ended: dict[str, Run] = {}
        """Runs that were read and change no more, by id."""

    def records(self, experiment: Experiment, sweep: str | None = None) -> list[Record]:
        """Return every job of an experiment, or of one of its sweeps, ordered by name.

        Of several attempts at a job there is the one that counts (`attempt_that_counts`). A run
        that is being written is left out.
        """
        query = f"tags.`sweep.{sweep}` = 'true'" if sweep else "tags.digest != ''"
        experiment_id = self.experiment_id(experiment.name)
        ids = [] if experiment_id is None else [experiment_id]
        attempts: dict[str, list[Record]] = {}
        for run in self.search(ids, query + " and attributes.status != 'RUNNING'"):
            record = self.record(run)
            self._ended[record.run_id] = run
            attempts.setdefault(record.digest, []).append(record)
        records = map(attempt_that_counts, attempts.values())
        return sorted(records, key=lambda record: (record.name, record.digest))

    def all_records(self, experiment: str | None = None) -> list[Record]:
        """Return every attempt at every job, of one experiment or of all, newest first.

        The tag `experiment` of each names its experiment.

        Raises
        ------
        UserError
            If there is no such experiment.
        """
        if self.local and not self.empty:
            self.check()
            return self._local_records(experiment)
        names = {e.experiment_id: e.name for e in self.client.search_experiments()}
        if experiment is not None:
            if experiment not in names.values():
                raise self._no_experiment(experiment, names.values())
            names = {i: name for i, name in names.items() if name == experiment}
        records = []
        for run in self.search(list(names), "tags.digest != ''"):
            record = self.record(run)
            tags = record.tags | {"experiment": names[run.info.experiment_id]}
            records.append(replace(record, tags=tags))
        return records

    def _local_records(self, experiment: str | None) -> list[Record]:
        runs = read_runs(self.database)
        names = {run.experiment for run in runs}
        if experiment is not None and experiment not in names:
            raise self._no_experiment(experiment, names)
        return [
            Record(
                run_id=run.run_id,
                name=run.name,
                model=run.tags.get("model", ""),
                status="PRUNED" if "pruned" in run.tags else run.status,
                reason=run.tags.get("reason"),
                params=run.params,
                metrics=run.metrics,
                tags=run.tags | {"experiment": run.experiment},
                began=run.began,
                ended=run.ended,
            )
            for run in runs
            if run.tags.get("digest") and experiment in (None, run.experiment)
        ]

    def record(self, run: Run) -> Record:
        """Return a run of MLflow's as a `Record`."""
        tags = dict(run.data.tags)
        for data in run.inputs.dataset_inputs if run.inputs else ():
            tags.setdefault("data.digest", data.dataset.digest)
            tags.setdefault("data.source", json.loads(data.dataset.source)["uri"])
        return Record(
            run_id=run.info.run_id,
            name=run.info.run_name,
            model=tags.get("model", ""),
            status="PRUNED" if "pruned" in tags else run.info.status,
            reason=tags.get("reason"),
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
            tags=tags,
            began=run.info.start_time or 0,
            ended=run.info.end_time or 0,
        )

    def settled(self, experiment: Experiment) -> Callable[[str], Entry | None]:
        """Return a function that finds, by its digest, a job that need not be run again.

        One search finds all jobs, wherever they were computed; those asked for are remembered on
        this disk.
        """
        records = {r.digest: r for r in self.records(experiment) if r.settled}

        def find(digest: str) -> Entry | None:
            if digest not in records:
                return None
            record = replace(records[digest], curves=self._validation_curve(records[digest]))
            sweep = Sweep("", "", "", record.tags.get("owner", ""))
            attempt = record.tags.get("attempt", "")
            entry = Entry(experiment, sweep, record, record.began, record.ended, {}, attempt)
            self.queue.remember(entry)
            return entry

        return find

    def tags(self, run_id: str) -> dict[str, str]:
        """Return the tags of a run.

        Raises
        ------
        UserError
            If there is no such run.
        """
        from mlflow.exceptions import MlflowException

        try:
            return dict(self.client.get_run(run_id).data.tags)
        except MlflowException as error:
            raise UserError(f"there is no run {run_id!r} in {self.shown}") from error

    def data(self, run_id: str) -> RunData:
        """Return what a run was computed on."""
        inputs = self._run(run_id).inputs
        if not (inputs and inputs.dataset_inputs):
            raise UserError(f"run {run_id} does not say what data it was computed on")
        data = inputs.dataset_inputs[0].dataset
        low, high = json.loads(data.profile or "{}")["scale"]
        return RunData(data.digest, json.loads(data.source)["uri"], (low, high))

    def config(self, run_id: str) -> dict[str, object]:
        """Return the resolved configuration of a run."""
        return self._artifact(run_id, "config.yaml", lambda path: yaml.safe_load(path.read_text()))

    def code(self, run_id: str) -> dict[str, dict[str, str]]:
        """Return what of the code a run's digest covers: `modules` and `packages` (`Closure`)."""
        return self._artifact(run_id, CODE_FILE, lambda path: json.loads(path.read_text("utf-8")))

    def predictions(self, run_id: str) -> pd.DataFrame:
        """Return a row for each test row (the index).

        Columns: `user`, `item`, `rating`, `prediction`; in how many training rows its user and its
        item occur (`user_ratings`, `item_ratings`); `std` where the model estimates one.
        """
        return self._artifact(
            run_id, "predictions.csv", lambda path: pd.read_csv(path, index_col="row")
        )

    def curves(self, run_id: str) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return the learning curves of a run by name: epochs and values."""
        names = (n for n in self._run(run_id).data.metrics if n.startswith(CURVE))
        curves = {}
        for name in sorted(names):
            points = sorted((m.step, m.value) for m in self.client.get_metric_history(run_id, name))
            epochs, values = np.array(points, dtype=np.float64).T
            curves[name.removeprefix(CURVE)] = (epochs, values)
        return curves

    def experiment(self, name: str) -> Experiment:
        """Return the experiment of that name.

        Raises
        ------
        UserError
            If there is none, in which case its message names those there are, or it was deleted.
        """
        stored = self.client.get_experiment_by_name(name)
        if stored is None or self.experiment_id(name) is None:
            raise self._no_experiment(name, (e.name for e in self.client.search_experiments()))
        description = stored.tags.get("mlflow.note.content", "")
        return Experiment(name, description, json.loads(stored.tags.get("question", "{}")))

    def parent(self, run_id: str) -> tuple[Experiment, ParentRun] | None:
        """Return the sweep whose parent run this is, with its experiment; None of other runs."""
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return None
        tags = run.data.tags
        if tags.get("role") != "sweep":
            return None
        name = self.client.get_experiment(run.info.experiment_id).name
        parent = ParentRun(tags["sweep"], tags["mlflow.note.content"], run.info.run_name)
        return self.experiment(name), parent

    def _no_experiment(self, name: str, names: Iterable[str]) -> UserError:
        known = sorted(set(names) - {"Default"})
        listed = ", ".join(known) or "none"
        return UserError(
            f"there is no experiment {name!r}{nearest(name, known)}; tracked are: {listed}"
        )

    def _validation_curve(self, record: Record) -> dict[str, dict[int, float]]:
        """Return the curve that searches go by."""
        if VALIDATION_CURVE not in record.metrics:
            return {}
        history = self.client.get_metric_history(record.run_id, VALIDATION_CURVE)
        return {VALIDATION_CURVE.removeprefix(CURVE): {p.step: p.value for p in history}}

    def _run(self, run_id: str) -> Run:
        if run_id not in self._ended:
            return self.client.get_run(run_id)
        return self._ended[run_id]

    def _artifact(self, run_id: str, name: str, read: Callable[[Path], T]) -> T:
        kept = self.artifact_folder(self._run(run_id))
        if kept is not None:
            if not (kept / name).is_file():
                raise UserError(f"run {run_id} has no {name}: {kept / name} is missing")
            return read(kept / name)
        with tempfile.TemporaryDirectory() as folder:
            return read(Path(self.client.download_artifacts(run_id, name, folder)))
