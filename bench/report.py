"""What a person reads when a sweep has ended: from tracked runs, never from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.metrics import CHOICE, TEST
from bench.tables import markdown_table, number, seconds
from bench.track import Record

SHOWN = 10


def headline(metrics: Mapping[str, float]) -> str:
    """One run in a line: what it was chosen by, what it is worth, what it cost."""
    validation = f" (validation {metrics[CHOICE]:.4f})" if CHOICE in metrics else ""
    return f"MSE {metrics[TEST]:.4f}{validation}, fit {seconds(metrics['time/fit_seconds'])} s"


def leaderboard(records: Sequence[Record]) -> str:
    """The best runs by validation error, then the failed ones with their reasons."""
    done = sorted((r for r in records if r.finished), key=by_validation)
    header = ["run", "validation MSE", "test MSE", "fit s", "parameters"]
    columns = (CHOICE, TEST, "time/fit_seconds", "size/parameters")
    formats = (number, number, seconds, lambda value: number(value, 0))
    rows = [
        [r.name, *(show(r.metrics.get(c)) for c, show in zip(columns, formats, strict=True))]
        for r in done[:SHOWN]
    ]
    lines = [markdown_table(header, rows)] if rows else []
    if len(done) > SHOWN:
        lines.append(f"and {len(done) - SHOWN} more")
    return "\n".join(lines + failures(records))


def failures(records: Sequence[Record]) -> list[str]:
    return [f"{r.status} {r.name}: {r.reason}" for r in records if not r.finished]


def by_validation(record: Record) -> float:
    """Sort key: the validation error, or the test error where nothing was held out to choose by."""
    return record.metrics.get(CHOICE, record.metrics[TEST])
