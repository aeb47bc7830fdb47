"""The store: opened by the first call that needs it, created under a lock, searched to the last page.

Two processes that create SQLite's schema at once break it for good, and so does a kill in the midst of it. So
one creates it, aside, and the others wait.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError, first_line
from bench.tracking.dashboard_view import NAME, saved_view
from bench.tracking.result_queue import ResultQueue
from bench.tracking.run_record import Experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class Store:
    """MLflow at `uri` (default: MLFLOW_TRACKING_URI, else SQLite and files in `directory`)."""

    def __init__(self, uri: str | None = None, directory: str = "results") -> None:
        self.directory = Path(directory).resolve()
        self.uri = (
            uri
            or os.environ.get("MLFLOW_TRACKING_URI")
            or f"sqlite:///{self.directory / 'mlflow.db'}"
        )

        self.queue = ResultQueue(self.directory, self.uri)
        self._experiment_ids: dict[str, str] = {}
        if self.empty:
            self.queue.forget()

    @property
    def local(self) -> bool:
        return self.uri.startswith("sqlite:")

    @property
    def empty(self) -> bool:
        """Whether there is certainly nothing in it."""
        return self.local and not self._database.exists()

    @property
    def _database(self) -> Path:
        return Path(self.uri.removeprefix("sqlite:///"))

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own, which takes seconds.

        Raises
        ------
        UserError : a server that does not answer.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # What a server that is away did not take waits in the outbox: no use in insisting.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        warnings.filterwarnings("ignore", module="mlflow")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        if not self.local:
            try:
                client = MlflowClient(self.uri)
                client.search_experiments(max_results=1)
            except (MlflowException, OSError) as error:
                raise UserError(
                    f"MLflow store {self.uri} does not answer: {first_line(error)}"
                ) from error
            return client
        with self.locked():
            if self.empty:
                aside = self._database.with_name(f".{self._database.name}")
                aside.unlink(missing_ok=True)
                MlflowClient(f"sqlite:///{aside}").search_experiments(max_results=1)
                aside.rename(self._database)
            client = MlflowClient(self.uri)
            client.search_experiments(max_results=1)
            with sqlite3.connect(self._database) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        return client

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other process on this disk is in the body of this."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / ".mlflow.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def experiment_id(self, experiment: Experiment) -> str:
        """Id of the experiment of that name, made if there is none."""
        if experiment.name not in self._experiment_ids:
            self._experiment_ids[experiment.name] = self._found_or_made(experiment)
        return self._experiment_ids[experiment.name]

    def _found_or_made(self, experiment: Experiment) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(experiment.name)
        if found is not None:
            return found.experiment_id
        location = (
            (self.directory / "mlartifacts" / experiment.name).as_uri() if self.local else None
        )
        tags = _tags(experiment)
        try:
            return self.client.create_experiment(experiment.name, location, tags=tags)
        except MlflowException:
            # Two sweeps may start at once: the other one has made it in between.
            return self.client.get_experiment_by_name(experiment.name).experiment_id

    def describe(self, experiment: Experiment) -> None:
        """Renews what is said of an experiment: its description, the report's question, the saved view."""
        experiment_id = self.experiment_id(experiment)
        for key, value in _tags(experiment).items():
            self.client.set_experiment_tag(experiment_id, key, value)

    def search(self, experiment_id: str, query: str) -> list[Run]:
        """Every run that matches, newest first."""
        found, token = [], None
        while token is not None or not found:
            page = self.client.search_runs(
                [experiment_id],
                query,
                max_results=1000,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            found += page
            token = page.token
            if not token:
                break
        return found

    def pages(self) -> dict[str, str]:
        """Of each experiment, the dashboard's page with the runs in order of their validation error."""
        return {
            e.name: f"#/experiments/{e.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={NAME}"
            for e in self.client.search_experiments()
            if f"mlflow.sharedViewState.{NAME}" in e.tags
        }


def _tags(experiment: Experiment) -> dict[str, str]:
    return {
        "mlflow.note.content": experiment.description,
        "question": json.dumps(experiment.question),
        f"mlflow.sharedViewState.{NAME}": saved_view(),
    }
