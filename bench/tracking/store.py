"""The store: opened by the first call that needs it, and never made or changed by reading it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bench.errors import UserError, first_line
from bench.tracking.local_store import StoredExperiment, damage_of, read_experiments
from bench.tracking.result_queue import ResultQueue
from bench.tracking.store_address import SQLITE, redacted, sqlite_path, sqlite_uri, store_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

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


class Store:
    """MLflow at `uri`.

    Parameters
    ----------
    uri : str, optional
        By default MLFLOW_TRACKING_URI, else SQLite and files in `directory`.
    directory : str, default "results"
        Folder of results that wait to be sent, and of the default store.
    """

    def __init__(self, uri: str | None = None, directory: str = "results") -> None:
        self.directory = Path(directory).resolve()
        default = sqlite_uri(self.directory / "mlflow.db")
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or default
        self.queue = ResultQueue(self.directory, store_name(self.uri, self.directory))
        self._checked = False

    @property
    def shown(self) -> str:
        """The URI without its password."""
        return redacted(self.uri)

    @property
    def local(self) -> bool:
        """Whether the store is a database on this disk, which is read without MLflow."""
        return self.uri.startswith("sqlite:")

    @property
    def empty(self) -> bool:
        """Whether there is certainly nothing in it."""
        return self.local and not self.database.exists()

    @property
    def database(self) -> Path:
        """The file of a local store."""
        return sqlite_path(self.uri)

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
            self._remove_shadow()
        except (MlflowException, OSError) as error:
            raise UserError(
                f"MLflow store {self.shown} does not answer: {redacted(first_line(error))}"
            ) from None
        return client

    def answers(self) -> bool:
        """Whether the store can be reached."""
        try:
            self.client.search_experiments(max_results=1)
        except Exception:
            return False
        return True

    def _remove_shadow(self) -> None:
        """Remove the empty folders that MLflow makes by reading an escaped path literally."""
        shadow = Path(self.uri.removeprefix(SQLITE)).parent
        if self.local and "%" in str(shadow) and shadow.resolve() != self.database.parent:
            with suppress(OSError):
                os.removedirs(shadow)

    def check(self) -> None:
        """Raise `UserError` if a local database is damaged; all of it is read, once."""
        if not self.local or self.empty or self._checked:
            return
        damage = damage_of(self.database)
        if damage is not None:
            raise UserError(
                f"{self.database} is no usable MLflow database ({damage[:80]}): restore a copy of "
                "it, or move it away to begin with an empty one"
            )
        self._checked = True

    def readable(self) -> Path:
        """Return the file of a local store that is there and undamaged."""
        self.refuse_empty()
        self.check()
        return self.database

    def refuse_empty(self) -> None:
        """Raise `UserError` if there is no store."""
        if self.empty:
            raise UserError(f"there is no store {self.shown}: nothing was tracked into it yet")

    def _make_ready(self) -> None:
        self.refuse_empty()

    def experiments(self) -> dict[str, StoredExperiment]:
        """Return every experiment by name, deleted ones too."""
        if self.local:
            return read_experiments(self.readable())
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
