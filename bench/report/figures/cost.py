"""Accuracy against time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.report.figures.style import GREY, IN_LEGEND, Look, drawn, looks, name_marks


@dataclass(frozen=True)
class Point:
    """Seconds of fit and test error of a model."""

    seconds: float
    error: float


def pareto(
    models: Mapping[str, Point],
    path: Path,
    *,
    styles: Mapping[str, Look] | None = None,
    label: str = "MSE",
) -> None:
    """Draw test error against seconds of fit; the line joins the best within each time."""
    styles = styles or looks(models)
    with drawn(path, (7.5, 4.4)) as figure:
        axes = figure.add_subplot(
            title="What does accuracy cost?",
            xlabel="seconds of fit, one run",
            ylabel=f"test {label} (lower is better)",
        )
        axes.set_xscale("log")
        front: list[Point] = []
        for point in sorted(models.values(), key=lambda p: (p.seconds, p.error)):
            if not front or point.error < front[-1].error:
                front.append(point)
        axes.step(
            [p.seconds for p in front],
            [p.error for p in front],
            where="post",
            color=GREY,
            zorder=0,
            label="best within the time",
        )
        for model, point in models.items():
            style = {**styles[model], "linestyle": "none"}
            axes.plot(point.seconds, point.error, markersize=8, label=model, **style)
        if len(models) > IN_LEGEND:
            axes.margins(x=0.15)
            name_marks(figure, axes, {name: (p.seconds, p.error) for name, p in models.items()})
        else:
            figure.legend(loc="outside right upper", frameon=False, fontsize=9)
