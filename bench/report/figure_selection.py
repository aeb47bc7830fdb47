"""The figures of a comparison: those that its runs have the numbers for, and with what numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import first_line
from bench.report.document import heading
from bench.report.figures import models, rows
from bench.report.figures.style import Drawing, Look, looks
from bench.report.model_selection import Choice, Comparison, Configuration, ranked
from bench.report.paired_gaps import Predictions
from bench.tables import escaped
from bench.tracking import RunReader

N_LINES = 5
"""Models whose errors are drawn row by row: the reference and the best by validation."""
N_FIELDS = 3
"""Fields, those of the rarest levels, by whose counts errors are drawn."""
COUNTS = re.compile(r"(.+)_(ratings|rows)")
"""Columns beside predictions: how often the level of a field is in training rows."""


def draw(
    comparison: Comparison,
    reference: str,
    reader: RunReader,
    predictions: Predictions,
    directory: Path,
    suffix: str = "",
) -> list[str]:
    """Draw each figure into `directory`; return heading and image of each, or why there is none.

    File names end in `suffix`, which differs between the comparisons of a report.
    """
    named = _named(comparison)
    styles = looks(named)
    groups: list[Callable[[], Iterator[Drawing]]] = [
        lambda: _tuning(comparison, named, styles),
        lambda: _cost(comparison, named, styles),
        lambda: _learning(comparison, named, reader),
        lambda: _rows(comparison, named, reference, predictions, styles),
    ]
    blocks: list[str] = []
    for group in groups:
        try:
            for drawing in group():
                blocks += draw_one(drawing, directory / f"{drawing.name}{suffix}.png")
        except Exception as error:  # a figure never costs the page
            blocks += [heading("A figure is missing"), _not_drawn(error)]
    return blocks


def draw_one(drawing: Drawing, path: Path) -> list[str]:
    """Draw a figure; return its heading and image, or why there is none."""
    title = escaped(drawing.title)
    try:
        drawing.draw(path)
    except Exception as error:  # a figure never costs the page
        return [heading(title), _not_drawn(error)]
    return [heading(title), f"![{title}]({path.name})"]


def _not_drawn(error: Exception) -> str:
    return f"Could not be drawn: {escaped(first_line(error))}."


def _tuning(
    comparison: Comparison, named: Mapping[str, Choice], styles: Mapping[str, Look]
) -> Iterator[Drawing]:
    for parameter in models.PARAMETERS:
        lines = {name: _best_by(row, f"model.{parameter}") for name, row in named.items()}
        lines = {name: line for name, line in lines.items() if len(line) > 1}
        if lines:
            label = comparison.task.headline.label
            yield models.error_by_parameter(parameter, lines, styles, label)


def _cost(
    comparison: Comparison, named: Mapping[str, Choice], styles: Mapping[str, Look]
) -> Iterator[Drawing]:
    costs = {n: (r.chosen.mean("time/fit_seconds"), r.chosen.test_error) for n, r in named.items()}
    points = pd.DataFrame.from_dict(costs, "index", float, ["seconds", "error"]).dropna()
    if len(points) > 1:
        yield models.pareto(points, styles, comparison.task.headline.label)
    entropies = {n: row.chosen.mean("test/normalized_entropy") for n, row in named.items()}
    gains = {n: 1 - entropy for n, entropy in entropies.items() if entropy is not None}
    if gains:
        yield models.gain_over_base_rate(gains, styles)


def _learning(
    comparison: Comparison, named: Mapping[str, Choice], reader: RunReader
) -> Iterator[Drawing]:
    task = comparison.task
    curves = {n: reader.curves(row.chosen.records[0].run_id) for n, row in named.items()}
    curves = {n: of for n, of in curves.items() if models.held_out(of, task.loss)}
    if curves:
        yield models.learning_curves(curves, task.loss, task.headline.label)


def _rows(
    comparison: Comparison,
    named: Mapping[str, Choice],
    reference: str,
    predictions: Predictions,
    styles: Mapping[str, Look],
) -> Iterator[Drawing]:
    """Yield the figures of single test rows, of the best models and the reference."""
    tested = {name: row.chosen for name, row in named.items() if row.chosen.tested}
    if not tested:
        return
    best = next(iter(tested))
    references = [name for name in tested if named[name].model == reference]
    shown = list(dict.fromkeys([best, *references, *tested]))[:N_LINES]
    frames = {name: predictions.once(tested[name]) for name in shown}
    fields = {m[1]: m[0] for column in frames[best] if (m := COUNTS.fullmatch(column))}
    fields = {
        f: column for f, column in fields.items() if all(column in x for x in frames.values())
    }
    if fields:
        rarest = sorted(fields, key=lambda field: frames[best][fields[field]].median())
        counts = {field: fields[field] for field in rarest[:N_FIELDS]}
        yield rows.error_by_count(frames, counts, styles, comparison.task.headline.label)
    yield rows.reliability(frames, styles)
    binary = comparison.task.name == "binary"
    if binary and all(0 < frame["target"].mean() < 1 for frame in frames.values()):
        yield rows.roc_and_precision_recall(frames, styles)


def _named(comparison: Comparison) -> dict[str, Choice]:
    """Return rows by model, and features where these differ."""
    named: dict[str, Choice] = {}
    for row in comparison.shown:
        name = f"{row.model} {row.chosen.features}" if comparison.several_features else row.model
        named.setdefault(name, row)
    return named


def _best_by(row: Choice, key: str) -> pd.DataFrame:
    """Return the best configuration for each value of a parameter."""
    best: dict[float, Configuration] = {}
    for c in sorted(row.of, key=lambda c: ranked(c.validation_error)):
        value = pd.to_numeric(c.params.get(key, "nan"), errors="coerce")
        if np.isfinite(value) and c.validation_error is not None:
            best.setdefault(float(value), c)
    metric = row.chosen.task.headline_metric
    lines = {k: (c.validation_error, c.test_error, c.std(metric) or 0.0) for k, c in best.items()}
    columns = ["validation", "test", "spread"]
    return pd.DataFrame.from_dict(lines, "index", float, columns).sort_index()
