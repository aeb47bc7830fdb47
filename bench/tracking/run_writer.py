"""A sweep and its jobs, written into MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import first_line
from bench.files import sync, sync_tree
from bench.identity import code_changes, code_version
from bench.tracking.entities import (
    data_of,
    metrics_of,
    params_of,
    run_description,
    source_tags,
    sweep_description,
    sweep_params,
    tags_of,
)
from bench.tracking.queue_entry import Entry
from bench.tracking.run_reader import COMMAND, CURVE
from bench.tracking.run_record import CUT_OFF, Experiment, Record, Sweep
from bench.tracking.store_address import redacted
from bench.tracking.writable_store import SIGN_OF_LIFE, WritableStore, now_ms

if TYPE_CHECKING:
    from mlflow.entities import Run

UPLOADING = ".artifact.uploading.*"
"""What MLflow leaves of a file whose writer is killed, on this disk."""


class UnsentError(Exception):
    """Results wait in the outbox; the message says why, without passwords."""


class MLflowTracker(WritableStore):
    """Writes what `RunReader` reads.

    What was deleted in MLflow stays deleted. The job of a deleted run is computed anew when it is
    asked for again; a deleted experiment is refused until it is restored or removed for good.
    """

    # -- a sweep ----------------------------------------------------------------------------------

    def begin_sweep(self, experiment: Experiment, sweep: Sweep) -> str:
        """Return the run id of the sweep's parent run: the one there is, or a new one."""
        self.describe(experiment)
        experiment_id = self._experiment_id(experiment)
        query = f"tags.role = 'sweep' and tags.sweep = '{sweep.id}'"
        with self._writing():
            existing = self.search([experiment_id], query)
            if existing:
                run_id: str = min(existing, key=lambda run: run.info.start_time).info.run_id
                self.client.update_run(run_id, status="RUNNING")
                self.client.set_tag(run_id, "owner", sweep.owner)
                self.sign(run_id)
            else:
                tags = {
                    "role": "sweep",
                    "sweep": sweep.id,
                    "owner": sweep.owner,
                    SIGN_OF_LIFE: now_ms(),
                    COMMAND: sweep.description,
                    "mlflow.note.content": sweep_description(
                        experiment_id, sweep.id, sweep.description
                    ),
                    **source_tags(code_version().get("commit")),
                }
                run = self.client.create_run(experiment_id, tags=tags, run_name=sweep.name)
                run_id = run.info.run_id
            self.client.log_batch(run_id, params=sweep_params(sweep.description))
            changes = code_changes()
            if changes:  # written again: the process that made the run may have been killed here
                self.client.log_text(run_id, redacted(changes), "code.diff")
            return run_id

    def log_sweep(
        self, run_id: str, metrics: Mapping[str, float], files: list[Path], best: str | None = None
    ) -> None:
        """Log to the parent run `metrics` and data of the `best` job, and the report's `files`.

        The metrics are named `best/...`, so that a sweep does not rank among its own runs. Those
        that are logged again, after a kill, are the same to MLflow: they bear the run's own time.
        """
        from mlflow.entities import Metric

        run = self.client.get_run(run_id)
        info, tags = run.info, run.data.tags
        named = {f"best/{n}": v for n, v in metrics.items() if not n.startswith(CURVE)}
        logged = [Metric(name, value, info.start_time, 0) for name, value in named.items()]
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
            self.client.log_batch(run_id, metrics=logged)
            if COMMAND in tags:
                report = f"{run_id}/{files[0].name}" if files else None
                note = sweep_description(
                    info.experiment_id, tags["sweep"], tags[COMMAND], best, report
                )
                self.client.set_tag(run_id, "mlflow.note.content", note)

    def join(self, entry: Entry, sweep: Sweep) -> None:
        """Make a settled job a part of a further sweep; forget it where its run was deleted."""
        tag = f"sweep.{sweep.id}"
        if tag in entry.record.tags:
            return
        with self._writing():
            run = self.client.get_run(entry.record.run_id)
            if run.info.lifecycle_stage == "deleted":
                self.queue.forget(entry.experiment, entry.record.digest)
                return
            self.client.set_tag(entry.record.run_id, tag, "true")
            record = replace(entry.record, tags=entry.record.tags | {tag: "true"})
            self.queue.remember(replace(entry, record=record))

    # -- results that wait ------------------------------------------------------------------------

    def send_waiting(self, parents: dict[str, str], owner: str | None = None) -> Iterator[Record]:
        """Send what waits in the outbox, and yield each record.

        Parameters
        ----------
        parents : dict
            Run ids of sweeps by sweep id; those that are looked up are added.
        owner : str, optional
            Whose results; by default those whose owner has ended.

        Raises
        ------
        UnsentError
            If there are entries that could not be sent. They wait on, and hold up no other.
        """
        refused = []
        for path, entry in self.queue.waiting():
            if owner is None and self.queue.leases.held(entry.sweep.owner):
                continue
            if owner in (None, entry.sweep.owner):
                try:
                    record = self.send(path, entry, parents)
                except Exception as error:
                    refused.append(redacted(f"{path.name}: {first_line(error)}"))
                    if not self.answers():
                        break
                else:
                    if record is not None:
                        yield record
        if refused:
            raise UnsentError("; ".join(refused[:3]))

    def send(self, path: Path, entry: Entry, parents: dict[str, str]) -> Record | None:
        """Make a run of an entry, once; None where another process sends it or has sent it."""
        with self.queue.sending(path) as before:
            if before is None:
                return None
            run_id = self._sent_before(entry) if before else None
            if run_id is None:
                run_id = self._create(path, entry, parents)
            tags = entry.record.tags | {f"sweep.{entry.sweep.id}": "true"}
            record = replace(entry.record, run_id=run_id, tags=tags)
            self.queue.remove_sent(path, replace(entry, record=record))
        return record

    def _create(self, path: Path, entry: Entry, parents: dict[str, str]) -> str:
        record, sweep = entry.record, entry.sweep
        run = self.client.create_run(
            self._experiment_id(entry.experiment),
            start_time=entry.began,
            tags=self._tags(entry, parents),
            run_name=record.name,
        )
        run_id: str = run.info.run_id
        try:
            self.client.log_batch(run_id, metrics=metrics_of(entry), params=params_of(entry))
            if entry.data:
                self.client.log_inputs(run_id, [data_of(entry)])
            self.client.log_artifacts(run_id, str(path / "files"))
            self._sync_artifacts(run)  # the copies in the outbox are about to go
            status = "KILLED" if record.status == "PRUNED" else record.status
            self.client.set_terminated(run_id, status, entry.ended)
        except Exception:
            self._discard(run_id)
            raise
        if sweep.id in parents:
            self.sign(parents[sweep.id])
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

    def _tags(self, entry: Entry, parents: dict[str, str]) -> dict[str, str]:
        sweep = entry.sweep
        tags = tags_of(entry) | {SIGN_OF_LIFE: now_ms()}
        if sweep.name:
            if sweep.id not in parents:
                parents[sweep.id] = self.begin_sweep(entry.experiment, sweep)
            tags["mlflow.parentRunId"] = parents[sweep.id]
        note = run_description(
            entry.record, self._experiment_id(entry.experiment), parents.get(sweep.id)
        )
        return tags | {"mlflow.note.content": note}

    def _sent_before(self, entry: Entry) -> str | None:
        """Return the run id of an entry that was sent complete; delete incomplete copies of it."""
        query = f"tags.attempt = '{entry.attempt}'"
        complete: str | None = None
        for run in self.search([self._experiment_id(entry.experiment)], query):
            if run.info.status == "RUNNING" or CUT_OFF in run.data.tags:
                self._discard(run.info.run_id)
            else:
                complete = run.info.run_id
        return complete

    def _discard(self, run_id: str) -> None:
        """Delete an incomplete copy of an entry that is to be sent again."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):  # a server that went away; the next attempt deletes it
            self.client.delete_run(run_id)
