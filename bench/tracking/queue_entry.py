"""An entry of the result queue: a job that ended, and what it leaves behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from bench.errors import UserError, first_line
from bench.tracking.run_record import Experiment, Record, Sweep

CODE_FILE = "code.json"
"""What of the code a run's digest covers."""


class DamagedFileError(Exception):
    """A file of the queue that cannot be read; the message says why."""


@dataclass(frozen=True)
class Entry:
    """A job that ended.

    `began` and `ended` are in ms since 1970; `data` describes the data set to MLflow; `attempt`
    names this execution of the job; `store` is the store it is for, as the queue names it.
    """

    experiment: Experiment
    sweep: Sweep
    record: Record
    began: int
    ended: int
    data: dict[str, str]
    attempt: str = field(default_factory=lambda: uuid4().hex[:12])
    store: str = ""

    def to_json(self) -> str:
        """Return the entry as `read` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, path: Path) -> Entry | None:
        """Return the entry in a file, None where there is no such file.

        Raises
        ------
        DamagedFileError
            If the file cannot be read as an entry.
        """
        try:
            parts = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DamagedFileError(first_line(error)) from error
        try:
            record = Record(**parts["record"])
            curves = {n: {int(s): v for s, v in c.items()} for n, c in record.curves.items()}
            # Jobs of a sweep say mostly the same: a thousand records share one copy of each text.
            params, tags = _interned(record.params), _interned(record.tags)
            parts["record"] = replace(record, curves=curves, params=params, tags=tags)
            parts["experiment"] = Experiment(**parts["experiment"])
            parts["sweep"] = Sweep(**parts["sweep"])
            return cls(**parts)
        except (AttributeError, KeyError, TypeError, ValueError, UserError) as error:
            raise DamagedFileError(f"not an entry of this version: {first_line(error)}") from error


def _interned(texts: Mapping[str, str]) -> dict[str, str]:
    return {sys.intern(key): sys.intern(text) for key, text in texts.items()}
