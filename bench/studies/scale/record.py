"""What was measured, kept beside the page: an interrupted measurement goes on, and a page is drawn again without one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from bench.files import write_text
from bench.identity import computed_by
from bench.studies.scale.by_k import Seconds
from bench.studies.scale.cell import Cell
from bench.studies.scale.race import Race
from bench.studies.speed.page import Where, here

Cells = Mapping[tuple[str, int], Cell | str]
"""Model and ratings -> what was measured, or why nothing was."""
Races = Mapping[tuple[str, str], Race | str]
"""Our model and theirs -> the same."""


@dataclass
class Record:
    """where : the machine and the code. by_k : None until it is measured."""

    where: Where = field(default_factory=here)
    cells: Cells = field(default_factory=dict)
    races: Races = field(default_factory=dict)
    by_k: Seconds | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        kept = json.loads(path.read_text("utf-8"))
        return cls(
            kept["where"],
            {(name, rows): cell_of(found) for name, rows, found in kept["cells"]},
            {(ours, theirs): race_of(found) for ours, theirs, found in kept["races"]},
            kept["by_k"] and {int(k): parts for k, parts in kept["by_k"].items()},
        )

    @classmethod
    def going_on(cls, path: Path) -> Self:
        """What is there of this machine and code; else nothing."""
        now = cls()
        kept = cls.read(path) if path.exists() else now
        same = kept.where["machine"] == now.where["machine"] and (
            computed_by(kept.where["code"]) == computed_by(now.where["code"])
        )
        return replace(kept, where=now.where) if same else now

    def write(self, path: Path) -> None:
        parts = {
            "where": json.dumps(self.where),
            "cells": _lines([*key, _plain(found)] for key, found in self.cells.items()),
            "races": _lines([*key, _plain(found)] for key, found in self.races.items()),
            "by_k": json.dumps(self.by_k),
        }
        write_text(
            path, "{" + ",\n".join(f'"{name}": {part}' for name, part in parts.items()) + "}\n"
        )


def _plain(found: Cell | Race | str) -> object:
    return found if isinstance(found, str) else asdict(found)


def _lines(found) -> str:
    return "[" + ",\n".join(map(json.dumps, found)) + "]"


def cell_of(found: dict | str) -> Cell | str:
    return found if isinstance(found, str) else Cell(**found)


def race_of(found: dict | str) -> Race | str:
    if isinstance(found, str):
        return found
    return Race(*(list(map(cell_of, found[side])) for side in ("ours", "theirs")))
