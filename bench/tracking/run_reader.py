"""Tracked runs, sweeps and experiments, read back."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray

from bench.errors import UserError
from bench.tracking.local_store import read_history, read_runs
from bench.tracking.run_record import Experiment, Record, Sweep, attempt_that_counts
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
CODE_FILE = "code.json"
"""What of the code a run's digest covers."""


class RunReader(Store):
    """Reads what `MLflowTracker` writes. Large files are read only when asked for."""

    def __init__(self, uri: str | None = None, directory: str = "results") -> None:
        super().__init__(uri, directory)
        self._ended: dict[str, Record] = {}
        """Runs that were read and change no more, by id."""

    # -- jobs -------------------------------------------------------------------------------------

    def records(self, experiment: Experiment, sweep: str | None = None) -> list[Record]:
        """Return every job of an experiment, or of one of its sweeps, ordered by name.

        Of several attempts at a job there is the one that counts (`attempt_that_counts`). A run
        that is being written is left out.
        """
        attempts: dict[str, list[Record]] = {}
        for run in self._attempts(experiment.name):
            if run.status != "RUNNING" and (sweep is None or f"sweep.{sweep}" in run.tags):
                self._ended[run.run_id] = run
                attempts.setdefault(run.digest, []).append(run)
        records = map(attempt_that_counts, attempts.values())
        return sorted(records, key=lambda record: (record.name, record.digest))

    def all_records(self, experiment: str | None = None) -> list[Record]:
        """Return every attempt at every job, of an experiment or of all, newest first."""
        if experiment is not None:
            self._existing(experiment)
        return self._attempts(experiment)

    def _attempts(self, experiment: str | None) -> list[Record]:
        """Return every attempt at every job, of an experiment or of all, newest first."""
        if experiment is not None and self.experiment_id(experiment) is None:
            return []
        if self.local:
            runs = read_runs(self.readable(), experiment=experiment)
            return [run for run in runs if run.tags.get("digest")]
        names = {e.id: name for name, e in self.experiments().items() if e.stage == "active"}
        ids = [i for i, name in names.items() if experiment in (None, name)]
        matching = self.search(ids, "tags.digest != ''")
        return [record_of(run, names[run.info.experiment_id]) for run in matching]

    def run(self, run_id: str) -> Record:
        """Return a run of a job or of a sweep; UserError if there is none, or it was deleted."""
        run = self._ended.get(run_id) or self._run(run_id)
        if run is None:
            raise UserError(f"there is no run {run_id!r} in {self.shown}")
        return run

    def _run(self, run_id: str) -> Record | None:
        if self.local:
            return next(iter(read_runs(self.readable(), run_id=run_id)), None)
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return None
        return record_of(run, self.client.get_experiment(run.info.experiment_id).name)

    # -- what a run has ---------------------------------------------------------------------------

    def scale(self, run_id: str) -> tuple[float, float]:
        """Return the lowest and the highest target of the data that a run was computed on."""
        profile = self.run(run_id).profile
        if profile is None:
            raise UserError(f"run {run_id} does not say what data it was computed on")
        low, high = json.loads(profile)["scale"]
        return low, high

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
        curves = {}
        for name in sorted(n for n in self.run(run_id).metrics if n.startswith(CURVE)):
            epochs, values = np.array(list(self._history(run_id, name).items()), np.float64).T
            curves[name.removeprefix(CURVE)] = (epochs, values)
        return curves

    def _history(self, run_id: str, metric: str) -> dict[int, float]:
        if self.local:
            return read_history(self.database, run_id, metric)
        history = self.client.get_metric_history(run_id, metric)
        return {m.step: m.value for m in sorted(history, key=lambda m: m.step)}

    def _artifact(self, run_id: str, name: str, read: Callable[[Path], T]) -> T:
        kept = self.artifact_folder(self.run(run_id).artifacts)
        if kept is not None:
            if not (kept / name).is_file():
                raise UserError(f"run {run_id} has no {name}: {kept / name} is missing")
            return read(kept / name)
        with tempfile.TemporaryDirectory() as folder:
            return read(Path(self.client.download_artifacts(run_id, name, folder)))

    # -- experiments and sweeps -------------------------------------------------------------------

    def experiment(self, name: str) -> Experiment:
        """Return the experiment of that name; UserError, with those there are, if there is none."""
        tags = self._existing(name)
        description = tags.get("mlflow.note.content", "")
        return Experiment(name, description, json.loads(tags.get(QUESTION, "{}")))

    def _existing(self, name: str) -> dict[str, str]:
        """Return the tags of an experiment."""
        from fm.validation import nearest

        if self.experiment_id(name) is not None:
            return self.experiments()[name].tags
        active = (name for name, e in self.experiments().items() if e.stage == "active")
        names = sorted(set(active) - {"Default"})
        raise UserError(
            f"there is no experiment {name!r}{nearest(name, names)}; tracked are: "
            f"{', '.join(names) or 'none'}"
        )

    def parent(self, run_id: str) -> tuple[Experiment, Sweep] | None:
        """Return the sweep whose parent run this is, with its experiment; None of other runs."""
        run = self._run(run_id)
        if run is None or run.tags.get("role") != "sweep":
            return None
        tags = run.tags
        sweep = Sweep(tags["sweep"], run.name, tags[COMMAND], tags["owner"])
        return self.experiment(tags["experiment"]), sweep


def record_of(run: Run, experiment: str) -> Record:
    """Return a run of MLflow's as one that is read directly."""
    inputs = run.inputs.dataset_inputs if run.inputs else ()
    return Record.stored(
        run.info.run_id,
        run.info.run_name,
        run.info.status,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=dict(run.data.tags) | {"experiment": experiment},
        began=run.info.start_time or 0,
        ended=run.info.end_time or 0,
        artifacts=run.info.artifact_uri,
        profile=next((i.dataset.profile for i in inputs), None),
    )
