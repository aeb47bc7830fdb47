"""A store, and the runs, sweeps and experiments in it: reading never makes or changes anything."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import yaml
from numpy.typing import NDArray

from bench.errors import UserError, first_line
from bench.tracking import local_store
from bench.tracking.local_store import StoredExperiment
from bench.tracking.result_queue import ResultQueue
from bench.tracking.run_record import Experiment, Record, Sweep, attempt_that_counts
from bench.tracking.store_address import SQLITE, redacted, sqlite_path, sqlite_uri, store_name

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
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
ARTIFACTS = "mlartifacts"
"""Folder beside the database, for the files of its runs."""
MAX_EXPERIMENTS = 50_000
"""In one answer of MLflow's."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # What a server that is away does not take waits in the outbox: no use in insisting.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class RunReader:
    """Reads what `MLflowTracker` writes. Large files are read only when asked for.

    Parameters
    ----------
    uri : str, optional
        Address of the MLflow store. By default MLFLOW_TRACKING_URI, else SQLite and files in
        `directory`.
    directory : str, default "results"
        Folder of results that wait to be sent, and of the default store.
    """

    def __init__(self, uri: str | None = None, directory: str = "results") -> None:
        self.directory = Path(directory).resolve()
        default = sqlite_uri(self.directory / "mlflow.db")
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or default
        self.shown = redacted(self.uri)
        self.queue = ResultQueue(self.directory, store_name(self.uri, self.directory))
        self._ended: dict[str, Record] = {}
        """Runs that were read and change no more, by id."""
        self._checked = False

    # -- the store --------------------------------------------------------------------------------

    @property
    def local(self) -> bool:
        """Whether the store is a database on this disk, which is read without MLflow."""
        return self.uri.startswith("sqlite:")

    @property
    def database(self) -> Path:
        """The file of a local store."""
        return sqlite_path(self.uri)

    @property
    def empty(self) -> bool:
        """Whether there is certainly nothing in the store."""
        return self.local and not self.database.exists()

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client, whose import takes seconds.

        UserError if there is no store, it is damaged, or its server does not answer.
        """
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        warnings.filterwarnings("ignore", module="mlflow")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        for library in ("mlflow", "alembic"):
            logging.getLogger(library).setLevel(logging.WARNING)
        self.check()
        self._make_ready()
        try:
            client = MlflowClient(self.uri)
            client.search_experiments(max_results=1)
        except (MlflowException, OSError) as error:
            raise UserError(
                f"MLflow store {self.shown} does not answer: {redacted(first_line(error))}"
            ) from None
        shadow = Path(self.uri.removeprefix(SQLITE)).parent
        if self.local and "%" in str(shadow) and shadow.resolve() != self.database.parent:
            with suppress(OSError):
                os.removedirs(shadow)  # MLflow makes it by reading an escaped path literally
        return client

    def answers(self) -> bool:
        """Whether the store can be reached."""
        try:
            self.client.search_experiments(max_results=1)
        except Exception:
            return False
        return True

    def check(self) -> None:
        """Raise `UserError` if a local database is damaged; all of it is read, once."""
        if self._checked or not self.local or self.empty:
            return
        damage = local_store.damage_of(self.database)
        if damage is not None:
            raise UserError(
                f"{self.database} is no usable MLflow database ({damage[:80]}): restore a copy of "
                "it, or move it away to begin with an empty one"
            )
        self._checked = True

    def refuse_empty(self) -> None:
        """Raise `UserError` if there is no store."""
        if self.empty:
            raise UserError(f"there is no store {self.shown}: nothing was tracked into it yet")

    def _make_ready(self) -> None:
        self.refuse_empty()

    def _readable(self) -> Path:
        """Return the file of a local store that is there and undamaged."""
        self.refuse_empty()
        self.check()
        return self.database

    def search(self, experiment_ids: Sequence[str], query: str) -> list[Run]:
        """Return every run of these experiments that matches, newest first."""
        runs: list[Run] = []
        token = None
        while experiment_ids:
            page = self.client.search_runs(
                list(experiment_ids),
                query,
                max_results=1000,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            runs += page
            token = page.token
            if not token:
                break
        return runs

    # -- experiments and sweeps -------------------------------------------------------------------

    def experiments(self) -> dict[str, StoredExperiment]:
        """Return every experiment by name, deleted ones too."""
        if self.local:
            return local_store.read_experiments(self._readable())
        client = self.client
        from mlflow.entities import ViewType

        stored = client.search_experiments(ViewType.ALL, max_results=MAX_EXPERIMENTS)
        return {
            e.name: StoredExperiment(e.experiment_id, e.lifecycle_stage, e.tags) for e in stored
        }

    def experiment_id(self, name: str) -> str | None:
        """Return the id of an experiment, None if there is none; UserError if it was deleted."""
        stored = self.experiments().get(name)
        if stored is not None and stored.stage == "deleted":
            raise UserError(
                f"experiment {name!r} was deleted in MLflow: restore it (mlflow experiments "
                "restore), remove it for good (mlflow gc), or use another (experiment.name=...)"
            )
        return None if stored is None else stored.id

    def experiment(self, name: str) -> Experiment:
        """Return the experiment of that name; UserError, with those there are, if there is none."""
        from fm.validation import nearest

        stored = self.experiments()
        if self.experiment_id(name) is None:
            active = (name for name, e in stored.items() if e.stage == "active")
            names = sorted(set(active) - {"Default"})
            raise UserError(
                f"there is no experiment {name!r}{nearest(name, names)}; tracked are: "
                f"{', '.join(names) or 'none'}"
            )
        tags = stored[name].tags
        description = tags.get("mlflow.note.content", "")
        return Experiment(name, description, json.loads(tags.get(QUESTION, "{}")))

    def parent(self, run_id: str) -> tuple[Experiment, Sweep] | None:
        """Return the sweep whose parent run this is, with its experiment; None of other runs."""
        run = self._run(run_id)
        if run is None or run.tags.get("role") != "sweep":
            return None
        sweep = Sweep(run.tags["sweep"], run.name, run.tags[COMMAND], owner="")
        return self.experiment(run.tags["experiment"]), sweep

    # -- jobs -------------------------------------------------------------------------------------

    def records(self, experiment: Experiment, sweep: str | None = None) -> list[Record]:
        """Return every job of an experiment, or of one of its sweeps, ordered by name.

        Of several attempts at a job there is the one that counts (`attempt_that_counts`). A run
        that is being written is left out.
        """
        attempts: dict[str, list[Record]] = {}
        for run in self.tagged("digest", experiment=experiment.name):
            if run.status != "RUNNING" and (sweep is None or f"sweep.{sweep}" in run.tags):
                self._ended[run.run_id] = run
                attempts.setdefault(run.digest, []).append(run)
        records = map(attempt_that_counts, attempts.values())
        return sorted(records, key=lambda record: (record.name, record.digest))

    def all_records(self, experiment: str | None = None) -> list[Record]:
        """Return every attempt at every job, of an experiment or of all, newest first."""
        return self.tagged("digest", experiment=experiment and self.experiment(experiment).name)

    def tagged(self, tag: str, value: str = "", experiment: str | None = None) -> list[Record]:
        """Return the runs that have a tag, of this value if not empty, newest first."""
        names: dict[str, str] = {}
        if experiment is not None:
            own = self.experiment_id(experiment)
            if own is None:
                return []
            names = {own: experiment}
        if self.local:
            path = self._readable()
            return local_store.read_runs(path, experiment=experiment, tag=tag, value=value)
        if experiment is None:
            names = {e.id: name for name, e in self.experiments().items() if e.stage == "active"}
        matching = self.search(list(names), f"tags.{tag} {'=' if value else '!='} '{value}'")
        return [Record.of_mlflow(run, names[run.info.experiment_id]) for run in matching]

    def run(self, run_id: str) -> Record:
        """Return a run of a job or of a sweep; UserError if there is none, or it was deleted."""
        run = self._ended.get(run_id) or self._run(run_id)
        if run is None:
            raise UserError(f"there is no run {run_id!r} in {self.shown}")
        return run

    def _run(self, run_id: str) -> Record | None:
        if self.local:
            return next(iter(local_store.read_runs(self._readable(), run_id=run_id)), None)
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return None
        return Record.of_mlflow(run, self.client.get_experiment(run.info.experiment_id).name)

    # -- what a job has ---------------------------------------------------------------------------

    def scale(self, run_id: str) -> tuple[float, float]:
        """Return the lowest and the highest target of the data that a run was computed on."""
        profile = self.run(run_id).profile
        if profile is None:
            raise UserError(f"run {run_id} does not say what data it was computed on")
        low, high = json.loads(profile)["scale"]
        return low, high

    def config(self, run_id: str) -> dict[str, object]:
        """Return the resolved configuration of a run."""
        return self._file(run_id, "config.yaml", lambda path: yaml.safe_load(path.read_text()))

    def code(self, run_id: str) -> dict[str, dict[str, str]]:
        """Return what of the code a run's digest covers: `modules` and `packages` (`Closure`)."""
        return self._file(run_id, CODE_FILE, lambda path: json.loads(path.read_text("utf-8")))

    def predictions(self, run_id: str) -> pd.DataFrame:
        """Return a row for each test row (the index).

        Columns: `user`, `item`, `rating`, `prediction`; in how many training rows its user and its
        item occur (`user_ratings`, `item_ratings`); `std` where the model estimates one.
        """
        import pandas as pd

        return self._file(run_id, "predictions.csv", partial(pd.read_csv, index_col="row"))

    def curves(self, run_id: str) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return the learning curves of a run by name: epochs and values."""
        curves = {}
        for name in sorted(n for n in self.run(run_id).metrics if n.startswith(CURVE)):
            epochs, values = np.array(list(self._history(run_id, name).items()), np.float64).T
            curves[name.removeprefix(CURVE)] = (epochs, values)
        return curves

    def _history(self, run_id: str, metric: str) -> dict[int, float]:
        if self.local:
            return local_store.read_history(self.database, run_id, metric)
        history = self.client.get_metric_history(run_id, metric)
        return {m.step: m.value for m in sorted(history, key=lambda m: m.step)}

    def _file(self, run_id: str, name: str, read: Callable[[Path], T]) -> T:
        kept = self.artifact_folder(self.run(run_id).artifacts)
        if kept is not None:
            if not (kept / name).is_file():
                raise UserError(f"run {run_id} has no {name}: {kept / name} is missing")
            return read(kept / name)
        with tempfile.TemporaryDirectory() as folder:
            return read(Path(self.client.download_artifacts(run_id, name, folder)))

    def artifact_folder(self, uri: str) -> Path | None:
        """Return the folder of the files at `uri`; None of a store that keeps them elsewhere.

        MLflow writes down absolute paths. Those of a store that was moved are read where it is now.
        """
        address = urlsplit(uri)
        if not self.local or address.scheme not in ("", "file"):
            return None
        path = Path(url2pathname(address.path))
        _, separator, below = str(path).rpartition(f"/{ARTIFACTS}/")
        if separator and self.database.parent == self.directory:
            return self.directory / ARTIFACTS / below
        return path
