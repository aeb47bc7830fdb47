"""Accuracy against time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.report.figures.style import GREY, drawn, look


@dataclass(frozen=True)
class Point:
    seconds: float
    error: float


def pareto(models: Mapping[str, Point], path: Path) -> None:
    """Test MSE against seconds of fit; the line joins models that none is both faster and better than."""
    with drawn(path, (7.5, 4.4)) as figure:
        axes = figure.add_subplot(
            title="What does accuracy cost?",
            xlabel="seconds of fit, one run",
            ylabel="test MSE (lower is better)",
        )
        axes.set_xscale("log")
        front = []
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
        for number, (model, point) in enumerate(models.items()):
            style = look(number) | {"linestyle": "none"}
            axes.plot(point.seconds, point.error, markersize=8, label=model, **style)
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
