"""Every figure: one function each, from numbers to a file; readable in grey and to the colour-blind.

Matplotlib takes a third of a second to import, which a command that draws nothing need not wait for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fm.files import written_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008): distinguishable in every common form of colour blindness, and by lightness.
BLUE, ORANGE, BLACK, GREY = "#0072B2", "#E69F00", "#000000", "#888888"
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "svg.hashsalt": "fm-bench",
    "font.size": 10,
}


@dataclass(frozen=True)
class System:
    """A point of `systems`: measured error on the whole test set and on the first rows, as published."""

    name: str
    whole: float | None
    first: float | None
    published: float | None


def learning_curve(curves: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """Train and validation MSE against epochs or sweeps."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.add_subplot(title="Does it still learn?", xlabel="epoch or sweep", ylabel="MSE")
        for name, label, line in (("train_mse", "train", "--"), ("validation_mse", "validation", "-")):
            if name in curves:
                values = curves[name]
                colour = GREY if name == "train_mse" else BLUE
                axes.plot(1 + np.arange(len(values)), values, line, color=colour, label=label)
        if "validation_mse" in curves:
            best = int(np.nanargmin(curves["validation_mse"]))
            axes.plot(best + 1, curves["validation_mse"][best], "o", color=ORANGE, label=f"best, {best + 1}")
        if axes.lines:
            axes.legend(frameon=False)
        save(figure, path)


def systems(points: Sequence[System], title: str, reference: str, path: Path) -> None:
    """What was reported, what was measured: a line a system, MSE from left (better) to right."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(8, 1.4 + 0.36 * len(points)), layout="constrained")
        axes = figure.add_subplot(title=title, xlabel="test MSE (lower is better)")
        height = np.arange(len(points))[::-1]
        for values, marker, colour, size, label in (
            ([p.whole for p in points], "o", BLUE, 7, "measured, whole test set"),
            ([p.first for p in points], "|", BLACK, 11, "measured, first 8,192 test rows"),
            ([p.published for p in points], "D", ORANGE, 7, "published in 2016"),
        ):
            shown = [(v, h) for v, h in zip(values, height, strict=True) if v is not None]
            if shown:
                hollow = {"fillstyle": "none", "markeredgewidth": 1.8} if marker == "D" else {}
                axes.plot(
                    *zip(*shown, strict=True), marker, color=colour, markersize=size, label=label, **hollow
                )
        for point in points:
            if point.name == reference and point.whole is not None:
                axes.axvline(point.whole, color=GREY, linestyle=":", zorder=0, label=reference)
        axes.set_yticks(height, [p.name for p in points])
        axes.set_ylim(-0.6, len(points) - 0.4)
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.4, -0.14), ncols=4, fontsize=9)
        save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes `figure`, without a date so that the same numbers give the same bytes."""
    form = path.suffix.removeprefix(".")
    with written_aside(path) as file:
        figure.savefig(file, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
