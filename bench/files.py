"""Files and folders that are complete or not there, after a kill and after a loss of power.

What is written goes aside first, reaches the disk (fsync), and is then renamed; the rename reaches
the disk with its folder.
"""

import os
import shutil
from pathlib import Path

PRIVATE = 0o600
"""Mode of a file that only its owner may read."""
REMOVED = ".removed."
"""Beginning of the name of a folder that is being removed."""


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write UTF-8 to `path`, whose folder is made; by default the system chooses the `mode`."""
    from fm.io import written_aside  # with scikit-learn, which readers need not wait for

    make_folder(path.parent)
    with written_aside(path) as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(text.encode())


def make_folder(path: Path) -> None:
    """Make a folder and those above it, so that they are there after a loss of power."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def publish(aside: Path, path: Path) -> None:
    """Rename a folder that is complete, so that all of it is at `path` or nothing is."""
    sync_tree(aside)
    aside.rename(path)
    sync(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that a part of it is never taken for the whole: rename it first."""
    hidden = path.with_name(REMOVED + path.name)
    path.rename(hidden)
    sync(path.parent)
    shutil.rmtree(hidden, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all below it have reached the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
