"""Figures of models: cost, hyperparameters, and learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.figures.style import BLUE, GREY, ORANGE, OUTSIDE, Drawing, Shown
from bench.report.model_selection import Choice, Configuration, ranked
from bench.tracking import RunReader

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
BELOW: dict[str, Any] = {"loc": "outside lower center", "frameon": False, "ncols": 4}


def pareto(shown: Shown) -> Iterator[Drawing]:
    """Give test error against seconds of fit; the line joins the best within each time."""
    points = pd.DataFrame(
        {"seconds": row.chosen.mean("time/fit_seconds"), "error": row.chosen.test_error}
        for row in shown.rows.values()
    )
    points = points.set_axis(list(shown.rows)).astype(float).dropna()
    if len(points) < 2:
        return
    front = points.sort_values(["seconds", "error"])
    front = front[front["error"] < front["error"].cummin().shift(fill_value=np.inf)]
    label = f"test {shown.task.headline.label} (lower is better)"

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel="seconds of fit, one run", ylabel=label, xscale="log")
        best: dict[str, Any] = {"color": GREY, "zorder": 0, "label": "best within the time"}
        axes.step(front["seconds"], front["error"], where="post", **best)
        for name, point in points.iterrows():
            style = {**shown.looks[name], "linestyle": "none"}
            axes.plot(point["seconds"], point["error"], markersize=8, label=name, **style)
        figure.legend(**OUTSIDE)

    size = (8.4, max(4.4, 0.5 + 0.2 * len(points)))
    yield Drawing("What does accuracy cost?", "pareto", size, paint)


def error_by_parameters(shown: Shown) -> Iterator[Drawing]:
    """Give for each of `PARAMETERS` the test error, and dotted the validation error, by its value.

    There is a line for each model with several values: of the best configuration with each.
    """
    for parameter, (title, label) in PARAMETERS.items():
        lines = {n: best_by(row, f"model.{parameter}") for n, row in shown.rows.items()}
        lines = {name: line for name, line in lines.items() if len(line) > 1}
        if lines:
            paint = partial(_error_by_parameter, label, lines, shown)
            yield Drawing(title, f"error_by_{parameter}", (7, 4.2), paint)


def best_by(row: Choice, key: str) -> pd.DataFrame:
    """Return errors of the best configuration with each value of a parameter (the index).

    Columns are `validation`, `test` (NaN where nothing was tested) and `spread`, the standard
    deviation of the latter over repeats.
    """
    best: dict[float, Configuration] = {}
    for c in sorted(row.of, key=lambda c: ranked(c.validation_error)):
        value = pd.to_numeric(c.params.get(key, "nan"), errors="coerce")
        if np.isfinite(value) and c.validation_error is not None:
            best.setdefault(float(value), c)
    metric = row.chosen.task.headline_metric
    lines = {k: (c.validation_error, c.test_error, c.std(metric) or 0.0) for k, c in best.items()}
    columns = ["validation", "test", "spread"]
    return pd.DataFrame.from_dict(lines, "index", float, columns).sort_index()


def _error_by_parameter(
    label: str, lines: Mapping[str, pd.DataFrame], shown: Shown, figure: Figure
) -> None:
    values = sorted({value for line in lines.values() for value in line.index})
    ylabel = f"{shown.task.headline.label} of the best with each"
    axes = figure.add_subplot(xlabel=label, ylabel=ylabel)
    for name, line in lines.items():
        joined = len(line) <= FEW
        style = dict(shown.looks[name]) | ({} if joined else {"linestyle": "none"})
        if line["test"].notna().any():
            style["label"] = f"{name}, test"
            axes.errorbar(line.index, line["test"], line["spread"], capsize=3, **style)
        style |= {"fillstyle": "none", "label": f"{name}, validation"}
        style |= {"linestyle": ":"} if joined else {}
        axes.plot(line["validation"], **style)
    least = min((value for value in values if value > 0), default=1)
    base = 2 if label == PARAMETERS["k"][1] else 10
    axes.set_xscale("symlog", base=base, linthresh=least)
    if len(values) <= FEW:
        axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    figure.legend(**OUTSIDE)


def learning_curves(shown: Shown, reader: RunReader) -> Iterator[Drawing]:
    """Give a panel a model: loss on train, on held-out rows, and where the latter is lowest."""
    loss, label = shown.task.loss, shown.task.headline.label
    curves: dict[str, tuple[str, Curve, Curve | None]] = {}
    for name, row in shown.rows.items():
        of = reader.curves(row.chosen.records[0].run_id)
        kind = next((kind for kind in HELD_OUT if f"{kind}_{loss}" in of), None)
        if kind is not None:
            curves[name] = kind, of[f"{kind}_{loss}"], of.get(f"train_{loss}")
    rows, columns = -(-len(curves) // COLUMNS), min(COLUMNS, len(curves))

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False)
        handles: dict[str, Any] = {}
        for axes in panels.ravel()[len(curves) :]:
            axes.set_axis_off()
        for axes, (model, of_model) in zip(panels.ravel(), curves.items(), strict=False):
            axes.set(title=model, xlabel="epoch or sweep")
            axes.title.set_fontsize(10)
            _learning_panel(axes, *of_model)
            handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        for axes in panels[:, 0]:
            axes.set_ylabel(label)
        figure.legend(handles.values(), handles.keys(), **BELOW)

    title = "Does it still learn, does it overfit?"
    if curves:
        yield Drawing(title, "learning_curves", (1 + 3 * columns, 0.8 + 2.4 * rows), paint)


def _learning_panel(axes: Axes, kind: str, held_out: Curve, train: Curve | None) -> None:
    if train is not None:
        axes.plot(*train, "--", color=GREY, label="train")
    (epochs, values), (name, line) = held_out, HELD_OUT[kind]
    axes.plot(epochs, values, line, color=BLUE, label=name)
    if np.isfinite(values).any():
        best = int(np.nanargmin(values))
        axes.plot(epochs[best], values[best], "o", color=ORANGE, label="lowest")
    # The first epochs, whose error may be many times the last's, would flatten the rest.
    shown = [values] if train is None else [train[1], values]
    later = np.concatenate([v[np.isfinite(v)][np.isfinite(v).sum() // 10 :] for v in shown])
    if later.size:
        margin = 0.08 * (np.ptp(later) or 0.1)
        axes.set_ylim(later.min() - margin, later.max() + margin)
