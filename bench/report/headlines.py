"""Runs in a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.metrics import HEADLINE_METRIC, SELECTION_METRIC
from bench.tables import seconds
from bench.tracking import Record


def headline(metrics: Mapping[str, float]) -> str:
    """One run in a line: what it was chosen by, what it is worth, what it cost."""
    fit = f"fit {seconds(metrics['time/fit_seconds'])} s"
    if HEADLINE_METRIC not in metrics:
        return f"validation MSE {metrics[SELECTION_METRIC]:.4f}, {fit}"
    validation = (
        f" (validation {metrics[SELECTION_METRIC]:.4f})" if SELECTION_METRIC in metrics else ""
    )
    return f"MSE {metrics[HEADLINE_METRIC]:.4f}{validation}, {fit}"


def outcome(record: Record) -> str:
    """A job in a line: its headline, or why it has none."""
    return headline(record.metrics) if record.finished else f"{record.status}, {record.reason}"


def failures(records: Sequence[Record]) -> list[str]:
    """A line for each job that failed or was killed, with its reason."""
    return [f"{r.status} {r.name}: {r.reason}" for r in records if not r.settled]


def by_validation(record: Record) -> float:
    """Sort key: the validation error, or the test error where nothing was held out to choose by."""
    return record.metrics[
        SELECTION_METRIC if SELECTION_METRIC in record.metrics else HEADLINE_METRIC
    ]
