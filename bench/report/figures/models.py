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
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Epochs and values."""
PANELS = 4
"""Numbers of factors, at most, that have a panel each."""
FEW = 6
"""Values, at most, of a grid."""
LABELLED = 3
"""Points of a panel, the best, whose errors are written beside them."""
COLUMNS = 3
"""Of learning curves."""
HELD_OUT = {"validation": ("validation", "-"), "withheld": ("withheld by the program itself", ":")}
"""Rows that are not learned from, as curves name them -> what they are, and their line."""
CENTERED: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
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
RING: dict[str, Any] = {"fillstyle": "none", "markeredgewidth": 3}
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


def error_by_k(
    models: Mapping[str, pd.DataFrame], styles: Mapping[str, Look], label: str
) -> Drawing:
    """Return test error, and dotted the validation error, by number of factors: a line a model.

    A frame has `validation`, `test` (NaN where nothing was tested) and `spread`, its standard
    deviation over repeats, of the best configuration with each number of factors (the index).
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel="factors k", ylabel=f"{label} of the best with so many")
        named = len(models) <= IN_LEGEND
        for model, line in models.items():
            style = dict(styles[model])
            if line["test"].notna().any():
                name = f"{model}, test" if named else None
                axes.errorbar(
                    line.index, line["test"], line["spread"], capsize=3, label=name, **style
                )
            style |= {"linestyle": ":", "fillstyle": "none"}
            name = f"{model}, validation" if named else None
            axes.plot(line["validation"], label=name, **style)
            if not named:
                last = (line.index[-1], line["validation"].iloc[-1])
                axes.annotate(model, last, (6, 0), textcoords="offset points", fontsize=8)
        ticks = sorted({k for line in models.values() for k in line.index})
        axes.set_xscale("symlog", base=2, linthresh=1)
        axes.set_xticks(ticks, map(str, ticks))
        axes.minorticks_off()
        if named:
            figure.legend(**OUTSIDE)

    return Drawing("How many factors are worth it?", "error_by_k", (7, 4.2), paint)


def tried(model: str, file: str, points: pd.DataFrame, label: str) -> Drawing:
    """Return validation error over learning rate and L2 as color; the best has a ring.

    `points` has a row for each configuration: `k`, `rate`, `l2` and `error`, NaN where it failed.
    There is a panel for each k, or one for all where there are many; few values are evenly spaced.
    """
    points = points.assign(x=_places(points["rate"]), y=_places(points["l2"]))
    panels = list(points.groupby("k")) if points["k"].nunique() <= PANELS else [(None, points)]
    finite = points["error"].dropna()
    best = None if finite.empty else points.loc[finite.idxmin()]

    def paint(figure: Figure) -> None:
        all_axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
        scales = {"xscale": _scale(points["rate"]), "yscale": _scale(points["l2"])}
        all_axes[0].set(ylabel="L2 penalty on factors", **scales)
        _mark(all_axes[0].xaxis, points["rate"])
        _mark(all_axes[0].yaxis, points["l2"])
        for axes, (k, of) in zip(all_axes, panels, strict=True):
            shown = _tried_panel(axes, of, points["error"])
            axes.set_title("" if k is None else f"k = {k}", fontsize=10)
            if best is not None and k in (None, best["k"]):
                axes.plot(best["x"], best["y"], "o", markersize=13, color=ORANGE, **RING)
        if points["error"].isna().any():
            all_axes[0].legend(frameon=False, fontsize=9)
        figure.colorbar(shown, ax=all_axes, label=f"validation {label}")

    title = f"Which learning rate and which L2 for {model}?"
    return Drawing(title, f"tried_{file}", (1.9 + 3.3 * len(panels), 3.8), paint)


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


def _tried_panel(axes: Axes, points: pd.DataFrame, errors: pd.Series) -> Any:
    """Draw the configurations of a panel; return what the colors are of."""
    colors = {"cmap": "cividis", "vmin": errors.min(), "vmax": errors.max()}
    axes.set_xlabel("learning rate")
    failed = points[points["error"].isna()]
    axes.plot(failed["x"], failed["y"], "x", color=BLACK, label="failed")
    shown = axes.scatter(points["x"], points["y"], 60, points["error"], zorder=2, **colors)
    for point in points.dropna().nsmallest(LABELLED, "error").itertuples():
        axes.annotate(f"{point.error:.3f}", (point.x, point.y), (0, 11), **CENTERED)
    axes.margins(0.2)
    return shown


def _scale(values: pd.Series) -> str:
    return "linear" if values.nunique() <= FEW else "log"


def _places(values: pd.Series) -> pd.Series:
    """Return where values stand: those of a grid at 0, 1, 2 ..., many where they are."""
    grid = sorted(set(values))
    return values.map(grid.index) if len(grid) <= FEW else values


def _mark(axis: Axis, values: pd.Series) -> None:
    """Label the values of a grid, else 1, 2 and 5 times powers of ten on a logarithmic scale."""
    from matplotlib.ticker import LogLocator, NullLocator

    grid = sorted(set(values))
    if len(grid) <= FEW:
        axis.set_ticks(range(len(grid)), [f"{value:g}" for value in grid])
        return
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


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
