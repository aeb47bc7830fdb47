"""Locks between processes, which end with the process that holds them (`flock`).

They hold between machines that share a file system, NFS among them, whatever these are called.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock on a file for the body, as soon as nobody else does; then `remove` it."""
    while True:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
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
