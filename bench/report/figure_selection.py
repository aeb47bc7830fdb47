"""The figures of a comparison: those that its runs have the numbers for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.errors import first_line
from bench.report.figures import models, rows
from bench.report.figures.style import Drawing, Shown
from bench.report.model_selection import Choice, Comparison
from bench.report.paired_gaps import Predictions
from bench.tables import escaped
from bench.tracking import RunReader


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
    named: dict[str, Choice] = {}  # by model, and features where these differ
    for row in comparison.rows:
        name = f"{row.model} {row.chosen.features}" if comparison.several_features else row.model
        named.setdefault(name, row)
    shown = Shown(named, comparison.task)
    groups: list[Callable[[], Iterator[Drawing]]] = [
        lambda: models.error_by_parameters(shown),
        lambda: models.pareto(shown),
        lambda: models.learning_curves(shown, reader),
        lambda: rows.figures_of_rows(shown, reference, predictions),
    ]
    blocks: list[str] = []
    for group in groups:
        try:
            for drawing in group():
                blocks += draw_one(drawing, directory / f"{drawing.name}{suffix}.png")
        except Exception as error:  # a figure never costs the page
            blocks += ["## A figure is missing", _not_drawn(error)]
    return blocks


def draw_one(drawing: Drawing, path: Path) -> list[str]:
    """Draw a figure; return its heading and image, or why there is none."""
    title = escaped(drawing.title)
    try:
        drawing.draw(path)
    except Exception as error:  # a figure never costs the page
        return [f"## {title}", _not_drawn(error)]
    return [f"## {title}", f"![{title}]({path.name})"]


def _not_drawn(error: Exception) -> str:
    return f"Could not be drawn: {escaped(first_line(error))}."
