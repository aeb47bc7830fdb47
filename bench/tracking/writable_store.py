"""The store as it is written to: made ready, described, and cleared of what others left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.files import make_folder
from bench.tracking.entities import experiment_tags
from bench.tracking.lease import locked
from bench.tracking.local_store import create_database, local_runs, move_artifacts
from bench.tracking.run_reader import RunReader
from bench.tracking.run_record import CUT_OFF, Experiment
from bench.tracking.store import ARTIFACTS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SIGN_OF_LIFE = "alive_at"
"""Tag of a run that is being written: ms since 1970 at which its writer last wrote."""
SILENCE_SECONDS = 86_400.0
"""After so long without one, the writer of a run on another disk is taken to have ended."""
SIGN_SECONDS = 600.0
"""Between two signs of life of a sweep that sends results."""


class WritableStore(RunReader):
    """A store whose runs are read and closed, and whose experiments are made."""

    def __init__(self, uri: str | None = None, directory: str = "results") -> None:
        super().__init__(uri, directory)
        self._experiment_ids: dict[str, str] = {}
        self._signed_at: dict[str, float] = {}

    @property
    def owner(self) -> str:
        """The name of this process as the owner of what it writes (`ResultQueue.owner`)."""
        return self.queue.owner

    def answers(self) -> bool:
        """Whether the store can be reached."""
        try:
            self.client.search_experiments(max_results=1)
        except Exception:
            return False
        return True

    def end(self, run_id: str, status: str) -> None:
        """Close a run as FINISHED, FAILED or KILLED."""
        with self._writing():
            self.client.set_terminated(run_id, status)

    def log_run(
        self,
        experiment: Experiment,
        name: str,
        status: str,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
    ) -> None:
        """Log a run that belongs to no sweep, complete."""
        self.describe(experiment)
        run = self.client.create_run(
            self._experiment_id(experiment), tags=dict(tags), run_name=name
        )
        for metric, value in metrics.items():
            self.client.log_metric(run.info.run_id, metric, value)
        self.end(run.info.run_id, status)

    # -- what others left -------------------------------------------------------------------------

    def prepare(self, experiment: Experiment) -> None:
        """Check the store before a sweep, and forget the jobs whose runs were deleted in it.

        Raises
        ------
        UserError
            If the local database is damaged, or the experiment was deleted.
        """
        self.queue.clean()
        self.check()
        remembered = self.queue.remembered(experiment)
        if not (remembered or self.local):
            return
        there = self._run_ids(experiment.name)
        if there is not None:
            for digest, run_id in remembered.items():
                if run_id not in there:
                    self.queue.forget(experiment, digest)

    def _run_ids(self, experiment: str) -> set[str] | None:
        """Return the runs of an experiment that are not deleted; None if its server is away."""
        if self.empty:
            return set()
        if self.local:
            stage, run_ids = local_runs(self.database, experiment)
            self.refuse_deleted(experiment, stage)
            return run_ids
        if not self.answers():
            return None
        experiment_id = self.experiment_id(experiment)
        ids = [] if experiment_id is None else [experiment_id]
        return {run.info.run_id for run in self.search(ids, "tags.digest != ''")}

    def reconcile(self) -> None:
        """Close the runs whose writers have ended."""
        ids = [e.experiment_id for e in self.client.search_experiments()]
        for run in self.search(ids, "attributes.status = 'RUNNING'"):
            if self._abandoned(run):
                self.client.set_tag(run.info.run_id, CUT_OFF, "true")
                self.client.set_tag(run.info.run_id, "reason", "its process was killed")
                self.end(run.info.run_id, "KILLED")

    def _abandoned(self, run: Run) -> bool:
        """Whether a run that is being written has no writer any more.

        An owner on this disk has a lease. Of one elsewhere the last sign of life counts; a sweep
        that is closed too early is merely shown so until it goes on or ends.
        """
        tags = run.data.tags
        if "owner" not in tags:
            return False  # not of this program
        if self.queue.leases.here(tags["owner"]):
            return not self.queue.leases.held(tags["owner"])
        last = max(float(tags.get(SIGN_OF_LIFE, 0)), run.info.start_time or 0)
        return float(now_ms()) - last > 1000 * SILENCE_SECONDS

    def sign(self, run_id: str) -> None:
        """Give a sign of life, unless there was one lately."""
        now = time.monotonic()
        if now - self._signed_at.get(run_id, -SIGN_SECONDS) >= SIGN_SECONDS:
            self.client.set_tag(run_id, SIGN_OF_LIFE, now_ms())
            self._signed_at[run_id] = now

    # -- the store --------------------------------------------------------------------------------

    def describe(self, experiment: Experiment) -> None:
        """Renew an experiment's description, the report's question and the saved view."""
        experiment_id = self._experiment_id(experiment)
        with self._writing():
            for key, value in experiment_tags(experiment).items():
                self.client.set_experiment_tag(experiment_id, key, value)

    def _experiment_id(self, experiment: Experiment) -> str:
        """Return the id of an experiment, which is made if there is none of its name."""
        from mlflow.exceptions import MlflowException

        name = experiment.name
        if name not in self._experiment_ids:
            experiment_id = self.experiment_id(name)
            if experiment_id is None:
                location = (self.directory / ARTIFACTS / name).as_uri() if self.local else None
                tags = experiment_tags(experiment)
                try:
                    experiment_id = self.client.create_experiment(name, location, tags=tags)
                except MlflowException:
                    # Two sweeps may start at once: the other one has made it in between.
                    experiment_id = self.experiment_id(name)
                    if experiment_id is None:
                        raise
            self._experiment_ids[name] = experiment_id
        return self._experiment_ids[name]

    @contextmanager
    def _writing(self) -> Iterator[MlflowClient]:
        """Yield the client, which no other process on this disk uses in this way meanwhile."""
        client = self.client
        with locked(self.directory / ".mlflow.lock"):
            yield client

    def _make_ready(self) -> None:
        make_folder(self.directory)
        if self.local:
            with locked(self.directory / ".mlflow.lock"):
                if self.empty:
                    create_database(self.database)
                else:
                    move_artifacts(self.database, self.directory / ARTIFACTS)


def now_ms() -> str:
    """Return the ms since 1970, as a tag."""
    return str(int(1000 * time.time()))
