"""What jobs leave on disk before MLflow has it: no kill and no absent server loses any of it.

    results/outbox/DIGEST.ATTEMPT/       a job that ended, complete: entry.json and files/
    results/jobs/EXPERIMENT/DIGEST.json  a finished job, once MLflow has it
    results/jobs/EXPERIMENT/DIGEST.lock  locked by the process that runs the job, and gone with it
    results/jobs/EXPERIMENT/ID.sweep     what became of a sweep, and whose it is
    results/leases/OWNER                 locked while that owner of sweeps lives
    results/damaged/                     files of these that could not be read

Nothing here imports MLflow, which takes seconds: what is finished can be seen without it. All of it
but the outbox is a cache of what MLflow has; a file that cannot be read is set aside.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from bench.files import PRIVATE, REMOVED, make_folder, publish, remove_folder, sync, write_text
from bench.tracking.lease import Lease, Leases, is_locked, locked, locked_if_free
from bench.tracking.queue_entry import DamagedFileError, Entry
from bench.tracking.run_record import Experiment, Sweep

WriteFiles = Callable[[Path], None]
"""Writes a job's files into a folder."""
SENDING = "sending"
"""File in a folder of the outbox, locked while it is sent: MLflow may have some of it, or all."""
LEFTOVER_SECONDS = 86_400.0
"""Age at which a file that was written aside is taken to be abandoned."""


class ResultQueue:
    """The jobs below `directory` that belong to one store, named as by `store_name`."""

    def __init__(self, directory: Path, store: str) -> None:
        self.directory = directory
        self.outbox, self.jobs = directory / "outbox", directory / "jobs"
        self.store = store
        self.leases = Leases(directory / "leases")

    @property
    def owner(self) -> str:
        """The name of this process as an owner of sweeps, which lives while this object does."""
        return self._lease.owner

    @cached_property
    def _lease(self) -> Lease:
        return self.leases.take()

    # -- the outbox -------------------------------------------------------------------------------

    def put(self, entry: Entry, write_files: WriteFiles) -> None:
        """Put a job that ended into the outbox, with its files."""
        make_folder(self.outbox)
        aside = self.outbox / f".{entry.attempt}.{entry.sweep.owner}"
        files = aside / "files"
        files.mkdir(parents=True)
        write_files(files)
        entry = replace(entry, store=self.store)
        write_text(aside / "entry.json", entry.to_json(), mode=PRIVATE)
        publish(aside, self.outbox / f"{entry.record.digest}.{entry.attempt}")

    def waiting(self) -> Iterator[tuple[Path, Entry]]:
        """Yield the folders and entries of the outbox that are for this store."""
        for path in sorted(self.outbox.glob("[!.]*")):
            entry = self._waiting_entry(path)
            if entry is not None and entry.store == self.store:
                yield path, entry

    @contextmanager
    def sending(self, path: Path) -> Iterator[bool | None]:
        """Keep others from sending an entry.

        Yields None if somebody else sends it or has sent it, else whether it was sent before, in
        whole or in part.
        """
        before = (path / SENDING).exists()
        with locked_if_free(path / SENDING) as free:
            mine = free and path.exists()
            if mine:
                sync(path)
            yield before if mine else None

    def remove_sent(self, path: Path, entry: Entry) -> None:
        """Remove an entry that MLflow has; a job that need not be run again is remembered."""
        if entry.record.settled:
            self.remember(entry)
        remove_folder(path)

    # -- finished jobs ----------------------------------------------------------------------------

    def remember(self, entry: Entry) -> None:
        """Remember a job that need not be run again."""
        path = self._job(entry.experiment, entry.record.digest, "json")
        write_text(path, replace(entry, store=self.store).to_json(), mode=PRIVATE)

    def settled(self, experiment: Experiment, digest: str) -> Entry | None:
        """Return a job with that digest which need not be run again, sent to MLflow or not yet."""
        for path in self.outbox.glob(f"{digest}.*"):
            entry = self._waiting_entry(path)
            if entry is not None and entry.record.settled and self._same(entry, experiment):
                return entry
        entry = self._read(self._job(experiment, digest, "json"))
        return entry if entry is not None and self._same(entry, experiment) else None

    def remembered(self, experiment: Experiment) -> dict[str, str]:
        """Return the MLflow run of each remembered job of an experiment, by the job's digest."""
        paths = (self.jobs / experiment.name).glob("[!.]*.json")
        entries = [entry for entry in map(self._read, paths) if entry is not None]
        return {e.record.digest: e.record.run_id for e in entries if e.store == self.store}

    def knows(self, experiment: Experiment) -> bool:
        """Whether any job of this experiment is remembered."""
        return any((self.jobs / experiment.name).glob("[!.]*.json"))

    def forget(self, experiment: Experiment, digest: str) -> None:
        """Forget a job, which is then computed anew when it is next asked for."""
        self._job(experiment, digest, "json").unlink(missing_ok=True)

    # -- sweeps -----------------------------------------------------------------------------------

    def note(self, experiment: Experiment, sweep: Sweep, status: str) -> None:
        """Write down what became of a sweep, or RUNNING before MLflow has its end."""
        state = {"status": status, "owner": sweep.owner, "store": self.store}
        write_text(self._job(experiment, sweep.id, "sweep"), json.dumps(state), mode=PRIVATE)

    def closed(self, experiment: Experiment, sweep: Sweep) -> bool:
        """Whether MLflow has the end of this sweep."""
        state = self._state(self._job(experiment, sweep.id, "sweep"))
        return state["status"] != "RUNNING" and state["store"] == self.store

    def all_closed(self) -> bool:
        """Whether every sweep into this store has an end, or a process that works on it."""
        return not any(True for _ in self._abandoned())

    def close_stale(self) -> None:
        """Mark sweeps whose owner has ended as KILLED."""
        for path, state in self._abandoned():
            write_text(path, json.dumps(state | {"status": "KILLED"}), mode=PRIVATE)

    def _abandoned(self) -> Iterator[tuple[Path, dict[str, str]]]:
        for path in self.jobs.glob("*/[!.]*.sweep"):
            state = self._state(path)
            running = state["store"] == self.store and state["status"] == "RUNNING"
            if running and not self.leases.held(state["owner"]):
                yield path, state

    # -- processes --------------------------------------------------------------------------------

    @contextmanager
    def claimed(self, experiment: Experiment, digest: str) -> Iterator[None]:
        """Wait until no other process runs this job, and keep others from it."""
        path = self._job(experiment, digest, "lock")
        make_folder(path.parent)
        with locked(path, remove=True):
            yield

    def running(self, experiment: Experiment, digest: str) -> bool | None:
        """Whether the job is running, was cut off (False), or neither (None)."""
        return is_locked(self._job(experiment, digest, "lock"))

    def clean(self) -> None:
        """Remove what processes that were killed have left half-written."""
        for folder in (self.outbox, self.directory / ".sweeps"):
            for path in folder.glob("*"):
                if self.leases.ended(path.name.rpartition(".")[2]) or _is_leftover(path):
                    _remove(path)
        for folder in (self.leases.folder, *self.jobs.glob("*")):
            for path in filter(_is_leftover, folder.glob(".*")):
                _remove(path)
        self.leases.remove_ended()

    # -- files ------------------------------------------------------------------------------------

    def _job(self, experiment: Experiment, digest: str, kind: str) -> Path:
        return self.jobs / experiment.name / f"{digest}.{kind}"

    def _same(self, entry: Entry, experiment: Experiment) -> bool:
        return entry.store == self.store and entry.experiment.name == experiment.name

    def _waiting_entry(self, path: Path) -> Entry | None:
        """Return the entry in a folder of the outbox; None where it has been sent meanwhile."""
        entry = self._read(path / "entry.json", of=path)
        if entry is None and path.exists():
            self._set_aside(path, "there is no entry.json in it")
        return entry

    def _read(self, path: Path, of: Path | None = None) -> Entry | None:
        try:
            return Entry.read(path)
        except DamagedFileError as error:
            self._set_aside(of or path, str(error))
            return None

    def _state(self, path: Path) -> dict[str, str]:
        nothing = {"status": "RUNNING", "owner": "", "store": ""}
        try:
            state = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return nothing
        except (OSError, ValueError) as error:
            self._set_aside(path, str(error))
            return nothing
        if not (isinstance(state, dict) and nothing.keys() <= state.keys()):
            self._set_aside(path, "it is not a sweep's state")
            return nothing
        return state

    def _set_aside(self, path: Path, reason: str) -> None:
        """Move what cannot be read out of the way, and say so."""
        folder = self.directory / "damaged"
        make_folder(folder)
        target = folder / f"{path.name}.{time.time_ns()}"
        try:
            path.rename(target)
        except FileNotFoundError:
            return
        print(
            f"bench: {path} is damaged ({reason[:80]}): it is set aside as {target}, and what was "
            "in it is computed again",
            file=sys.stderr,
        )


def _is_leftover(path: Path) -> bool:
    """Whether a file that is written aside, or a folder that is being removed, was left so."""
    if path.name.startswith(REMOVED):
        return True
    with suppress(OSError):
        age = time.time() - path.stat().st_mtime
        return path.name.startswith(".") and age > LEFTOVER_SECONDS
    return False


def _remove(path: Path) -> None:
    with suppress(OSError):  # another process was first
        if path.name.startswith(REMOVED):
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir():
            remove_folder(path)
        else:
            path.unlink()
