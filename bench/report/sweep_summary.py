"""What a terminal shows: a line a run, and at a sweep's end the best of each comparison."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bench.report.comparison import spread
from bench.report.model_selection import Comparison, comparisons
from bench.report.published import article_table
from bench.tables import columns_table, quoted, seconds
from bench.tracking import Experiment, Record

SHOWN = 10
"""Rows of a table, at most."""
DISPENSABLE = ("fit s", "over", "of", "chosen configuration")
"""Columns that go, in this order, where a terminal is too narrow."""


def summary(experiment: Experiment, records: Sequence[Record]) -> list[str]:
    """Return, for each comparison, its best configuration and the first rows of its table.

    The numbers of an article that an experiment is about come last, beside ours.
    """
    compared = comparisons(records)
    lines: list[str] = []
    for comparison in compared:
        if len(compared) > 1 or comparison.modified:
            lines += [f"On {quoted(comparison.title)}:"]
        lines += [best(comparison), "", top(comparison), ""]
    lines += article_table(experiment.question, compared)
    return lines[:-1] if lines and not lines[-1] else lines


def best(comparison: Comparison) -> str:
    """Return the first choice, as words of a command line."""
    row = comparison.rows[0]
    validated = row.chosen.validation_error is not None
    how = "validation" if validated else "test, nothing was held out"
    words = [f"model={row.model}", f"features={row.chosen.features}"]
    words += [f"{key}={value}" for key, value in row.given.items()]
    return f"Best by {how}: {shlex.join(map(quoted, words))}"


def top(comparison: Comparison) -> str:
    """Return the first rows of the table, as wide as the terminal is."""
    rows, task = comparison.rows[:SHOWN], comparison.task
    label = task.headline.label
    columns = {"model": [quoted(row.model) for row in rows]}
    if comparison.several_features:
        columns["features"] = [quoted(row.chosen.features) for row in rows]
    columns["chosen configuration"] = [quoted(row.settings() or "as in conf/model") for row in rows]
    left = len(columns)
    columns["of"] = [str(len(row.of)) for row in rows]
    columns[f"validation {label}"] = [spread(row, task.selection_metric) for row in rows]
    columns[f"test {label}"] = [spread(row, task.headline_metric) for row in rows]
    columns["over"] = [row.chosen.over() for row in rows]
    columns["fit s"] = [seconds(row.chosen.mean("time/fit_seconds")) for row in rows]
    more = len(comparison.rows) - SHOWN
    return columns_table(columns, left, DISPENSABLE) + (f"\nand {more} more" if more > 0 else "")


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
