"""A fault at every call: what a sweep leaves when its n-th write or message to a server fails.

A sweep runs in a forked copy of this process, in which everything is imported already. Each call
of its processes that changes a file below its results folder (by Python's audit events), each
commit of a transaction that changes its database (by SQLAlchemy's events) and each message to a
server is counted. The n-th one meets a fault.
"""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import Value
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

FAULTS = {
    "kill": "the calling process is killed before the call",
    "power": "loss of power: what was not synchronized is gone",
    "full": "every call fails from this one on (disk full, server away)",
    "error": "the call fails once; of a message, the answer is lost",
}
KILLED = 137
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link")


@dataclass
class Injector:
    """Counts calls below `folder`, and lets the `call`-th (from 1) meet a `fault`.

    The count goes over all processes that are forked from the one which installs it.
    """

    folder: Path
    fault: str = ""
    call: int = 0
    count: Any = field(default_factory=lambda: Value("q", 0))
    active: bool = False

    @property
    def reached(self) -> bool:
        return self.count.value >= self.call

    @property
    def journal(self) -> Path:
        return self.folder.with_name("journal")

    def install(self) -> None:
        """Begin to count; there is no end to it but that of the process."""
        from requests import Session
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        system: Any = os
        session: Any = Session
        self._fsync, self._send = system.fsync, session.send
        self._journal = os.open(self.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.addaudithook(self._on_audit)
        event.listen(Engine, "before_cursor_execute", self._on_statement)
        event.listen(Engine, "commit", self._on_commit)
        system.fsync = self._on_fsync
        session.send = lambda *arguments, **how: self._on_message(arguments, how)
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
                self._meet(OSError)
                self._note(name, paths)
        finally:
            self.active = True

    def _on_statement(
        self, connection: Connection, _cursor: object, statement: str, *_: object
    ) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "WITH")):
            connection.info["changed"] = True

    def _on_commit(self, connection: Connection) -> None:
        if connection.info.pop("changed", False):
            self._meet(sqlite3.OperationalError)

    def _on_message(self, arguments: tuple, how: dict) -> object:
        from requests import ConnectionError as Away

        try:
            self._meet(Away)
        except Away:
            if self.fault == "error":
                self._send(*arguments, **how)
            raise
        return self._send(*arguments, **how)

    def _on_fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_relative_to(self.folder):
            self._write("fsync", [path], None)

    def _meet(self, error: type[Exception]) -> None:
        """Count a call; let it fail with an error of this type, or end the process."""
        with self.count.get_lock():
            self.count.value += 1
            n = self.count.value
        if self.call == 0 or not (n == self.call or (self.fault == "full" and n > self.call)):
            return
        if self.fault == "power":
            os.killpg(0, signal.SIGKILL)
        if self.fault == "kill":
            os._exit(KILLED)
        number = errno.ENOSPC if self.fault == "full" else errno.EIO
        raise error(number, os.strerror(number))

    def _note(self, name: str, paths: list[Path]) -> None:
        """Note a change that is about to happen. SQLite synchronizes its own files."""
        path = paths[-1]
        if path.name.lstrip(".").startswith("mlflow.db") or (name == "open" and path.is_dir()):
            return
        before = path.read_bytes() if name != "open" and path.is_file() else None
        self._write("create" if name == "open" and not path.exists() else name, paths, before)

    def _write(self, *change: object) -> None:
        os.write(self._journal, pickle.dumps(change))


def lose_unsynchronized(journal: Path) -> None:
    """Take back every change in a journal that had not reached the disk."""
    files, changes = _unsynchronized(journal)
    for path in files:
        if path.is_file():
            os.truncate(path, 0)
    for name, paths, before in reversed(changes):
        path = paths[-1]
        if name in ("create", "os.mkdir", "os.link"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        elif name == "os.rename" and path.exists() and not paths[0].exists():
            path.rename(paths[0])
        if name == "os.rmdir":
            path.mkdir(parents=True, exist_ok=True)
        elif before is not None and path.parent.is_dir():
            path.write_bytes(before)


def _unsynchronized(journal: Path) -> tuple[set[Path], list[tuple[str, list[Path], bytes | None]]]:
    """Return the files whose content, and the changes of names, that were not synchronized."""
    files: set[Path] = set()
    changes: list[tuple[str, list[Path], bytes | None]] = []
    with journal.open("rb") as file:
        while file.peek(1):
            name, paths, before = pickle.load(file)
            if name == "fsync":
                files.discard(paths[0])
                changes = [c for c in changes if all(p.parent != paths[0] for p in c[1])]
            elif name in ("open", "create"):
                files.add(paths[0])
            elif name == "os.rename":
                files = {_moved(path, *paths) for path in files}
            if name not in ("fsync", "open"):
                changes.append((name, paths, before))
    return files, changes


def _moved(path: Path, old: Path, new: Path) -> Path:
    return new / path.relative_to(old) if path.is_relative_to(old) else path


def _paths(name: str, arguments: tuple) -> list[Path]:
    """Return the absolute paths of an audit event; [] of one that has none."""
    count = 2 if name in ("os.rename", "os.link") else 1
    folders = {"os.rename": arguments[2:4], "os.link": arguments[2:4], "open": (-1,)}
    paths = []
    for path, folder in zip(arguments, folders.get(name, arguments[-1:]), strict=False):
        if not isinstance(path, str | bytes | os.PathLike):
            return []
        base = os.readlink(f"/proc/self/fd/{folder}") if folder >= 0 else os.getcwd()
        paths.append(Path(base, os.fsdecode(path)))
    return paths[:count]


class Ended(NamedTuple):
    """How a forked process ended: its exit status, and the last line that it said."""

    status: int
    said: str


def forked(act: Callable[[], int], log: Path, injector: Injector | None = None) -> Ended:
    """Run `act` in a copy of this process; wait for it and for all that it forks in turn."""
    sys.stdout.flush()
    sys.stderr.flush()
    alive, held = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(alive)
        _run_and_exit(act, log, injector)
    os.close(held)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.read(alive, 1)  # ends when the last process has that holds the other end
    os.close(alive)
    if injector is not None and injector.fault == "power":
        lose_unsynchronized(injector.journal)
    lines = log.read_text("utf-8", errors="replace").split("\n")
    return Ended(status, next((line for line in reversed(lines) if line.strip()), ""))


def _run_and_exit(act: Callable[[], int], log: Path, injector: Injector | None) -> None:
    status = 70
    try:
        os.setpgid(0, 0)
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        if injector is not None:
            injector.install()
        status = act()
        sys.stdout.flush()
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def snapshot(database: Path, artifacts: Path, reports: Path, volatile: tuple[str, ...]) -> list:
    """Return what is tracked in a database, and each file of its runs and of its reports.

    Nothing in random order; tags that begin with one of `volatile` differ between two sweeps.
    """
    runs = []
    with closing(sqlite3.connect(database)) as db:
        query = "SELECT run_uuid, name, status FROM runs WHERE lifecycle_stage = 'active'"
        for run_id, *facts in db.execute(query).fetchall():
            for table, columns in (("params", "key, value"), ("metrics", "key, step, value")):
                found = db.execute(f"SELECT {columns} FROM {table} WHERE run_uuid = ?", (run_id,))
                facts.append(sorted(found))
            tags = db.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,))
            facts.append(sorted(tag for tag in tags if not tag[0].startswith(volatile)))
            runs.append((*facts, list(_files(artifacts, f"*/{run_id}/artifacts/**/*"))))
    return [*sorted(runs), *_files(reports, "**/*")]


def _files(folder: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield files by name, without the line that says which runs a page is of."""
    for path in sorted(folder.glob(pattern)):
        if path.is_file():
            content = path.read_bytes()
            page = content.startswith(b"<!-- runs ")
            yield path.name, content.partition(b"\n")[2] if page else content
