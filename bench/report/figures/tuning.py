"""What hyperparameters do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.report.figures.style import BLACK, IN_LEGEND, ORANGE, Look, drawn, looks

if TYPE_CHECKING:
    from matplotlib.axis import Axis

PANELS = 4
"""Numbers of factors, at most, that have a panel each."""
FEW = 6
"""Values, at most, of a grid."""
LABELLED = 3
"""Points of a panel, the best, whose errors are written beside them."""
CENTERED: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
RING: dict[str, Any] = {"fillstyle": "none", "markeredgewidth": 3}


@dataclass(frozen=True)
class ByK:
    """A line of `error_by_k`, each (n_k,): factors, errors of the best configuration with so many.

    `test` may hold NaN where nothing was tested; `spread` is its standard deviation over repeats.
    """

    k: Sequence[int]
    validation: Sequence[float]
    test: Sequence[float]
    spread: Sequence[float]


def error_by_k(
    models: Mapping[str, ByK],
    path: Path,
    *,
    styles: Mapping[str, Look] | None = None,
    label: str = "MSE",
) -> None:
    """Draw test error, and dotted the validation error, by number of factors: a line a model."""
    styles = styles or looks(models)
    with drawn(path, (7, 4.2)) as figure:
        axes = figure.add_subplot(
            title="How many factors are worth it?",
            xlabel="factors k",
            ylabel=f"{label} of the best with so many",
        )
        named = len(models) <= IN_LEGEND
        for model, line in models.items():
            style = dict(styles[model])
            if np.isfinite(line.test).any():
                name = f"{model}, test" if named else None
                axes.errorbar(line.k, line.test, line.spread, capsize=3, label=name, **style)
            style |= {"linestyle": ":", "fillstyle": "none"}
            name = f"{model}, validation" if named else None
            axes.plot(line.k, line.validation, label=name, **style)
            if not named:
                last = (line.k[-1], line.validation[-1])
                axes.annotate(model, last, (6, 0), textcoords="offset points", fontsize=8)
        ticks = sorted({k for line in models.values() for k in line.k})
        axes.set_xscale("symlog", base=2, linthresh=1)
        axes.set_xticks(ticks, map(str, ticks))
        axes.minorticks_off()
        if named:
            figure.legend(loc="outside right upper", frameon=False, fontsize=9)


def tried(model: str, points: pd.DataFrame, path: Path, *, label: str = "MSE") -> None:
    """Draw validation error over learning rate and L2 as color; the best has a ring.

    `points` has a row for each configuration: `k`, `rate`, `l2` and `error`, NaN where it failed.
    There is a panel for each k, or one for all where there are many; few values are evenly spaced.
    """
    points = points.assign(x=_places(points["rate"]), y=_places(points["l2"]))
    panels = list(points.groupby("k")) if points["k"].nunique() <= PANELS else [(None, points)]
    colors = {"cmap": "cividis", "vmin": points["error"].min(), "vmax": points["error"].max()}
    finite = points["error"].dropna()
    best = None if finite.empty else points.loc[finite.idxmin()]
    with drawn(path, (1.9 + 3.3 * len(panels), 3.8)) as figure:
        figure.suptitle(f"Which learning rate and which L2 for {model}?", fontsize=11)
        all_axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
        scales = {"xscale": _scale(points["rate"]), "yscale": _scale(points["l2"])}
        all_axes[0].set(**scales)
        _mark(all_axes[0].xaxis, points["rate"])
        _mark(all_axes[0].yaxis, points["l2"])
        for axes, (k, of) in zip(all_axes, panels, strict=True):
            axes.set_xlabel("learning rate")
            axes.set_title("" if k is None else f"k = {k}", fontsize=10)
            failed = of[of["error"].isna()]
            axes.plot(failed["x"], failed["y"], "x", color=BLACK, label="failed")
            shown = axes.scatter(of["x"], of["y"], 60, of["error"], zorder=2, **colors)
            if best is not None and k in (None, best["k"]):
                axes.plot(best["x"], best["y"], "o", markersize=13, color=ORANGE, **RING)
            for point in of.dropna().nsmallest(LABELLED, "error").itertuples():
                place = (point.x, point.y)
                axes.annotate(f"{point.error:.3f}", place, (0, 11), **CENTERED)
            axes.margins(0.2)
        all_axes[0].set_ylabel("L2 penalty on factors")
        if points["error"].isna().any():
            all_axes[0].legend(frameon=False, fontsize=9)
        figure.colorbar(shown, ax=all_axes, label=f"validation {label}")


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
