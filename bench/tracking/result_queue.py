"""What jobs leave on disk before MLflow has it: no kill and no absent server loses any of it.

    results/outbox/DIGEST.ATTEMPT/  a job that ended, complete: entry.json and files/
    results/locks/DIGEST            locked by the process that runs the job, and gone with it
    results/locks/DIGEST.ATTEMPT    the same of the process that sends what came of it
    results/leases/OWNER            locked while that owner of sweeps lives; OWNER.stop: no new job
    results/damaged/                what could not be read of the outbox

Nothing here imports MLflow, which takes seconds.
"""

import fcntl
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from bench.errors import UserError, first_line
from bench.files import PRIVATE, REMOVED, make_folder, publish, sync, write_text
from bench.locks import is_locked, locked
from bench.tracking.run_record import Entry, Experiment, Record


class ResultQueue:
    """The jobs below `directory` that belong to one store, named as by `store_name`."""

    def __init__(self, directory: Path, store: str) -> None:
        self.directory = directory
        self.outbox = directory / "outbox"
        self.locks, self.leases = directory / "locks", directory / "leases"
        self.store = store

    def put(self, entry: Entry, write_files: Callable[[Path], None] = lambda folder: None) -> None:
        """Put a job that ended into the outbox, with the files that it writes into a folder."""
        make_folder(self.outbox)
        aside = self.outbox / f".{entry.attempt}.{entry.sweep.owner}"
        files = aside / "files"
        files.mkdir(parents=True)
        write_files(files)
        text = json.dumps(asdict(replace(entry, store=self.store)))
        write_text(aside / "entry.json", text, mode=PRIVATE)
        publish(aside, self.outbox / f"{entry.record.digest}.{entry.attempt}")

    def waiting(self, pattern: str = "[!.]*") -> Iterator[tuple[Path, Entry]]:
        """Yield the folders and entries of the outbox that are for this store."""
        for path in sorted(self.outbox.glob(pattern)):
            try:
                entry = Entry.from_json(json.loads((path / "entry.json").read_text("utf-8")))
            except (OSError, ValueError, AttributeError, KeyError, TypeError, UserError) as error:
                if path.exists():  # else it has been sent
                    self._set_aside(path, first_line(error))
                continue
            if entry.store == self.store:
                yield path, entry

    def settled(self, experiment: Experiment, digest: str) -> Record | None:
        """Return a job that waits and need not be run again."""
        for _, entry in self.waiting(f"{digest}.*"):
            if entry.record.settled and entry.experiment.name == experiment.name:
                return entry.record
        return None

    @contextmanager
    def sending(self, path: Path) -> Iterator[bool | None]:
        """Keep others from sending an entry.

        Yields None if somebody else sends it or has sent it, else whether it was sent before, in
        whole or in part.
        """
        make_folder(self.locks)
        lock = self.locks / path.name
        before = lock.exists()  # left by a process that was killed: MLflow may have all of it
        with locked(lock, wait=False, remove=True) as mine:
            sync(self.locks)
            yield before if mine and path.exists() else None

    # -- processes --------------------------------------------------------------------------------

    @cached_property
    def owner(self) -> str:
        """A name for this process, whose file it holds locked until it ends."""
        make_folder(self.leases)
        name = uuid4().hex[:12]
        # Named only once it is locked: a file that nobody holds is one whose owner has ended.
        aside = self.leases / f".{name}"
        self._lease = aside.open("w")
        fcntl.flock(self._lease, fcntl.LOCK_EX)
        aside.rename(self.leases / name)
        return name

    def lives(self, owner: str) -> bool:
        """Whether a process of that name lives, where this disk is seen."""
        return is_locked(self.leases / owner) is True

    def ended(self) -> set[str]:
        """Return the owners on this disk whose process has ended, until that is cleared up."""
        paths = self.leases.glob("[!.]*")
        return {path.stem for path in paths if is_locked(path.with_suffix("")) is False}

    def clear(self, ended: Iterable[str]) -> None:
        """Remove what owners that have ended left half-written, and what says that they have."""
        for path in self.outbox.glob(".*"):
            if path.name.startswith(REMOVED) or path.name.rpartition(".")[2] in ended:
                shutil.rmtree(path, ignore_errors=True)  # another process may be first
        for path in (path for owner in ended for path in self.leases.glob(f"{owner}*")):
            path.unlink(missing_ok=True)

    def claimed(self, digest: str) -> AbstractContextManager[bool]:
        """Wait until no other process runs this job, and keep others from it for the body."""
        make_folder(self.locks)
        return locked(self.locks / digest, remove=True)

    def running(self, digest: str) -> bool | None:
        """Whether the job is running, was cut off (False), or neither (None)."""
        return is_locked(self.locks / digest)

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
