"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

from fm.io import written_aside


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8, aside first, so that nothing half-written is ever taken for whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as file:
        file.write(text.encode())
