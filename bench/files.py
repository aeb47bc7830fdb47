"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Writes aside, then renames, so that nothing half-written is ever taken for whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".aside")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
