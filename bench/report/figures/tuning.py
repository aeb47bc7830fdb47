"""What hyperparameters do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.report.figures.style import BLACK, IN_LEGEND, ORANGE, Look, drawn, looks


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


@dataclass(frozen=True)
class Cells:
    """A panel of `heat_map`: validation error (n_l2, n_rates), NaN where it failed."""

    rates: Sequence[float]
    l2: Sequence[float]
    error: NDArray[np.float64]


def heat_map(model: str, by_k: Mapping[int, Cells], path: Path, *, label: str = "MSE") -> None:
    """Draw validation error over learning rate and L2, a panel a k; the best cell is framed."""
    from matplotlib.patches import Rectangle

    with drawn(path, (1.6 + 3.1 * len(by_k), 3.6)) as figure:
        figure.suptitle(f"Which learning rate and which L2 for {model}?")
        panels = figure.subplots(1, len(by_k), squeeze=False)[0]
        errors = np.concatenate([cells.error.ravel() for cells in by_k.values()])
        low, high = np.nanmin(errors), np.nanmax(errors)
        for axes, (k, cells) in zip(panels, by_k.items(), strict=True):
            image = axes.imshow(
                cells.error, cmap="cividis", vmin=low, vmax=high, origin="lower", aspect="auto"
            )
            axes.grid(visible=False)
            axes.set_title(f"k = {k}", fontsize=10)
            axes.set_xlabel("learning rate")
            axes.set_xticks(range(len(cells.rates)), [f"{rate:g}" for rate in cells.rates])
            axes.set_yticks(range(len(cells.l2)), [f"{l2:g}" for l2 in cells.l2])
            for (row, column), error in np.ndenumerate(cells.error):
                light = not error < (low + high) / 2
                text = "failed" if np.isnan(error) else f"{error:.3f}"
                axes.text(
                    column,
                    row,
                    text,
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=BLACK if light else "white",
                )
            if np.isfinite(cells.error).any():
                row, column = np.unravel_index(np.nanargmin(cells.error), cells.error.shape)
                frame = Rectangle(
                    (column - 0.47, row - 0.47),
                    0.94,
                    0.94,
                    fill=False,
                    edgecolor=ORANGE,
                    linewidth=3,
                )
                axes.add_patch(frame)
        panels[0].set_ylabel("L2 penalty on factors")
        figure.colorbar(image, ax=panels, label=f"validation {label}")


@dataclass(frozen=True)
class Tried:
    """What `tried` draws, each (n,): learning rates, L2, and validation error (NaN: failed)."""

    rates: Sequence[float]
    l2: Sequence[float]
    error: Sequence[float]


def tried(model: str, points: Tried, path: Path, *, label: str = "MSE") -> None:
    """Draw each configuration of a search, colored by validation error; the best has a ring."""
    from matplotlib.ticker import LogLocator, NullLocator

    rates, l2, error = (
        np.array(values, np.float64) for values in (points.rates, points.l2, points.error)
    )
    failed = np.isnan(error)
    with drawn(path, (5.2, 3.8)) as figure:
        figure.suptitle(f"Which learning rate and which L2 for {model}?", fontsize=11)
        axes = figure.add_subplot(
            xlabel="learning rate", ylabel="L2 penalty on factors", xscale="log", yscale="log"
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        axes.plot(rates[failed], l2[failed], "x", color=BLACK, label="failed")
        shown = axes.scatter(
            rates[~failed], l2[~failed], 60, error[~failed], cmap="cividis", zorder=2
        )
        if not failed.all():
            best = np.nanargmin(error)
            axes.plot(
                rates[best],
                l2[best],
                "o",
                markersize=13,
                fillstyle="none",
                color=ORANGE,
                markeredgewidth=3,
            )
            axes.annotate(
                f"{error[best]:.3f}",
                (rates[best], l2[best]),
                (0, 11),
                textcoords="offset points",
                ha="center",
            )
        if failed.any():
            axes.legend(frameon=False, fontsize=9)
        figure.colorbar(shown, ax=axes, label=f"validation {label}")
