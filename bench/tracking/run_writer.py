"""A sweep and its jobs, written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench.processes import may_be_alive
from bench.tracking.queue_entry import Entry
from bench.tracking.run_reader import RunReader
from bench.tracking.run_record import Experiment, Record, Sweep

SENDING = "sending"
"""File in a folder of the outbox: MLflow may have some of it, or all."""
CUT_OFF = "cut_off"
"""Tag of a run that was not written to its end."""
UNKNOWN = "? 0 -"
"""Owner of a run that names none: on a host of its own, so that it is left alone."""


class MLflowTracker(RunReader):
    """Writes what `RunReader` reads."""

    def begin_sweep(self, experiment: Experiment, sweep: Sweep) -> str:
        """Run id of the sweep's parent run: the one there is, or a new one."""
        experiment_id = self.experiment_id(experiment)
        self.describe(experiment)
        with self.locked():
            found = self.search(experiment_id, f"tags.role = 'sweep' and tags.sweep = '{sweep.id}'")
            if found:
                run_id = found[0].info.run_id
                self.client.update_run(run_id, status="RUNNING")
                self.client.set_tag(run_id, "owner", sweep.owner)
                return run_id
            tags = {
                "role": "sweep",
                "sweep": sweep.id,
                "owner": sweep.owner,
                "mlflow.note.content": sweep.description,
            }
            return self.client.create_run(experiment_id, tags=tags, run_name=sweep.name).info.run_id

    def log_sweep(
        self, run_id: str, metrics: Mapping[str, float], files: list[Path], best: str | None = None
    ) -> None:
        """Gives the parent run its `best` job's `metrics` (curves are the children's) and data set, and the
        report's `files`."""
        if best is not None:
            self.client.log_inputs(run_id, self.client.get_run(best).inputs.dataset_inputs)
            self.client.set_tag(run_id, "best", best)
        for path in files:
            self.client.log_artifact(run_id, str(path))
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        own = [Metric(n, v, now, 0) for n, v in metrics.items() if not n.startswith("curve/")]
        self.client.log_batch(run_id, metrics=own)

    def end(self, run_id: str, status: str) -> None:
        """Closes a run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(run_id, status)

    def join(self, entry: Entry, sweep: Sweep) -> None:
        """Makes a settled job a part of a further sweep."""
        tag = f"sweep.{sweep.id}"
        if tag not in entry.record.tags:
            self.client.set_tag(entry.record.run_id, tag, "true")
            record = replace(entry.record, tags=entry.record.tags | {tag: "true"})
            self.queue.remember(replace(entry, record=record))

    def send_waiting(self, parents: dict[str, str], owner: str | None = None) -> Iterator[Record]:
        """Sends what waits in the outbox, of one `owner` or of all owners that are no more.

        `parents` are run ids of sweeps by sweep id, to which those that are looked up are added. An entry
        that cannot be sent raises, and waits on.
        """
        for path, entry in self.queue.waiting():
            of = entry.sweep.owner
            if of == owner or (owner is None and not may_be_alive(of)):
                yield self.send(path, entry, parents)

    def send(self, path: Path, entry: Entry, parents: dict[str, str]) -> Record:
        """Makes a run of an entry, once: what was cut off before is looked for first."""
        run_id = self._sent_before(entry) if (path / SENDING).exists() else None
        if run_id is None:
            (path / SENDING).touch()
            run_id = self._create(path, entry, parents)
        tags = entry.record.tags | {f"sweep.{entry.sweep.id}": "true"}
        record = replace(entry.record, run_id=run_id, tags=tags)
        self.queue.filed(path, replace(entry, record=record))
        return record

    def _create(self, path: Path, entry: Entry, parents: dict[str, str]) -> str:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        record, sweep = entry.record, entry.sweep
        tags = {
            **record.tags,
            "attempt": entry.attempt,
            f"sweep.{sweep.id}": "true",
            "owner": sweep.owner,
        }
        if sweep.name:
            if sweep.id not in parents:
                parents[sweep.id] = self.begin_sweep(entry.experiment, sweep)
            tags["mlflow.parentRunId"] = parents[sweep.id]
        if record.status == "PRUNED":
            tags["pruned"] = "true"
        run = self.client.create_run(
            self.experiment_id(entry.experiment),
            start_time=entry.began,
            tags=tags,
            run_name=record.name,
        )
        run_id = run.info.run_id
        metrics = [Metric(name, value, entry.ended, 0) for name, value in record.metrics.items()]
        for name, curve in record.curves.items():
            metrics += [Metric(f"curve/{name}", v, entry.ended, step) for step, v in curve.items()]
        params = [Param(key, value) for key, value in record.params.items()]
        self.client.log_batch(run_id, metrics=metrics, params=params)
        if entry.data:
            about = dict(entry.data)
            context = InputTag("mlflow.data.context", about.pop("context"))
            self.client.log_inputs(
                run_id, [DatasetInput(Dataset(source_type="local", **about), [context])]
            )
        self.client.log_artifacts(run_id, str(path / "files"))
        status = "KILLED" if record.status == "PRUNED" else record.status
        self.client.set_terminated(run_id, status, entry.ended)
        return run_id

    def _sent_before(self, entry: Entry) -> str | None:
        """Run id of an entry that was sent whole; a run that was not is closed."""
        for run in self.search(
            self.experiment_id(entry.experiment), f"tags.attempt = '{entry.attempt}'"
        ):
            if run.info.status == "RUNNING":
                self._cut_off(run.info.run_id)
            elif CUT_OFF not in run.data.tags:
                return run.info.run_id
        return None

    def reconcile(self) -> None:
        """Runs of processes that are no more are no longer running."""
        for experiment in self.client.search_experiments():
            for run in self.search(experiment.experiment_id, "attributes.status = 'RUNNING'"):
                if not may_be_alive(run.data.tags.get("owner", UNKNOWN)):
                    self._cut_off(run.info.run_id)

    def _cut_off(self, run_id: str) -> None:
        self.client.set_tag(run_id, CUT_OFF, "true")
        self.client.set_tag(run_id, "reason", "its process was killed")
        self.end(run_id, "KILLED")
