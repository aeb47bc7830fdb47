"""Which process works on what, as other processes see it: by locks that end with their holder.

A lease is a file that its owner holds locked (`flock`) while it lives. Whoever can lock the file
knows that the owner has ended, whatever the host is called by now and whichever process has its
process id. Locks of this kind hold between machines that share a file system, NFS among them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from bench.files import make_folder, write_text

DISK = "disk"


class Leases:
    """The leases in a folder, and this process's own.

    The first part of an owner's name says on which disk its lease is. Of an owner on another disk,
    whose runs are seen through a tracking server, nothing can be said from here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def owner(self) -> str:
        """The owner of a new lease, held until the process ends or nothing refers to this."""
        make_folder(self.folder)
        with locked(self.folder / ".lock"):
            if not self._disk():
                write_text(self.folder / DISK, uuid4().hex[:8])
        owner = f"{self._disk()}-{uuid4().hex[:12]}"
        # Named only once it is locked: a file that nobody holds is one whose owner has ended.
        aside = self.folder / f".{owner}"
        self._file = aside.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        aside.rename(self.folder / owner)
        return owner

    def held(self, owner: str) -> bool:
        """Whether the owner of a lease on this disk still lives."""
        return is_locked(self.folder / owner) is True

    def ended(self, owner: str) -> bool:
        """Whether the owner of a lease that is, or was, on this disk has ended."""
        disk = self._disk()
        return owner.startswith(f"{disk}-") and not self.held(owner) if disk else False

    def remove_ended(self) -> None:
        """Remove the files of owners that have ended."""
        for path in self.folder.glob("[!.]*-*"):
            if is_locked(path) is False:
                path.unlink(missing_ok=True)

    def _disk(self) -> str:
        """Return the name of this disk, which moves with the folder; "" before the first lease."""
        try:
            return (self.folder / DISK).read_text("utf-8")
        except FileNotFoundError:
            return ""


@contextmanager
def locked(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock on a file for the body, as soon as nobody else does; then `remove` it."""
    while True:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        if _is(path, file.fileno()):
            break
        file.close()  # whoever held it has removed it since
    with file:
        yield
        if remove:
            path.unlink(missing_ok=True)


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock on a file for the body, unless somebody else does; says whether it is held.

    It is not where the file's folder is gone.
    """
    try:
        file = path.open("a")
    except FileNotFoundError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def is_locked(path: Path) -> bool | None:
    """Whether somebody holds the lock on a file; None where there is no such file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return True
    return False


def _is(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
