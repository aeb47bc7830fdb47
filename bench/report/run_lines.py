"""Runs in a line each."""

from __future__ import annotations

from collections.abc import Sequence

from bench.tables import quoted, seconds
from bench.tracking import Record


def outcome(record: Record) -> str:
    """Return a job in a line: its errors and time of fit, or why it has none."""
    if not record.finished:
        return f"{record.status}, {quoted(record.reason)}"
    label = record.task.headline.label
    fit = f"fit {seconds(record.metrics.get('time/fit_seconds'))} s"
    validation = record.validation_error
    if record.test_error is None:
        return fit if validation is None else f"validation {label} {validation:.4f}, {fit}"
    chosen_by = "" if validation is None else f" (validation {validation:.4f})"
    return f"{label} {record.test_error:.4f}{chosen_by}, {fit}"


def failures(records: Sequence[Record]) -> list[str]:
    """Return a line for each job that failed or was killed, with its reason."""
    return [f"{r.status} {quoted(r.name)}: {quoted(r.reason)}" for r in records if not r.settled]
