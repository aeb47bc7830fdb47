"""A sweep and its jobs, written into MLflow, and what killed sweeps have left cleared up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import first_line
from bench.files import make_folder, remove_folder, sync, sync_tree
from bench.identity import code_changes, code_version
from bench.locks import locked
from bench.tracking.entities import (
    data_input,
    experiment_tags,
    log,
    run_description,
    source_tags,
    sweep_description,
    sweep_params,
)
from bench.tracking.local_store import create_database, move_artifacts
from bench.tracking.run_reader import ARTIFACTS, COMMAND, CURVE, RunReader
from bench.tracking.run_record import Entry, Experiment, Record, Sweep
from bench.tracking.store_address import redacted

if TYPE_CHECKING:
    from mlflow.entities import Run

UPLOADING = ".artifact.uploading.*"
"""What MLflow leaves of a file whose writer is killed, on this disk."""


class UnsentError(Exception):
    """Results wait in the outbox; the message says why, without passwords."""


class MLflowTracker(RunReader):
    """Writes what `RunReader` reads.

    What was deleted in MLflow stays deleted. The job of a deleted run is computed anew when it is
    asked for again; a deleted experiment is refused until it is restored or removed for good.
    """

    def __init__(self, uri: str | None = None, directory: str = "results") -> None:
        super().__init__(uri, directory)
        self._experiment_ids: dict[str, str] = {}
        self.parents: dict[str, str] = {}
        """Run ids of sweeps, by sweep id, as far as they have been looked up."""

    def _make_ready(self) -> None:
        make_folder(self.directory)
        if self.local:
            with self._writing():
                if self.empty:
                    create_database(self.database)
                else:
                    move_artifacts(self.database, self.directory / ARTIFACTS)

    def _writing(self) -> AbstractContextManager[bool]:
        """Keep other processes on this disk from writing in this way for the body."""
        return locked(self.directory / ".mlflow.lock")

    # -- before a sweep ---------------------------------------------------------------------------

    def prepare(self, experiment: Experiment) -> Callable[[str], Record | None]:
        """Check the store before a sweep.

        Return what finds, by its digest, a job in the store that need not be run again. UserError
        if the local database is damaged, the server is away, or the experiment was deleted.
        """
        self.check()
        records = [] if self.empty else self.records(experiment)
        stored = {record.digest: record for record in records if record.settled}
        return lambda digest: self.with_curve(stored[digest]) if digest in stored else None

    def settled(self, experiment: Experiment, digest: str) -> Record | None:
        """Return a job that need not be run again, as it waits or as the store has it by now."""
        waits = self.queue.settled(experiment, digest)
        if waits is not None or self.empty:
            return waits
        try:
            stored = self.tagged("digest", digest, experiment.name)
        except Exception:  # a server that is away, about which its own caller will say more
            return None
        return next((self.with_curve(record) for record in stored if record.settled), None)

    def with_curve(self, record: Record) -> Record:
        """Return a record of the store with the curve that searches go by, if it has one."""
        name = record.task.validation_curve
        if CURVE + name not in record.metrics:
            return record
        return replace(record, curves={name: self._history(record.run_id, CURVE + name)})

    def close_abandoned(self) -> None:
        """End the sweeps whose process was killed on this disk, and remove what it left."""
        ended = self.queue.ended()
        if ended and not self.empty:
            ids = [e.id for e in self.experiments().values() if e.stage == "active"]
            for run in self.search(ids, "tags.role = 'sweep' and attributes.status = 'RUNNING'"):
                if run.data.tags.get("owner") in ended:
                    self.end(run.info.run_id, "KILLED")
        self.queue.clear(ended)

    def closed(self, experiment: Experiment, sweep: Sweep) -> bool:
        """Whether a sweep has ended and been reported: what is KILLED has not."""
        if self.empty:
            return False
        parents = self.tagged("sweep", sweep.id, experiment.name)
        return any(parent.status in ("FINISHED", "FAILED") for parent in parents)

    # -- experiments and sweeps -------------------------------------------------------------------

    def _id_of(self, experiment: Experiment) -> str:
        """Return the id of an experiment, which is made, or described anew, at the first call."""
        from mlflow.exceptions import MlflowException

        name, client = experiment.name, self.client  # which makes a new store ready
        if name not in self._experiment_ids:
            experiment_id = self.experiment_id(name)
            if experiment_id is None:
                location = (self.directory / ARTIFACTS / name).as_uri() if self.local else None
                try:
                    experiment_id = client.create_experiment(name, location)
                except MlflowException:  # another sweep may have made it in between
                    experiment_id = self.experiment_id(name)
                    if experiment_id is None:
                        raise
            with self._writing():
                for key, value in experiment_tags(experiment).items():
                    client.set_experiment_tag(experiment_id, key, value)
            self._experiment_ids[name] = experiment_id
        return self._experiment_ids[name]

    def begin_sweep(self, experiment: Experiment, sweep: Sweep) -> str:
        """Return the run id of the sweep's parent run: the one there is, or a new one."""
        experiment_id, words = self._id_of(experiment), sweep.description
        with self._writing():
            query = f"tags.role = 'sweep' and tags.sweep = '{sweep.id}'"
            existing = self.search([experiment_id], query)
            if existing:
                run = min(existing, key=lambda run: run.info.start_time)
                self.client.update_run(run.info.run_id, status="RUNNING")
                self.client.set_tag(run.info.run_id, "owner", sweep.owner)
            else:
                tags = {
                    "role": "sweep",
                    "sweep": sweep.id,
                    "owner": sweep.owner,
                    COMMAND: words,
                    "mlflow.note.content": sweep_description(experiment_id, sweep.id, words),
                    **source_tags(code_version().get("commit")),
                }
                run = self.client.create_run(experiment_id, tags=tags, run_name=sweep.name)
            run_id: str = run.info.run_id
            log(self.client, run_id, params=sweep_params(words))
            changes = code_changes()
            if changes:  # written again: the process that made the run may have been killed here
                self.client.log_text(run_id, redacted(changes), "code.diff")
            self.parents[sweep.id] = run_id
            return run_id

    def log_sweep(
        self, run_id: str, metrics: Mapping[str, float], files: list[Path], best: str | None = None
    ) -> None:
        """Log to the parent run `metrics` and data of the `best` job, and the report's `files`.

        The metrics are named `best/...`, so that a sweep does not rank among its own runs. Those
        that are logged again, after a kill, are the same to MLflow: they bear the run's own time.
        """
        run = self.client.get_run(run_id)
        info, tags = run.info, run.data.tags
        with self._writing():  # another sweep of the same jobs may end at the same moment
            if best is not None:
                inputs = self.client.get_run(best).inputs
                self.client.log_inputs(run_id, inputs.dataset_inputs if inputs else [])
                self.client.set_tag(run_id, "best", best)
            kept = self.artifact_folder(info.artifact_uri)
            for leftover in kept.glob(UPLOADING) if kept is not None else ():
                leftover.unlink()
            for path in files:
                self.client.log_artifact(run_id, str(path))
            named = {f"best/{n}": v for n, v in metrics.items() if not n.startswith(CURVE)}
            log(self.client, run_id, metrics=named, time=info.start_time)
            report = f"{run_id}/{files[0].name}" if files else None
            note = sweep_description(info.experiment_id, tags["sweep"], tags[COMMAND], best, report)
            self.client.set_tag(run_id, "mlflow.note.content", note)

    def join(self, record: Record, sweep: Sweep) -> Record:
        """Make a settled job a part of a further sweep, unless its run was deleted since."""
        with self._writing():
            if self.client.get_run(record.run_id).info.lifecycle_stage == "active":
                self.client.set_tag(record.run_id, sweep.tag, "true")
        return replace(record, tags=record.tags | {sweep.tag: "true"})

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
        experiment_id = self._id_of(experiment)
        run = self.client.create_run(experiment_id, tags=dict(tags), run_name=name)
        log(self.client, run.info.run_id, metrics=metrics, time=run.info.start_time)
        self.end(run.info.run_id, status)

    # -- results that wait ------------------------------------------------------------------------

    def send_waiting(self, owner: str | None = None) -> Iterator[Record]:
        """Send what waits in the outbox, of one owner or of those that ended; yield each record.

        What could not be sent waits on, holds up no other, and is an `UnsentError` in the end.
        """
        refused = []
        for path, entry in self.queue.waiting():
            of = entry.sweep.owner
            if of != owner if owner is not None else self.queue.lives(of):
                continue
            try:
                record = self.send(path, entry)
            except Exception as error:
                refused.append(redacted(f"{path.name}: {first_line(error)}"))
                if not self.answers():
                    break
            else:
                if record is not None:
                    yield record
        if refused:
            raise UnsentError("; ".join(refused[:3]))

    def send(self, path: Path, entry: Entry) -> Record | None:
        """Make a run of an entry, once; None where another process sends it or has sent it."""
        with self.queue.sending(path) as before:
            if before is None:
                return None
            run_id = self._sent_before(entry) if before else None
            if run_id is None:
                run_id = self._create(path, entry)
            remove_folder(path)
        tags = entry.record.tags | {entry.sweep.tag: "true"}
        return replace(entry.record, run_id=run_id, tags=tags)

    def _create(self, path: Path, entry: Entry) -> str:
        record = entry.record
        experiment_id = self._id_of(entry.experiment)
        run = self.client.create_run(
            experiment_id,
            start_time=record.began,
            tags=self._tags(entry, experiment_id),
            run_name=record.name,
        )
        run_id: str = run.info.run_id
        try:
            log(self.client, run_id, record.params, record.metrics, record.curves, record.ended)
            if entry.data:
                self.client.log_inputs(run_id, [data_input(entry.data)])
            self.client.log_artifacts(run_id, str(path / "files"))
            self._sync_artifacts(run)  # the copies in the outbox are about to go
            status = "KILLED" if record.status == "PRUNED" else record.status
            self.client.set_terminated(run_id, status, record.ended)
        except Exception:
            self._discard(run_id)
            raise
        return run_id

    def _sync_artifacts(self, run: Run) -> None:
        """Wait until a run's files have reached this disk, if that is where they are."""
        folder = self.artifact_folder(run.info.artifact_uri)
        if folder is not None and folder.exists():
            sync_tree(folder)
            for parent in folder.parents:
                sync(parent)
                if parent == self.directory:
                    break

    def _tags(self, entry: Entry, experiment_id: str) -> dict[str, str]:
        """Return the tags of a job, and those of its attempt, sweep and owner."""
        record, sweep = entry.record, entry.sweep
        tags = source_tags(record.tags.get("code.commit")) | record.tags
        tags |= {"attempt": entry.attempt, sweep.tag: "true", "owner": sweep.owner}
        if record.status == "PRUNED":
            tags["pruned"] = "true"
        if sweep.name:
            parent = self.parents.get(sweep.id) or self.begin_sweep(entry.experiment, sweep)
            tags["mlflow.parentRunId"] = parent
        note = run_description(record, experiment_id, tags.get("mlflow.parentRunId"))
        return tags | {"mlflow.note.content": note}

    def _sent_before(self, entry: Entry) -> str | None:
        """Return the run id of an entry that was sent complete; delete incomplete copies of it."""
        complete: str | None = None
        ids = [self._id_of(entry.experiment)]
        for run in self.search(ids, f"tags.attempt = '{entry.attempt}'"):
            if run.info.status == "RUNNING":
                self._discard(run.info.run_id)
            else:
                complete = run.info.run_id
        return complete

    def _discard(self, run_id: str) -> None:
        """Delete an incomplete copy of an entry that is to be sent again."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):  # a server that went away; the next attempt deletes it
            self.client.delete_run(run_id)
