"""What was reported beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.report.figures.style import BLACK, BLUE, GREY, ORANGE, drawn


@dataclass(frozen=True)
class System:
    """A line of `systems`: error on the whole test set, on the first rows, and as published."""

    name: str
    whole: float | None
    first: float | None
    published: float | None


def systems(points: Sequence[System], title: str, reference: str, path: Path) -> None:
    """Draw a line for each system, MSE from left (better) to right."""
    with drawn(path, (8, 1.4 + 0.36 * len(points))) as figure:
        axes = figure.add_subplot(title=title, xlabel="test MSE (lower is better)")
        height = np.arange(len(points))[::-1]
        for values, marker, color, size, label in (
            ([p.whole for p in points], "o", BLUE, 7, "measured, whole test set"),
            ([p.first for p in points], "|", BLACK, 11, "measured, first 8,192 test rows"),
            ([p.published for p in points], "D", ORANGE, 7, "published in 2016"),
        ):
            shown = [(v, h) for v, h in zip(values, height, strict=True) if v is not None]
            if shown:
                hollow: dict[str, Any] = (
                    {"fillstyle": "none", "markeredgewidth": 1.8} if marker == "D" else {}
                )
                axes.plot(
                    *zip(*shown, strict=True),
                    marker,
                    color=color,
                    markersize=size,
                    label=label,
                    **hollow,
                )
        for point in points:
            if point.name == reference and point.whole is not None:
                axes.axvline(point.whole, color=GREY, linestyle=":", zorder=0, label=reference)
        axes.set_yticks(height, [p.name for p in points])
        axes.set_ylim(-0.6, len(points) - 0.4)
        axes.legend(
            frameon=False, loc="upper center", bbox_to_anchor=(0.4, -0.14), ncols=4, fontsize=9
        )
