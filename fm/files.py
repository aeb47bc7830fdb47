"""Files that are complete or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@contextmanager
def written_aside(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A new file beside `path`, which replaces it when the body ends well and vanishes when it does not."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with open(aside, "xb") as file:
            yield file
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
