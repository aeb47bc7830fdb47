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
TRAIN = "train_mse"
HELD_OUT = {"validation_mse": "validation", "withheld_mse": "withheld by the program itself"}
"""Curve of rows that are not learned from -> what they are."""
LINES = dict(zip(HELD_OUT, ("-", ":"), strict=True))


def learning_curves(curves: Mapping[str, Mapping[str, Curve]], path: Path) -> None:
    """A panel a model: error on `TRAIN` rows, on one kind of `HELD_OUT` rows, and where the latter is lowest."""
    rows = -(-len(curves) // COLUMNS)
    columns = min(COLUMNS, len(curves))
    with drawn(path, (1 + 3 * columns, 0.8 + 2.4 * rows)) as figure:
        figure.suptitle("Does it still learn, does it overfit?")
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.ravel()[len(curves) :]:
            axes.set_axis_off()
        for axes, (model, of_model) in zip(panels.ravel(), curves.items(), strict=False):
            _panel(axes, model, of_model)
        for axes in panels[:, 0]:
            axes.set_ylabel("MSE")
        handles = {
            label: handle
            for axes in panels.ravel()
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False
        )


def _panel(axes: Axes, model: str, curves: Mapping[str, Curve]) -> None:
    axes.set_title(model, fontsize=10)
    axes.set_xlabel("epoch or sweep")
    if TRAIN in curves:
        axes.plot(*curves[TRAIN], "--", color=GREY, label="train")
    held_out = next(name for name in HELD_OUT if name in curves)
    epochs, values = curves[held_out]
    axes.plot(epochs, values, LINES[held_out], color=BLUE, label=HELD_OUT[held_out])
    best = int(np.nanargmin(values))
    axes.plot(epochs[best], values[best], "o", color=ORANGE, label="lowest")
    _without_the_start(
        axes, [v[np.isfinite(v)] for name, (_, v) in curves.items() if name in (TRAIN, held_out)]
    )


def _without_the_start(axes: Axes, values: list[NDArray[np.float64]]) -> None:
    """The first epochs' error may be many times the last's, and would flatten the rest."""
    later = np.concatenate([v[len(v) // 10 :] for v in values if v.size])
    if later.size:
        margin = 0.08 * (np.ptp(later) or 0.1)
        axes.set_ylim(later.min() - margin, later.max() + margin)
