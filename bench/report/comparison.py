"""The table that compares models, and those beside it: slices, what failed, what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench.report.model_selection import Choice, Comparison, model_defaults
from bench.report.paired_gaps import Predictions, holm
from bench.tables import (
    MISSING,
    code,
    columns_table,
    escaped,
    markdown_table,
    number,
    seconds,
    signed,
)
from bench.tracking import Record

READING: Mapping[str, Any] = yaml.safe_load(
    Path(__file__).with_name("reading.yaml").read_text("utf-8")
)
"""What stands beside tables: how to read them."""
SHOWN = 20
"""Failed runs, and levels of a slice, that are listed one by one."""
BINS = 8
"""Of a numeric column with many values that a slice is by."""
REFERENCES = ("logistic", "base_rate")
"""Models that gaps are against where the experiment's own reference is not among the rows."""


def comparison_table(comparison: Comparison, reference: str, predictions: Predictions) -> str:
    """Return a row for each choice of one comparison, lowest validation error first."""
    rows, task = comparison.rows, comparison.task
    models = {row.model for row in rows}
    reference = next((m for m in (reference, *REFERENCES) if m in models), reference)
    others = [reference_of(row, rows, reference) for row in rows]
    gaps = [
        None if other is None else predictions.gap(row.chosen, other.chosen)
        for row, other in zip(rows, others, strict=True)
    ]
    adjusted = holm([gap.p for gap in gaps if gap is not None])
    columns: dict[str, list[str]] = {"model": [code(row.model) for row in rows]}
    if comparison.several_features:
        columns["features"] = [escaped(row.chosen.features) for row in rows]
    columns["chosen configuration"] = [settings(row) for row in rows]
    left = len(columns)
    columns["of"] = [str(len(row.of)) for row in rows]
    for part, metrics in (("validation", task.metrics[:2]), ("test", task.metrics)):
        for metric in metrics:
            cells = [spread(row, f"{part}/{metric.name}") for row in rows]
            columns[f"{part} {metric.label}"] = cells
    columns["over"] = [escaped(row.chosen.over()) for row in rows]
    columns |= _against_the_best_possible(rows)
    if adjusted:
        label = f"{task.headline.label} − {code(reference)} [95 %]"
        columns[label] = [_signed(gap) for gap in gaps]
    if len(adjusted) > 1:
        p = (f"{p:.4f}" if p >= 1e-4 else "< 0.0001" for p in adjusted)
        columns["p, Holm"] = [MISSING if gap is None else next(p) for gap in gaps]
    if any(metric.name == "auc" for metric in task.metrics):
        columns[f"AUC − {code(reference)} [95 %]"] = [
            MISSING if other is None else _signed(predictions.auc_gap(row.chosen, other.chosen))
            for row, other in zip(rows, others, strict=True)
        ]
    for column in ("fit", "predict"):
        columns[f"{column} s"] = [
            seconds(row.chosen.mean(f"time/{column}_seconds")) for row in rows
        ]
    for column, size in (("memory MiB", "peak_memory_mib"), ("parameters", "parameters")):
        columns[column] = [number(row.chosen.mean(f"size/{size}"), 0) for row in rows]
    columns["tuning"] = [
        f"{row.n_runs} run{'s' if row.n_runs > 1 else ''}, {seconds(row.seconds)} s" for row in rows
    ]
    return columns_table(columns, left)


def settings(row: Choice) -> str:
    """Return the chosen configuration, for a cell."""
    return escaped(row.settings()) or (
        "as in `conf/model`" if model_defaults(row.model, row.chosen.task.name) else MISSING
    )


def spread(row: Choice, metric: str) -> str:
    """Return `0.8334 ± 0.0010`, or the value alone where there is one."""
    std = row.chosen.std(metric)
    return number(row.chosen.mean(metric)) + ("" if std is None else f" ± {std:.4f}")


def reference_of(row: Choice, rows: Sequence[Choice], reference: str) -> Choice | None:
    """Return the reference's row, of the same features where there is one; None of itself."""
    all_features = [r for r in rows if r.model == reference]
    same = [r for r in all_features if r.chosen.features == row.chosen.features]
    other = next(iter(same or all_features), None)
    return None if other is row else other


def incomplete(rows: Sequence[Choice]) -> str:
    """Return which configurations were not in the running, and why; nothing if all were."""
    return "\n".join(
        f"- Of the {len(row.of)} configurations of {code(row.model)}, {row.left_out} "
        f"{'has' if row.left_out == 1 else 'have'} fewer than {row.n_repeats} validated repeats "
        "(failed, given up or not run): not chosen from."
        for row in rows
        if row.left_out
    )


def slices(comparison: Comparison, field: str, predictions: Predictions, n_models: int) -> str:
    """Return the headline loss per level of a field with 95 % intervals, of the best models.

    Levels are those with the most test rows; a numeric column with many values is cut into bins of
    equally many rows.
    """
    rows = [row for row in comparison.rows if row.chosen.tested][:n_models]
    frames = [predictions.once(row.chosen) for row in rows]
    if not frames or any(field not in frame for frame in frames):
        columns = sorted(set.intersection(*map(set, frames))) if frames else []
        return (
            f"There is no column {code(field)} beside the predictions; "
            f"there are: {', '.join(map(code, columns)) or 'none'}."
        )
    column, by = frames[0][field], [frame[field] for frame in frames]
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > SHOWN:
        bins = pd.qcut(column, BINS, duplicates="drop").cat.categories
        by = [pd.cut(of, bins) for of in by]
    statistics = [
        f["loss"].groupby(of, observed=True).agg(["mean", "sem", "size"])
        for f, of in zip(frames, by, strict=True)
    ]
    sizes = statistics[0]["size"]
    levels = sizes.index
    if not isinstance(levels, pd.CategoricalIndex):
        levels = sizes.sort_values(ascending=False, kind="stable").index[:SHOWN]
    body = [
        [escaped(level), f"{sizes[level]:,}", *(_level(s, level) for s in statistics)]
        for level in levels
    ]
    if more := len(sizes) - len(levels):
        body.append([f"and {more} more", *[MISSING] * (1 + len(rows))])
    loss = comparison.task.headline.label
    header = [escaped(field), "rows", *(f"{loss}, {code(row.model)} [95 %]" for row in rows)]
    return markdown_table(header, body)


def unfinished(
    records: Sequence[Record],
    missing: Sequence[str],
    skipped: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return failed runs with reasons, what was planned and is not there, and `skipped` models."""
    bad = [r for r in records if not r.settled]
    rows = [[escaped(r.name), r.status, escaped(r.reason or MISSING)] for r in bad[:SHOWN]]
    if len(bad) > SHOWN:
        rows.append([f"and {len(bad) - SHOWN} more", MISSING, MISSING])
    rows += [[escaped(what), "MISSING", "planned, but not run"] for what in missing]
    rows += [[escaped(model), "SKIPPED", escaped(reason)] for model, reason in skipped.items()]
    table = markdown_table(["run", "status", "reason"], rows, left=3)
    return ["## What failed or is missing", table] if rows else []


def _against_the_best_possible(rows: Sequence[Choice]) -> dict[str, list[str]]:
    """Return what a test error is held against: the truth of simulated data, the base rate."""
    task = rows[0].chosen.task
    oracles = [row.chosen.mean(f"test/oracle_{task.loss}") for row in rows]
    entropies = [row.chosen.mean("test/normalized_entropy") for row in rows]
    errors = [row.chosen.test_error for row in rows]
    columns = {
        f"{task.headline.label} − best possible": [
            MISSING if error is None or best is None else f"{error - best:+.4f}"
            for error, best in zip(errors, oracles, strict=True)
        ],
        "gain over base rate": [MISSING if m is None else f"{1 - m:.1%}" for m in entropies],
    }
    known = (any(v is not None for v in of) for of in (oracles, entropies))
    return {name: of for (name, of), shown in zip(columns.items(), known, strict=True) if shown}


def _level(statistics: pd.DataFrame, level: object) -> str:
    if level not in statistics.index:
        return MISSING
    mean, sem, _ = statistics.loc[level]
    margin = "" if np.isnan(sem) else f" [{mean - 1.96 * sem:.4f}, {mean + 1.96 * sem:.4f}]"
    return f"{mean:.4f}{margin}"


def _signed(gap: Sequence[float] | None) -> str:
    return MISSING if gap is None else signed(*gap[:3])
