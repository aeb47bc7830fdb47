"""The one file that knows MLflow: what a run leaves behind, and how it is read back.

MLflow takes seconds to import and its schema must not be created by two processes at once, so it
is imported by the first call that needs it, and the store is created under a lock.

    experiment                 the question (`published_gap`)
      run, tag role=sweep      one sweep
        run, tag digest=...    one job, child of the first sweep that asked for it

A job belongs to every sweep that asked for it: tag `sweep.<id>`. A finished job is found again by
its digest, so that no sweep computes what another did.
"""

from __future__ import annotations

import base64
import fcntl
import io
import json
import logging
import os
import sqlite3
import tempfile
import time
import traceback
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import yaml

from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.figures import learning_curve
from bench.identity import code_version
from bench.measure import environment
from bench.run import Job, Result

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MAX_CURVE_POINTS = 500
VIEW = "leaderboard"
VIEW_COLUMNS = (
    "metrics.`validation/mse_clipped`",
    "metrics.`test/mse_clipped`",
    "metrics.`time/fit_seconds`",
    "attributes.`Dataset`",
)
"""MLflow shows no metric by default: runs are shown with these columns, best validation error first."""
STOPPED = (KeyboardInterrupt, SystemExit)


@dataclass(frozen=True)
class Experiment:
    """The question a set of runs answers; `description` is Markdown."""

    name: str
    description: str


@dataclass(frozen=True)
class Record:
    """One job as it was tracked. `predictions` has columns user, item, rating, prediction."""

    run_id: str
    name: str
    model: str
    status: str
    reason: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    predictions: pd.DataFrame | None

    @property
    def finished(self) -> bool:
        return self.status == "FINISHED"

    @property
    def modified(self) -> bool:
        """Whether the code was not what its commit says."""
        return self.tags.get("code.modified") == "true"


class MLflowTracker:
    """Tracks into `uri` (default: MLFLOW_TRACKING_URI, else SQLite and files in `directory`)."""

    def __init__(self, uri: str | None = None, directory: str = "results") -> None:
        self.directory = Path(directory).resolve()
        self.database = self.directory / "mlflow.db"
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.database}"

    @cached_property
    def _client(self) -> MlflowClient:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        if not self.uri.startswith("sqlite:"):
            try:
                client = MlflowClient(self.uri)
                client.search_experiments(max_results=1)
            except (MlflowException, OSError) as error:
                raise UserError(f"MLflow store {self.uri} does not answer: {_first_line(error)}") from error
            return client
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / ".mlflow.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            client = MlflowClient(self.uri)
            client.search_experiments(max_results=1)
            with sqlite3.connect(self.uri.removeprefix("sqlite:///")) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        return client

    def experiment_id(self, experiment: Experiment) -> str:
        """Id of the experiment of that name, made if there is none."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(experiment.name)
        if found is not None:
            return found.experiment_id
        local = self.uri.startswith("sqlite:")
        location = (self.directory / "mlartifacts" / experiment.name).as_uri() if local else None
        try:
            return self._client.create_experiment(
                experiment.name,
                location,
                tags={
                    "mlflow.note.content": experiment.description,
                    f"mlflow.sharedViewState.{VIEW}": _view(),
                },
            )
        except MlflowException:
            # Two sweeps may start at once: the other one has made it in between.
            return self._client.get_experiment_by_name(experiment.name).experiment_id

    def pages(self) -> dict[str, str]:
        """Of each experiment, the dashboard's page with the runs in order of their validation error."""
        return {
            e.name: f"#/experiments/{e.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
            for e in self._client.search_experiments()
            if f"mlflow.sharedViewState.{VIEW}" in e.tags
        }

    def begin_sweep(self, experiment: Experiment, sweep: str, name: str, description: str) -> str:
        """Run id of the sweep's parent run: the one there is, or a new one."""
        experiment_id = self.experiment_id(experiment)
        found = self._search(experiment_id, f"tags.role = 'sweep' and tags.sweep = '{sweep}'")
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        tags = {"role": "sweep", "sweep": sweep, "mlflow.note.content": description}
        return self._client.create_run(experiment_id, tags=tags, run_name=name).info.run_id

    def log_sweep(self, run_id: str, metrics: Mapping[str, float], files: list[Path]) -> None:
        """Gives the parent run its best job's `metrics` (curves are the children's) and the report's `files`."""
        for path in files:
            self._client.log_artifact(run_id, str(path))
        self._log_metrics(run_id, {n: v for n, v in metrics.items() if not n.startswith("curve/")}, {})

    def end(self, run_id: str, status: str) -> None:
        """Closes a run as FINISHED, FAILED or KILLED."""
        self._client.set_terminated(run_id, status)

    def find(self, experiment: Experiment, digest: str) -> str | None:
        """Run id of a finished job with this digest."""
        found = self._search(
            self.experiment_id(experiment), f"tags.digest = '{digest}' and attributes.status = 'FINISHED'"
        )
        return found[0].info.run_id if found else None

    def join(self, run_id: str, sweep: str) -> None:
        """Makes a finished job a part of a further sweep."""
        self._client.set_tag(run_id, f"sweep.{sweep}", "true")

    def metrics(self, run_id: str) -> dict[str, float]:
        return dict(self._client.get_run(run_id).data.metrics)

    @contextmanager
    def job(
        self, experiment: Experiment, job: Job, name: str, sweep: str | None, parent: str | None
    ) -> Iterator[str]:
        """Tracks the body as a run and yields its id: FINISHED when the body ends, FAILED with the
        reason when it raises, KILLED when it is stopped."""
        tags = {
            "digest": job.digest,
            "seed": str(job.config.get("seed")),
            **job.names,
            **{f"code.{key}": value for key, value in code_version().items()},
            **{f"env.{key}": value for key, value in environment().items()},
            "threads": str(job.threads),
            "simulated": str(job.dataset.simulated).lower(),
            **({"mlflow.parentRunId": parent} if parent else {}),
            **({f"sweep.{sweep}": "true"} if sweep else {}),
        }
        run = self._client.create_run(self.experiment_id(experiment), tags=tags, run_name=name)
        run_id = run.info.run_id
        try:
            self._log_inputs(run_id, job)
            yield run_id
        except BaseException as error:
            self._client.set_tag(run_id, "reason", _first_line(error))
            self._client.log_text(run_id, traceback.format_exc(), "traceback.txt")
            self.end(run_id, "KILLED" if isinstance(error, STOPPED) else "FAILED")
            raise
        self.end(run_id, "FINISHED")

    def log_result(self, run_id: str, job: Job, result: Result) -> None:
        """Metrics, learning curves as steps, test predictions, and a plot of the curves."""
        self._log_metrics(run_id, result.metrics, result.curves)
        ratings = job.dataset.ratings.iloc[result.rows][["user", "item", "rating"]]
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder)
            ratings.assign(prediction=result.prediction).to_csv(files / "predictions.csv", index_label="row")
            if result.curves:
                learning_curve(result.curves, files / "learning_curve.png")
            self._client.log_artifacts(run_id, folder)

    def records(self, experiment: Experiment, sweep: str, *, with_predictions: bool = False) -> list[Record]:
        """Every job of a sweep, newest attempt only, ordered by name."""
        runs = self._search(self.experiment_id(experiment), f"tags.`sweep.{sweep}` = 'true'")
        newest = {}
        for run in runs:
            newest.setdefault(run.data.tags["digest"], run)
        records = [self._record(run, with_predictions) for run in newest.values()]
        return sorted(records, key=lambda record: record.name)

    def _record(self, run: Run, with_predictions: bool) -> Record:
        predictions = None
        if with_predictions and run.info.status == "FINISHED":
            with tempfile.TemporaryDirectory() as folder:
                path = self._client.download_artifacts(run.info.run_id, "predictions.csv", folder)
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

    def _search(self, experiment_id: str, query: str) -> list[Run]:
        """Every run that matches, newest first."""
        found, token = [], None
        while token is not None or not found:
            page = self._client.search_runs(
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

    def _log_inputs(self, run_id: str, job: Job) -> None:
        from mlflow.entities import Dataset as MLflowDataset
        from mlflow.entities import DatasetInput, InputTag, Param

        params = [Param(key, str(value)) for key, value in flatten(job.config).items()]
        self._client.log_batch(run_id, params=params)
        self._client.log_text(run_id, yaml.safe_dump(job.config, sort_keys=False), "config.yaml")
        data: Dataset = job.dataset
        entity = MLflowDataset(
            name=data.name + (" (simulated)" if data.simulated else ""),
            digest=data.digest[:16],
            source_type="local",
            source=json.dumps({"uri": data.source}),
            profile=json.dumps(
                {"ratings": len(data.ratings), "sha256": data.digest, "scale": list(data.scale)}
            ),
        )
        context = InputTag("mlflow.data.context", job.names["split"])
        self._client.log_inputs(run_id, [DatasetInput(entity, [context])])

    def _log_metrics(
        self, run_id: str, metrics: Mapping[str, float], curves: Mapping[str, np.ndarray]
    ) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        entities = [Metric(name, float(value), now, 0) for name, value in metrics.items()]
        for name, values in curves.items():
            steps = np.unique(np.linspace(0, len(values) - 1, MAX_CURVE_POINTS).round().astype(int))
            entities += [Metric(f"curve/{name}", float(values[s]), now, int(s) + 1) for s in steps]
        for start in range(0, len(entities), 1000):
            self._client.log_batch(run_id, metrics=entities[start : start + 1000])


def flatten(config: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """`{"model": {"k": 8}}` as `{"model.k": 8}`."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _view() -> str:
    """A saved view of the runs table, in the form in which MLflow's pages keep one in a tag."""
    state = {
        "searchFilter": "",
        "orderByKey": VIEW_COLUMNS[0],
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "columnOrder": [],
        "columnWidths": {},
        "selectedColumns": list(VIEW_COLUMNS),
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    now = int(1000 * time.time())
    return json.dumps({"name": VIEW, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:400]
