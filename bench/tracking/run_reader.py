"""Tracked runs, sweeps and experiments, read back."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray

from bench.errors import UserError
from bench.tracking.local_store import StoredRun, read_experiments, read_history, read_runs
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

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run

T = TypeVar("T")
QUESTION = "mlflow.bench.question"
"""Tag of an experiment, as JSON, which MLflow does not show."""
COMMAND = "mlflow.bench.command"
"""Tag of a sweep's run: the words of its command."""
CURVE = "curve/"
"""Prefix of the metrics that are learning curves."""
VALIDATION_CURVE = f"{CURVE}validation_mse"


class RunReader(Store):
    """Reads what `MLflowTracker` writes. Large files are read only when asked for."""

    def __init__(self, uri: str | None = None, directory: str = "results") -> None:
        super().__init__(uri, directory)
        self._ended: dict[str, StoredRun] = {}
        """Runs that were read and change no more, by id."""
        self._checked = False

    def records(self, experiment: Experiment, sweep: str | None = None) -> list[Record]:
        """Return every job of an experiment, or of one of its sweeps, ordered by name.

        Of several attempts at a job there is the one that counts (`attempt_that_counts`). A run
        that is being written is left out.
        """
        self._exists(experiment.name)
        attempts: dict[str, list[Record]] = {}
        for run in self._runs(experiment.name):
            if run.status != "RUNNING" and (sweep is None or f"sweep.{sweep}" in run.tags):
                self._ended[run.run_id] = run
                attempts.setdefault(run.tags["digest"], []).append(_record(run))
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
        if experiment is not None and not self._exists(experiment):
            raise self._no_experiment(experiment)
        runs = self._runs(experiment)
        records = [(_record(run), run.experiment) for run in runs]
        return [replace(r, tags=r.tags | {"experiment": name}) for r, name in records]

    def record(self, run: Run) -> Record:
        """Return a run of MLflow's as a `Record`."""
        return _record(_stored(run, ""))

    @property
    def _read_directly(self) -> bool:
        """Whether the store is read without MLflow, whose import takes seconds."""
        if not self.local:
            return False
        self.refuse_empty()
        if not self._checked:  # once: it reads the whole database
            self.check()
            self._checked = True
        return True

    def _experiments(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Return the stage and tags of each experiment, by name."""
        if self._read_directly:
            return read_experiments(self.database)
        return {e.name: (e.lifecycle_stage, e.tags) for e in self.client.search_experiments()}

    def _exists(self, experiment: str) -> bool:
        """Whether there is an experiment; raise UserError for one that was deleted."""
        if not self._read_directly:
            return self.experiment_id(experiment) is not None
        stage, _ = read_experiments(self.database).get(experiment, (None, {}))
        self.refuse_deleted(experiment, stage)
        return stage is not None

    def _runs(self, experiment: str | None) -> list[StoredRun]:
        """Return every attempt at every job, of an experiment or of all, newest first."""
        if self._read_directly:
            runs = read_runs(self.database)
            return [
                run
                for run in runs
                if run.tags.get("digest") and experiment in (None, run.experiment)
            ]
        names = {e.experiment_id: e.name for e in self.client.search_experiments()}
        ids = [i for i, name in names.items() if experiment in (None, name)]
        matching = self.search(ids, "tags.digest != ''")
        return [_stored(run, names[run.info.experiment_id]) for run in matching]

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
        run = self._of_any_kind(run_id)
        if run is None:
            raise UserError(f"there is no run {run_id!r} in {self.shown}")
        return run.tags

    def data(self, run_id: str) -> RunData:
        """Return what a run was computed on."""
        data = self._run(run_id).data
        if not data:
            raise UserError(f"run {run_id} does not say what data it was computed on")
        digest, source, profile = data[0]
        low, high = json.loads(profile or "{}")["scale"]
        return RunData(digest, json.loads(source)["uri"], (low, high))

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
        import pandas as pd

        return self._artifact(
            run_id, "predictions.csv", lambda path: pd.read_csv(path, index_col="row")
        )

    def curves(self, run_id: str) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return the learning curves of a run by name: epochs and values."""
        names = (n for n in self._run(run_id).metrics if n.startswith(CURVE))
        curves = {}
        for name in sorted(names):
            epochs, values = np.array(self._history(run_id, name), dtype=np.float64).T
            curves[name.removeprefix(CURVE)] = (epochs, values)
        return curves

    def experiment(self, name: str) -> Experiment:
        """Return the experiment of that name.

        Raises
        ------
        UserError
            If there is none, in which case its message names those there are, or it was deleted.
        """
        if not self._exists(name):
            raise self._no_experiment(name)
        _, tags = self._experiments()[name]
        description = tags.get("mlflow.note.content", "")
        question = tags.get(QUESTION) or tags.get("question", "{}")  # as earlier versions had it
        return Experiment(name, description, json.loads(question))

    def parent(self, run_id: str) -> tuple[Experiment, ParentRun] | None:
        """Return the sweep whose parent run this is, with its experiment; None of other runs."""
        from_store = self._of_any_kind(run_id)
        if from_store is None or from_store.tags.get("role") != "sweep":
            return None
        tags = from_store.tags
        words = tags.get(COMMAND) or tags["mlflow.note.content"]  # as earlier versions had it
        parent = ParentRun(tags["sweep"], words, from_store.name)
        return self.experiment(from_store.experiment), parent

    def _no_experiment(self, name: str) -> UserError:
        from fm.validation import nearest

        names = sorted(set(self._experiments()) - {"Default"})
        listed = ", ".join(names) or "none"
        return UserError(
            f"there is no experiment {name!r}{nearest(name, names)}; tracked are: {listed}"
        )

    def _validation_curve(self, record: Record) -> dict[str, dict[int, float]]:
        """Return the curve that searches go by."""
        if VALIDATION_CURVE not in record.metrics:
            return {}
        history = self._history(record.run_id, VALIDATION_CURVE)
        return {VALIDATION_CURVE.removeprefix(CURVE): dict(history)}

    def _history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        if self._read_directly:
            return read_history(self.database, run_id, metric)
        return sorted((m.step, m.value) for m in self.client.get_metric_history(run_id, metric))

    def _of_any_kind(self, run_id: str) -> StoredRun | None:
        """Return a run that is not deleted, of a job or of a sweep; None if there is none."""
        if self._read_directly:
            return next(iter(read_runs(self.database, run_id)), None)
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return None
        return _stored(run, self.client.get_experiment(run.info.experiment_id).name)

    def _run(self, run_id: str) -> StoredRun:
        run = self._ended.get(run_id) or self._of_any_kind(run_id)
        if run is None:
            raise UserError(f"there is no run {run_id!r} in {self.shown}")
        return run

    def _artifact(self, run_id: str, name: str, read: Callable[[Path], T]) -> T:
        kept = self.artifact_folder(self._run(run_id).artifacts)
        if kept is not None:
            if not (kept / name).is_file():
                raise UserError(f"run {run_id} has no {name}: {kept / name} is missing")
            return read(kept / name)
        with tempfile.TemporaryDirectory() as folder:
            return read(Path(self.client.download_artifacts(run_id, name, folder)))


def _stored(run: Run, experiment: str) -> StoredRun:
    """Return a run of MLflow's as one that is read directly."""
    inputs = run.inputs.dataset_inputs if run.inputs else ()
    return StoredRun(
        experiment,
        run.info.run_id,
        run.info.run_name,
        run.info.status,
        run.info.start_time or 0,
        run.info.end_time or 0,
        run.info.artifact_uri,
        dict(run.data.params),
        dict(run.data.tags),
        dict(run.data.metrics),
        [(i.dataset.digest, i.dataset.source, i.dataset.profile) for i in inputs],
    )


def _record(run: StoredRun) -> Record:
    tags = dict(run.tags)
    for digest, source, _ in run.data:
        tags.setdefault("data.digest", digest)
        tags.setdefault("data.source", json.loads(source)["uri"])
    return Record(
        run_id=run.run_id,
        name=run.name,
        model=tags.get("model", ""),
        status="PRUNED" if "pruned" in tags else run.status,
        reason=tags.get("reason"),
        params=run.params,
        metrics=run.metrics,
        tags=tags,
        began=run.began,
        ended=run.ended,
    )
