"""Locks between processes, which end with the process that holds them (`flock`).

They hold between machines that share a file system, NFS among them, whatever these are called.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, wait: bool = True, remove: bool = False) -> Iterator[bool]:
    """Hold the lock on a file for the body, and `remove` the file after a body that ends well.

    Says whether it is held: somebody else may hold it, unless this is to `wait`.
    """
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            if os.fstat(file.fileno()).st_nlink:  # else whoever held it has removed it since
                yield True
                if remove:
                    path.unlink(missing_ok=True)
                return


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
