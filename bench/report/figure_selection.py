"""The figures of a report: which of them the runs can answer, and with what numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.metrics import HEADLINE_METRIC, SELECTION_METRIC
from bench.report import figures
from bench.report.model_selection import Choice
from bench.report.paired_gaps import Predictions
from bench.tracking import RunReader

LINES = 5
"""Models whose errors are drawn by count: the reference and the best by validation."""
K, RATE, L2 = "model.k", "model.learning_rate", "model.l2"


def draw(
    rows: Sequence[Choice],
    reference: str,
    evidence: RunReader,
    predictions: Predictions,
    directory: Path,
) -> Iterator[tuple[str, Path]]:
    """Draws each figure that the runs have the numbers for; yields its question and its file without suffix."""
    named = _named(rows)
    by_k = {name: line for name, row in named.items() if (line := _by_k(row))}
    if by_k:
        figures.error_by_k(by_k, path := directory / "error_by_k")
        yield "How many factors are worth it?", path
    for name, row in named.items():
        if not {RATE, L2} <= set(row.varied):
            continue
        if cells := _cells(row):
            figures.heat_map(name, cells, path := directory / f"heat_map_{_file(name)}")
        else:
            figures.tried(name, _tried(row), path := directory / f"tried_{_file(name)}")
        yield f"Which learning rate and which L2 for {name}?", path
    tested = {name: row.chosen for name, row in named.items() if row.chosen.tested}
    if len(tested) > 1:
        points = {
            n: figures.Point(c.mean("time/fit_seconds"), c.mean(HEADLINE_METRIC))
            for n, c in tested.items()
        }
        figures.pareto(points, path := directory / "pareto")
        yield "What does accuracy cost?", path
    curves = {name: evidence.curves(row.chosen.records[0].run_id) for name, row in named.items()}
    curves = {name: c for name, c in curves.items() if figures.HELD_OUT.keys() & c.keys()}
    if curves:
        figures.learning_curves(curves, path := directory / "learning_curves")
        yield "Does it still learn, does it overfit?", path
    if tested:
        best = next(iter(tested))
        shown = [
            best,
            *(n for n, row in named.items() if row.model == reference and n in tested),
            *tested,
        ]
        frames = {
            name: predictions.all_of(tested[name]) for name in list(dict.fromkeys(shown))[:LINES]
        }
        if all("user_ratings" in frame for frame in frames.values()):
            figures.error_by_count(frames, path := directory / "error_by_count")
            yield "Of whom, and of what, are ratings predicted badly?", path
        figures.predicted_and_observed(
            best, frames[best], path := directory / "predicted_and_observed"
        )
        yield f"Do the predictions of {best} mean what they say?", path


def _named(rows: Sequence[Choice]) -> dict[str, Choice]:
    """Rows by the shortest name that tells them apart."""
    several = [
        part for part in ("features", "split") if len({getattr(r.chosen, part) for r in rows}) > 1
    ]
    named: dict[str, Choice] = {}
    for row in rows:
        name = " ".join([row.model, *(getattr(row.chosen, part) for part in several)])
        named.setdefault(name, row)
    return named


def _by_k(row: Choice) -> figures.ByK | None:
    """The best configuration for each k, where there are several."""
    grouped = defaultdict(list)
    for c in row.of:
        if K in dict(c.params) and c.values(SELECTION_METRIC) and c.values(HEADLINE_METRIC):
            grouped[int(dict(c.params)[K])].append(c)
    if len(grouped) < 2:
        return None
    best = {k: min(of, key=lambda c: c.mean(SELECTION_METRIC)) for k, of in sorted(grouped.items())}
    return figures.ByK(
        list(best),
        [c.mean(SELECTION_METRIC) for c in best.values()],
        [c.mean(HEADLINE_METRIC) for c in best.values()],
        [c.std(HEADLINE_METRIC) or 0.0 for c in best.values()],
    )


def _cells(row: Choice) -> dict[int, figures.Cells] | None:
    """By k, where every learning rate was tried with every L2: the best over everything else."""
    grouped: dict[int, dict[tuple[float, float], list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for c in row.of:
        params = dict(c.params)
        cell = float(params[L2]), float(params[RATE])
        grouped[int(params.get(K, 0))][cell].append(c.mean(SELECTION_METRIC) or np.nan)
    l2, rates = (
        sorted(set(values))
        for values in zip(*(cell for of in grouped.values() for cell in of), strict=True)
    )
    if any(len(of) < len(l2) * len(rates) for of in grouped.values()):
        return None
    return {
        k: figures.Cells(
            rates, l2, np.array([[np.fmin.reduce(of[a, b]) for b in rates] for a in l2])
        )
        for k, of in sorted(grouped.items())
    }


def _tried(row: Choice) -> figures.Tried:
    params = [dict(c.params) for c in row.of]
    axes = ([float(p[key]) for p in params] for key in (RATE, L2))
    return figures.Tried(*axes, [c.mean(SELECTION_METRIC) or np.nan for c in row.of])


def _file(name: str) -> str:
    return name.replace(" ", "_").replace("–", "-")
