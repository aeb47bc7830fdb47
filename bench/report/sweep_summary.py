"""A sweep's end on the terminal: its best configuration, the first rows of the table, where the rest is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.metrics import HEADLINE_METRIC, SELECTION_METRIC
from bench.report.comparison import spread
from bench.report.model_selection import Choice, choices, differing
from bench.tables import markdown_table, seconds
from bench.tracking import Experiment, Record

SHOWN = 10


def found(records: Sequence[Record]) -> list[str]:
    """The best configuration and the first rows of the table."""
    rows = choices(records)
    return [best(rows[0]), "", top(rows)] if rows else []


def where(experiment: Experiment, results: Path) -> list[str]:
    """Where to read on."""
    page = results / experiment.name / "README.md"
    report = [f"Report: {page}"] if page.exists() else []
    return [*report, f"Dashboard: python -m bench.ui {experiment.name}"]


def best(row: Choice) -> str:
    """The choice, as words of a command line."""
    params = dict(row.chosen.params)
    settings = [f"{key}={params[key]}" for key in row.varied if key in params]
    how = "validation" if row.chosen.values(SELECTION_METRIC) else "test, nothing was held out"
    words = [f"model={row.model}", f"features={row.chosen.features}", *settings]
    return f"Best by {how}: {' '.join(words)}"


def top(rows: Sequence[Choice]) -> str:
    extra = differing(rows)
    header = [
        "model",
        *extra,
        "chosen configuration",
        "of",
        "validation MSE",
        "test MSE",
        "over",
        "fit s",
    ]
    body = [
        [
            row.model + (" (modified code)" if row.chosen.modified else ""),
            *(getattr(row.chosen, name) for name in extra),
            row.settings() or "as in conf/model",
            str(len(row.of)),
            spread(row, SELECTION_METRIC),
            spread(row, HEADLINE_METRIC),
            row.chosen.over(),
            seconds(row.chosen.mean("time/fit_seconds")),
        ]
        for row in rows[:SHOWN]
    ]
    more = f"\nand {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return markdown_table(header, body, left=len(extra) + 2) + more
