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
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import UserError, first_line
from bench.files import PRIVATE, REMOVED, make_folder, publish, remove_folder, sync, write_text
from bench.tracking.lease import Leases, is_locked, locked, locked_if_free
from bench.tracking.run_record import Entry, Experiment, Record, Sweep

T = TypeVar("T")
SENDING = "sending"
"""File in a folder of the outbox, locked while it is sent: MLflow may have some of it, or all."""
LEFTOVER_SECONDS = 86_400.0
"""Age at which a file that was written aside is taken to be abandoned."""


@dataclass(frozen=True)
class SweepState:
    """What became of a sweep (RUNNING until MLflow has its end), whose it is, in which store."""

    status: str
    owner: str
    store: str


class ResultQueue:
    """The jobs below `directory` that belong to one store, named as by `store_name`."""

    def __init__(self, directory: Path, store: str) -> None:
        self.directory = directory
        self.outbox, self.jobs = directory / "outbox", directory / "jobs"
        self.store = store
        self.leases = Leases(directory / "leases")

    # -- the outbox -------------------------------------------------------------------------------

    def put(self, entry: Entry, write_files: Callable[[Path], None] = lambda folder: None) -> None:
        """Put a job that ended into the outbox, with the files that it writes into a folder."""
        make_folder(self.outbox)
        aside = self.outbox / f".{entry.attempt}.{entry.sweep.owner}"
        files = aside / "files"
        files.mkdir(parents=True)
        write_files(files)
        self._write(aside / "entry.json", asdict(replace(entry, store=self.store)))
        publish(aside, self.outbox / f"{entry.record.digest}.{entry.attempt}")

    def waiting(self, pattern: str = "[!.]*") -> Iterator[tuple[Path, Entry]]:
        """Yield the folders and entries of the outbox that are for this store."""
        for path in sorted(self.outbox.glob(pattern)):
            entry = self._read(path / "entry.json", Entry.from_json, of=path)
            if entry is None and path.exists():
                self._set_aside(path, "there is no entry.json in it")
            elif entry is not None and entry.store == self.store:
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

    # -- finished jobs ----------------------------------------------------------------------------

    def remember(self, experiment: Experiment, record: Record) -> None:
        """Remember a job that need not be run again."""
        path = self._job(experiment, record.digest, "json")
        self._write(path, {"store": self.store, "record": asdict(record)})

    def settled(self, experiment: Experiment, digest: str) -> Record | None:
        """Return a job with that digest which need not be run again, sent to MLflow or not yet."""
        for _, entry in self.waiting(f"{digest}.*"):
            if entry.record.settled and entry.experiment.name == experiment.name:
                return entry.record
        return self._read(self._job(experiment, digest, "json"), self._remembered)

    def remembered(self, experiment: Experiment) -> dict[str, str]:
        """Return the MLflow run of each remembered job of an experiment, by the job's digest."""
        paths = (self.jobs / experiment.name).glob("[!.]*.json")
        records = (self._read(path, self._remembered) for path in paths)
        return {record.digest: record.run_id for record in records if record is not None}

    def forget(self, experiment: Experiment, digest: str) -> None:
        """Forget a job, which is then computed anew when it is next asked for."""
        self._job(experiment, digest, "json").unlink(missing_ok=True)

    # -- sweeps -----------------------------------------------------------------------------------

    def note(self, experiment: Experiment, sweep: Sweep, status: str) -> None:
        """Write down what became of a sweep, or RUNNING before MLflow has its end."""
        state = SweepState(status, sweep.owner, self.store)
        self._write(self._job(experiment, sweep.id, "sweep"), asdict(state))

    def closed(self, experiment: Experiment, sweep: Sweep) -> bool:
        """Whether MLflow has the end of this sweep."""
        state = self._state(self._job(experiment, sweep.id, "sweep"))
        return state.status != "RUNNING" and state.store == self.store

    def abandoned(self) -> dict[Path, SweepState]:
        """Return the sweeps into this store that have no end, and no process works on."""
        states = {path: self._state(path) for path in self.jobs.glob("*/[!.]*.sweep")}
        return {
            path: state
            for path, state in states.items()
            if state == SweepState("RUNNING", state.owner, self.store)
            and not self.leases.held(state.owner)
        }

    def close_abandoned(self) -> None:
        """Mark sweeps whose owner has ended as KILLED."""
        for path, state in self.abandoned().items():
            self._write(path, asdict(replace(state, status="KILLED")))

    # -- processes --------------------------------------------------------------------------------

    def claimed(self, experiment: Experiment, digest: str) -> AbstractContextManager[None]:
        """Wait until no other process runs this job, and keep others from it for the body."""
        path = self._job(experiment, digest, "lock")
        make_folder(path.parent)
        return locked(path, remove=True)

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

    def _remembered(self, parts: dict[str, Any]) -> Record | None:
        record = Record.from_json(parts["record"])
        return record if parts["store"] == self.store else None

    def _state(self, path: Path) -> SweepState:
        state = self._read(path, lambda parts: SweepState(**parts))
        return state or SweepState("RUNNING", owner="", store="")

    @staticmethod
    def _write(path: Path, parts: dict[str, Any]) -> None:
        write_text(path, json.dumps(parts), mode=PRIVATE)

    def _read(self, path: Path, parse: Callable[[Any], T], of: Path | None = None) -> T | None:
        """Return what a file of JSON holds; None where there is none, or it had to be set aside."""
        try:
            return parse(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError, KeyError, TypeError, UserError) as error:
            self._set_aside(of or path, first_line(error))
            return None

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
