"""Error against epochs or sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.report.figures.style import BLUE, GREY, ORANGE, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Epochs and values."""
COLUMNS = 3
HELD_OUT = {"validation": ("validation", "-"), "withheld": ("withheld by the program itself", ":")}
"""Rows that are not learned from, as curves name them -> what they are, and their line."""


def learning_curves(
    curves: Mapping[str, Mapping[str, Curve]], path: Path, *, loss: str = "mse", label: str = "MSE"
) -> None:
    """Draw a panel for each model: loss on train, on held-out rows, and where the latter is lowest.

    Curves are named `train_LOSS`, `validation_LOSS`, `withheld_LOSS`.
    """
    rows = -(-len(curves) // COLUMNS)
    columns = min(COLUMNS, len(curves))
    with drawn(path, (1 + 3 * columns, 0.8 + 2.4 * rows)) as figure:
        figure.suptitle("Does it still learn, does it overfit?")
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.ravel()[len(curves) :]:
            axes.set_axis_off()
        for axes, (model, of_model) in zip(panels.ravel(), curves.items(), strict=False):
            _panel(axes, model, of_model, loss)
        for axes in panels[:, 0]:
            axes.set_ylabel(label)
        handles = {
            label: handle
            for axes in panels.ravel()
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False
        )


def held_out(curves: Mapping[str, Curve], loss: str) -> str | None:
    """Return the kind of held-out rows that there is a curve of, if there is one."""
    return next((kind for kind in HELD_OUT if f"{kind}_{loss}" in curves), None)


def _panel(axes: Axes, model: str, curves: Mapping[str, Curve], loss: str) -> None:
    axes.set_title(model, fontsize=10)
    axes.set_xlabel("epoch or sweep")
    train, kind = curves.get(f"train_{loss}"), held_out(curves, loss)
    shown = [] if train is None else [train[1]]
    if train is not None:
        axes.plot(*train, "--", color=GREY, label="train")
    if kind is not None:
        epochs, values = curves[f"{kind}_{loss}"]
        name, line = HELD_OUT[kind]
        axes.plot(epochs, values, line, color=BLUE, label=name)
        if np.isfinite(values).any():
            best = int(np.nanargmin(values))
            axes.plot(epochs[best], values[best], "o", color=ORANGE, label="lowest")
        shown.append(values)
    _without_the_start(axes, [values[np.isfinite(values)] for values in shown])


def _without_the_start(axes: Axes, values: list[NDArray[np.float64]]) -> None:
    """Leave out the first epochs, whose error may be many times the last's and flatten the rest."""
    later = np.concatenate([v[len(v) // 10 :] for v in values])
    if later.size:
        margin = 0.08 * (np.ptp(later) or 0.1)
        axes.set_ylim(later.min() - margin, later.max() + margin)
