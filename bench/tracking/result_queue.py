"""What jobs leave on disk before MLflow has it, so that neither a kill nor an absent server loses any.

    results/outbox/DIGEST.ATTEMPT/         a job that ended, whole or not there: entry.json and files/
    results/jobs/EXPERIMENT/DIGEST.json    a finished job, once MLflow has it
    results/jobs/EXPERIMENT/DIGEST.lock    held by the process that runs the job, and gone with it
    results/jobs/EXPERIMENT/ID.sweep       what became of a sweep, and whose it is

Nothing here knows MLflow, so that what is finished can be seen without its import.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.files import write_text
from bench.processes import may_be_alive
from bench.tracking.queue_entry import Entry
from bench.tracking.run_record import Experiment, Sweep

Files = Callable[[Path], None]
"""Writes a job's files into a folder."""


class ResultQueue:
    """The jobs below `directory` that belong to the store `uri`."""

    def __init__(self, directory: Path, uri: str) -> None:
        self.outbox, self.jobs = directory / "outbox", directory / "jobs"
        self.uri = uri

    def put(self, entry: Entry, files: Files) -> None:
        """Into the outbox, written aside first."""
        aside = self.outbox / f".{entry.attempt}"
        aside.mkdir(parents=True)
        (aside / "files").mkdir()
        files(aside / "files")
        (aside / "entry.json").write_text(entry.to_json(), "utf-8")
        aside.rename(self.outbox / f"{entry.record.digest}.{entry.attempt}")

    def waiting(self) -> Iterator[tuple[Path, Entry]]:
        """Folders and entries of the outbox, for this store."""
        for path in sorted(self.outbox.glob("[!.]*")):
            entry = Entry.read(path / "entry.json")
            if entry is not None and entry.uri == self.uri:
                yield path, entry

    def filed(self, path: Path, entry: Entry) -> None:
        """MLflow has it: out of the outbox; a job that need not be run again stays known."""
        if entry.record.settled:
            self.remember(entry)
        shutil.rmtree(path)

    def remember(self, entry: Entry) -> None:
        write_text(self._job(entry.experiment, entry.record.digest, "json"), entry.to_json())

    def settled(self, experiment: Experiment, digest: str) -> Entry | None:
        """A job with that digest which need not be run again, whether MLflow has it or not yet."""
        for path in self.outbox.glob(f"{digest}.*"):
            entry = Entry.read(path / "entry.json")
            if entry is not None and entry.record.settled and self._same(entry, experiment):
                return entry
        entry = Entry.read(self._job(experiment, digest, "json"))
        return entry if entry is not None and self._same(entry, experiment) else None

    def forget(self) -> None:
        """The store is gone, and with it what it had."""
        for path in self.jobs.glob("*/*.json"):
            path.unlink(missing_ok=True)

    def note(self, experiment: Experiment, sweep: Sweep, status: str) -> None:
        """What became of a sweep, or RUNNING before MLflow is told of it."""
        state = {"status": status, "owner": sweep.owner, "uri": self.uri}
        write_text(self._job(experiment, sweep.id, "sweep"), json.dumps(state))

    def closed(self, experiment: Experiment, sweep: Sweep) -> bool:
        """Whether MLflow was told of this sweep's end."""
        try:
            state = json.loads(self._job(experiment, sweep.id, "sweep").read_text("utf-8"))
        except FileNotFoundError:
            return False
        return state["status"] != "RUNNING" and state["uri"] == self.uri

    def knows(self, experiment: Experiment) -> bool:
        """Whether any job of this experiment is known here."""
        return any((self.jobs / experiment.name).glob("*.json"))

    def all_closed(self) -> bool:
        """Whether every sweep into this store has an end, or a process that works on it."""
        return not any(True for _ in self._stale())

    def close_stale(self) -> None:
        """Sweeps whose process is no more have ended."""
        for path, state in self._stale():
            write_text(path, json.dumps(state | {"status": "KILLED"}))

    def _stale(self) -> Iterator[tuple[Path, dict[str, str]]]:
        for path in self.jobs.glob("*/*.sweep"):
            state = json.loads(path.read_text("utf-8"))
            if (
                state["uri"] == self.uri
                and state["status"] == "RUNNING"
                and not may_be_alive(state["owner"])
            ):
                yield path, state

    @contextmanager
    def claimed(self, experiment: Experiment, digest: str) -> Iterator[None]:
        """Waits until no other process runs this job, and keeps others from it."""
        path = self._job(experiment, digest, "lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            lock = path.open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is(path, lock.fileno()):
                break
            lock.close()  # whoever held it has removed it since
        with lock:
            yield
            path.unlink(missing_ok=True)

    def running(self, experiment: Experiment, digest: str) -> bool | None:
        """Whether the job is running, was cut off (False), or neither (None)."""
        try:
            with self._job(experiment, digest, "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return True
        return False

    def _job(self, experiment: Experiment, digest: str, kind: str) -> Path:
        return self.jobs / experiment.name / f"{digest}.{kind}"

    def _same(self, entry: Entry, experiment: Experiment) -> bool:
        return entry.uri == self.uri and entry.experiment.name == experiment.name


def _is(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
