"""Figures of models: cost, hyperparameters, learning curves, and what was reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.figures.style import (
    BLACK,
    BLUE,
    GREY,
    IN_LEGEND,
    ORANGE,
    OUTSIDE,
    Drawing,
    Look,
    name_marks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Epochs and values."""
PARAMETERS = {
    "k": ("How many factors are worth it?", "factors k"),
    "learning_rate": ("Which learning rate?", "learning rate"),
    "l2": ("How strong a penalty?", "L2 penalty on factors"),
}
"""Hyperparameter -> the title of its figure, and the label of its axis."""
FEW = 12
"""Values, at most, that are joined by a line."""
COLUMNS = 3
"""Of learning curves."""
HELD_OUT = {"validation": ("validation", "-"), "withheld": ("withheld by the program itself", ":")}
"""Rows that are not learned from, as curves name them -> what they are, and their line."""
PLAIN: dict[str, Any] = {"linestyle": "none", "markersize": 7}
SYSTEM_MARKS: dict[str, dict[str, Any]] = {
    "whole": {"label": "measured, whole test set", "marker": "o", "color": BLUE},
    "first": {
        "label": "measured, first 8,192 test rows",
        "marker": "|",
        "color": BLACK,
        "markersize": 11,
    },
    "published": {
        "label": "published in 2016",
        "marker": "D",
        "color": ORANGE,
        "fillstyle": "none",
        "markeredgewidth": 1.8,
    },
}
"""Kind of error of a system -> how it is drawn."""
BELOW: dict[str, Any] = {"loc": "outside lower center", "frameon": False, "ncols": 4}


def pareto(models: pd.DataFrame, styles: Mapping[str, Look], label: str) -> Drawing:
    """Return test `error` against `seconds` of fit of each model (the index).

    The line joins the best within each time.
    """
    front = models.sort_values(["seconds", "error"])
    front = front[front["error"] < front["error"].cummin().shift(fill_value=np.inf)]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(
            xlabel="seconds of fit, one run", ylabel=f"test {label} (lower is better)"
        )
        axes.set_xscale("log")
        best: dict[str, Any] = {"color": GREY, "zorder": 0, "label": "best within the time"}
        axes.step(front["seconds"], front["error"], where="post", **best)
        for model, point in models.iterrows():
            style = {**styles[model], "linestyle": "none"}
            axes.plot(point["seconds"], point["error"], markersize=8, label=model, **style)
        if len(models) > IN_LEGEND:
            axes.margins(x=0.15)
            name_marks(figure, axes, models)
        else:
            figure.legend(**OUTSIDE)

    return Drawing("What does accuracy cost?", "pareto", (7.5, 4.4), paint)


def gain_over_base_rate(gains: Mapping[str, float], styles: Mapping[str, Look]) -> Drawing:
    """Return by how much of the base rate's log loss each model lowers it."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel="log loss below that of the base rate, %")
        height = np.arange(len(gains))[::-1]
        for y, (model, gain) in zip(height, gains.items(), strict=True):
            axes.plot(100 * gain, y, markersize=8, **{**styles[model], "linestyle": "none"})
        axes.axvline(0, color=GREY, linestyle="--", zorder=0)
        axes.set_yticks(height, list(gains))
        axes.set_ylim(-0.6, len(gains) - 0.4)

    size = (7, 1.2 + 0.34 * len(gains))
    title = "What is gained over knowing the base rate?"
    return Drawing(title, "gain_over_base_rate", size, paint)


def error_by_parameter(
    name: str, models: Mapping[str, pd.DataFrame], styles: Mapping[str, Look], label: str
) -> Drawing:
    """Return test error, and dotted the validation error, by a hyperparameter: a line a model.

    `name` is one of `PARAMETERS`. A frame has `validation`, `test` (NaN where nothing was tested)
    and `spread`, its standard deviation over repeats, of the best configuration with each value
    (the index).
    """
    title, xlabel = PARAMETERS[name]
    values = sorted({value for line in models.values() for value in line.index})

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel=xlabel, ylabel=f"{label} of the best with each")
        named = len(models) <= IN_LEGEND
        for model, line in models.items():
            style = dict(styles[model]) | ({"linestyle": "none"} if len(line) > FEW else {})
            if line["test"].notna().any():
                of = f"{model}, test" if named else None
                axes.errorbar(
                    line.index, line["test"], line["spread"], capsize=3, label=of, **style
                )
            style |= {"fillstyle": "none"} | ({"linestyle": ":"} if len(line) <= FEW else {})
            of = f"{model}, validation" if named else None
            axes.plot(line["validation"], label=of, **style)
            if not named:
                last = (line.index[-1], line["validation"].iloc[-1])
                axes.annotate(model, last, (6, 0), textcoords="offset points", fontsize=8)
        least = min((value for value in values if value > 0), default=1)
        axes.set_xscale("symlog", base=2 if name == "k" else 10, linthresh=least)
        if len(values) <= FEW:
            axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        if named:
            figure.legend(**OUTSIDE)

    return Drawing(title, f"error_by_{name}", (7, 4.2), paint)


def learning_curves(curves: Mapping[str, Mapping[str, Curve]], loss: str, label: str) -> Drawing:
    """Return a panel a model: loss on train, on held-out rows, and where the latter is lowest.

    Curves are named `train_LOSS`, `validation_LOSS`, `withheld_LOSS`.
    """
    rows, columns = -(-len(curves) // COLUMNS), min(COLUMNS, len(curves))

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.ravel()[len(curves) :]:
            axes.set_axis_off()
        for axes, (model, of_model) in zip(panels.ravel(), curves.items(), strict=False):
            axes.set_title(model, fontsize=10)
            _learning_panel(axes, of_model, loss)
        for axes in panels[:, 0]:
            axes.set_ylabel(label)
        handles = {
            name: handle
            for axes in panels.ravel()
            for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), **BELOW)

    title = "Does it still learn, does it overfit?"
    return Drawing(title, "learning_curves", (1 + 3 * columns, 0.8 + 2.4 * rows), paint)


def held_out(curves: Mapping[str, Curve], loss: str) -> str | None:
    """Return the kind of held-out rows that there is a curve of, if there is one."""
    return next((kind for kind in HELD_OUT if f"{kind}_{loss}" in curves), None)


def systems(points: pd.DataFrame, title: str, reference: str) -> Drawing:
    """Return a line for each system (the index), MSE from left (better) to right.

    Columns are those of `SYSTEM_MARKS`, NaN where there is no value.
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel="test MSE (lower is better)")
        height = np.arange(len(points))[::-1]
        for column, style in SYSTEM_MARKS.items():
            if points[column].notna().any():
                axes.plot(points[column], height, **PLAIN | style)
        if np.isfinite(points["whole"].get(reference, np.nan)):
            axes.axvline(
                points["whole"][reference], color=GREY, linestyle=":", zorder=0, label=reference
            )
        axes.set_yticks(height, points.index)
        axes.set_ylim(-0.6, len(points) - 0.4)
        figure.legend(fontsize=9, **BELOW)

    return Drawing(title, "published", (8, 1.4 + 0.36 * len(points)), paint)


def _learning_panel(axes: Axes, curves: Mapping[str, Curve], loss: str) -> None:
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
    # The first epochs, whose error may be many times the last's, would flatten the rest.
    later = np.concatenate([v[np.isfinite(v)][np.isfinite(v).sum() // 10 :] for v in shown])
    if later.size:
        margin = 0.08 * (np.ptp(later) or 0.1)
        axes.set_ylim(later.min() - margin, later.max() + margin)
