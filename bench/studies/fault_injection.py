"""A fault at every call: what a sweep leaves when the n-th write to disk or database fails.

A sweep runs in a forked process in which each call that changes a file below its results folder
(by Python's audit events) and each statement that changes its database (by SQLAlchemy's events) is
counted. The n-th one meets a fault, the same command is started again without, and what is then
tracked and reported is compared with what an undisturbed sweep leaves.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FAULTS = ("kill", "power", "full", "error")
"""Killed before the call; loss of power, at which nothing is on disk that was not synchronized; the
disk is full from the call on; the call fails once with an input/output error."""
KILLED = 137
STATE = ("damaged", "jobs", "leases", "mlartifacts", "outbox")
"""Folders that hold no reports."""
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link")

Sweep = Callable[[Path], int]
"""Runs a sweep with results in a folder; returns its exit status."""


def count_calls(sweep: Sweep, results: Path) -> int:
    """Run a sweep undisturbed, and return how many calls can meet a fault."""
    reader, writer = os.pipe()
    status = _forked(sweep, results, Injector(results, None, 0, report=writer))
    os.close(writer)
    with os.fdopen(reader) as pipe:
        counted = int(pipe.read())
    if status != 0:
        raise RuntimeError(f"the undisturbed sweep ended with status {status}")
    return counted


def run_with_fault(sweep: Sweep, results: Path, fault: str, call: int) -> int:
    """Run a sweep whose `call`-th call (from 1) meets a `fault`; return its exit status."""
    return _forked(sweep, results, Injector(results, fault, call))


def run_undisturbed(sweep: Sweep, results: Path) -> int:
    """Run a sweep in a process of its own; return its exit status."""
    return _forked(sweep, results, None)


@dataclass
class Injector:
    """Counts the calls of this process below `folder`, and lets one of them meet a fault."""

    folder: Path
    fault: str | None
    call: int
    report: int | None = None
    calls: int = 0
    disk: UnsyncedDisk = field(default_factory=lambda: UnsyncedDisk())
    active: bool = False

    def install(self) -> None:
        """Begin to count; there is no end to it but that of the process."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        sys.addaudithook(self._on_audit)
        event.listen(Engine, "before_cursor_execute", self._on_statement)
        event.listen(Engine, "commit", lambda _: self._count(database=True))
        self._fsync = os.fsync
        os.fsync = self._on_fsync  # type: ignore[assignment]
        self.active = True

    def _on_audit(self, name: str, arguments: tuple) -> None:
        if not self.active or name not in _EVENTS:
            return
        if name == "open" and not (isinstance(arguments[2], int) and arguments[2] & _CHANGES):
            return
        self.active = False
        try:
            paths = _paths(name, arguments)
            if paths and all(path.is_relative_to(self.folder) for path in paths):
                self._count()
                self.disk.note(name, paths)
        finally:
            self.active = True

    def _on_statement(self, _c: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "WITH")):
            self._count(database=True)

    def _on_fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self.disk.synchronized(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    def _count(self, database: bool = False) -> None:
        self.calls += 1
        reached = self.calls == self.call or (self.fault == "full" and self.calls > self.call > 0)
        if not reached:
            return
        if self.fault == "power":
            self.active = False
            self.disk.lose()
        if self.fault in ("kill", "power"):
            os._exit(KILLED)
        number = errno.ENOSPC if self.fault == "full" else errno.EIO
        if database:
            raise sqlite3.OperationalError(os.strerror(number))
        raise OSError(number, os.strerror(number))


class UnsyncedDisk:
    """What has happened to files and has not yet reached the disk."""

    def __init__(self) -> None:
        self.files: set[Path] = set()
        self.changes: list[tuple[str, list[Path], bytes | None]] = []

    def note(self, name: str, paths: list[Path]) -> None:
        """Note a change that is about to happen. SQLite synchronizes its own files."""
        path = paths[-1]
        if path.name.lstrip(".").startswith("mlflow.db"):
            return
        if name == "open":
            if not path.exists():
                self.changes.append((name, paths, None))
            self.files.add(path)
            return
        before = path.read_bytes() if path.is_file() else None
        self.changes.append((name, paths, before))
        if name == "os.rename":
            self.files = {_moved(file, *paths) for file in self.files}

    def synchronized(self, path: Path) -> None:
        """Take the content of a file, or the names in a folder, as being on disk."""
        self.files.discard(path)
        self.changes = [c for c in self.changes if all(p.parent != path for p in c[1])]

    def lose(self) -> None:
        """Take back all that has not reached the disk."""
        for path in self.files:
            if path.is_file():
                os.truncate(path, 0)
        for name, paths, before in reversed(self.changes):
            path = paths[-1]
            if name in ("open", "os.mkdir", "os.link"):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            elif name == "os.rename" and path.exists():
                path.rename(paths[0])
            if name == "os.rmdir":
                path.mkdir(parents=True, exist_ok=True)
            elif before is not None and path.parent.is_dir():
                path.write_bytes(before)


def _forked(sweep: Sweep, results: Path, injector: Injector | None) -> int:
    """Return the exit status of a sweep in a copy of this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 70
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        if injector is not None:
            injector.install()
        status = sweep(results)
        if injector is not None and injector.report is not None:
            os.write(injector.report, str(injector.calls).encode())
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


def _paths(name: str, arguments: tuple) -> list[Path]:
    """Return the absolute paths of an audit event; [] of one that has none."""
    count = 2 if name in ("os.rename", "os.link") else 1
    folders = {"os.rename": arguments[2:4], "os.link": arguments[2:4], "open": (-1,)}
    folders_of = folders.get(name, arguments[-1:])
    paths = []
    for path, folder in zip(arguments[:count], folders_of, strict=False):
        if not isinstance(path, str | bytes | os.PathLike):
            return []
        base = os.readlink(f"/proc/self/fd/{folder}") if folder >= 0 else os.getcwd()
        paths.append(Path(base, os.fsdecode(path)))
    return paths


def _moved(path: Path, old: Path, new: Path) -> Path:
    return new / path.relative_to(old) if path.is_relative_to(old) else path


def snapshot(results: Path, volatile: Callable[[str], bool]) -> Iterator[tuple]:
    """Yield what is tracked in a folder, and each file of its reports; nothing in random order.

    Tags for which `volatile` is true differ from one sweep to the next.
    """
    from bench.tracking import RunReader

    reader = RunReader(directory=str(results))
    names = {e.experiment_id: e.name for e in reader.client.search_experiments()}
    runs = []
    for run in reader.search(list(names), ""):
        tags = {k: v for k, v in run.data.tags.items() if not volatile(k)}
        folder = reader.artifact_folder(run)
        files = sorted(folder.rglob("*")) if folder is not None else []
        contents = {f.name: _content(f) for f in files if f.is_file()}
        facts = (run.data.params, run.data.metrics, tags, contents)
        runs.append((run.info.run_name, run.info.status, *(sorted(f.items()) for f in facts)))
    yield from sorted(runs)
    for folder in sorted(results.glob("[!.]*")):
        if folder.name not in STATE:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    yield str(file.relative_to(results)), _content(file)
    yield "waiting", [path.name for path in (results / "outbox").glob("[!.]*")]


def _content(path: Path) -> bytes:
    """Return a file without the line that says which runs a page is of."""
    content = path.read_bytes()
    return content.partition(b"\n")[2] if content.startswith(b"<!-- runs ") else content
