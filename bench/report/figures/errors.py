"""Where a model errs, and whether its predictions mean what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm

from bench.metrics import quantile_bins
from bench.report.figures.style import GREY, Look, drawn, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 8
RELIABILITY_BINS = 15
TICKS = (0, *(digit * 10**power for power in range(7) for digit in (1, 3)))
LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
"""Nominal coverage of the intervals that are looked at."""


def error_by_count(
    models: Mapping[str, pd.DataFrame],
    fields: Mapping[str, str],
    path: Path,
    *,
    styles: Mapping[str, Look] | None = None,
    label: str = "MSE",
) -> None:
    """Draw the loss against the number of training rows of the row's level, a panel for each field.

    `fields` names a column of counts for each field; frames have it and `loss`. Bins hold equally
    many rows; bars are 95 % intervals of the mean.
    """
    from matplotlib.ticker import MaxNLocator

    styles = styles or looks(models)
    with drawn(path, (1.4 + 3.8 * len(fields), 4.2)) as figure:
        figure.suptitle("Where is there little to learn from?")
        panels = figure.subplots(1, len(fields), sharey=True, squeeze=False)[0]
        for axes, (field, column) in zip(panels, fields.items(), strict=True):
            axes.set_xlabel(f"training rows of the row's {field}")
            axes.set_xscale("symlog", linthresh=1)
            for model, rows in models.items():
                bins = pd.qcut(rows[column], BINS, duplicates="drop")
                grouped = rows.groupby(bins, observed=True)
                error = grouped["loss"].agg(["mean", "sem"])
                axes.errorbar(
                    grouped[column].median(),
                    error["mean"],
                    1.96 * error["sem"],
                    capsize=2,
                    label=model,
                    **styles[model],
                )
            axes.minorticks_off()
            low, high = axes.get_xlim()
            ticks = [tick for tick in TICKS if low <= tick <= high]
            if len(ticks) < 2:
                even = MaxNLocator(4).tick_values(low, high)
                ticks = [tick for tick in even if low <= tick <= high]
            axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        panels[0].set_ylabel(f"test {label}")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)


def reliability(
    models: Mapping[str, pd.DataFrame], path: Path, *, styles: Mapping[str, Look] | None = None
) -> None:
    """Draw the mean target against the prediction, in bins of equally many rows.

    Frames have `target` and `prediction`, of a binary task 0 or 1 and the probability of 1; bars
    are 95 % intervals. Where a frame has `std`, the coverage of its intervals is drawn too.
    """
    styles = styles or looks(models)
    with_std = {model: rows for model, rows in models.items() if "std" in rows}
    with drawn(path, (10 if with_std else 6.6, 4.4)) as figure:
        figure.suptitle("Do predictions mean what they say?")
        axes, *coverage = figure.subplots(1, 2 if with_std else 1, squeeze=False)[0]
        ends: list[float] = []
        for model, rows in models.items():
            grouped = rows.groupby(quantile_bins(rows["prediction"].to_numpy(), RELIABILITY_BINS))
            predicted, observed = grouped["prediction"].mean(), grouped["target"].mean()
            error = 1.96 * grouped["target"].sem().fillna(0)
            axes.errorbar(predicted, observed, error, capsize=2, label=model, **styles[model])
            ends += [predicted.min(), predicted.max()]
        line = [min(ends), max(ends)]
        axes.plot(line, line, "--", color=GREY, label="as predicted", zorder=0)
        axes.set(xlabel="predicted", ylabel="mean observed")
        for panel in coverage:
            _coverage(panel, with_std, styles)
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9
        )


def _coverage(axes: Axes, models: Mapping[str, pd.DataFrame], styles: Mapping[str, Look]) -> None:
    for model, rows in models.items():
        off = np.abs(rows["target"] - rows["prediction"]) / rows["std"]
        inside = [np.mean(off <= norm.ppf((1 + level) / 2)) for level in LEVELS]
        axes.plot(100 * LEVELS, 100 * np.array(inside), **styles[model])
    axes.plot([100 * LEVELS[0], 100], [100 * LEVELS[0], 100], "--", color=GREY)
    axes.set(xlabel="stated coverage of the interval, %", ylabel="rows within it, %")
