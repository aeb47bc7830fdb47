"""Where a model errs, and whether its predictions mean what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from bench.report.figures.style import BLUE, GREY, ORANGE, Look, drawn, looks

BINS = 8
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
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        panels[0].set_ylabel(f"test {label}")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)


def predicted_and_observed(model: str, rows: pd.DataFrame, path: Path) -> None:
    """Draw the mean target of rows that were predicted alike, and the coverage of intervals.

    The latter where the frame has `std`, beside `target` and `prediction`.
    """
    with_intervals = "std" in rows
    with drawn(path, (9 if with_intervals else 5, 4.4)) as figure:
        figure.suptitle(f"Do the predictions of {model} mean what they say?")
        panels = figure.subplots(1, 2 if with_intervals else 1, squeeze=False)[0]
        axes = panels[0]
        grouped = rows.groupby(pd.qcut(rows["prediction"], 20, duplicates="drop"), observed=True)
        predicted, observed = grouped["prediction"].mean(), grouped["target"].agg(["mean", "sem"])
        ends = [predicted.min(), predicted.max()]
        axes.plot(ends, ends, color=GREY, linestyle="--", label="as predicted")
        axes.errorbar(
            predicted,
            observed["mean"],
            1.96 * observed["sem"],
            fmt="o",
            color=BLUE,
            capsize=2,
            label="20 equal bins, 95 %",
        )
        axes.set(xlabel="predicted", ylabel="mean observed")
        axes.legend(frameon=False)
        if with_intervals:
            _coverage(panels[1], rows)


def _coverage(axes, rows: pd.DataFrame) -> None:
    off = np.abs(rows["target"] - rows["prediction"]) / rows["std"]
    inside = np.array([np.mean(off <= norm.ppf((1 + level) / 2)) for level in LEVELS])
    axes.plot(
        [100 * LEVELS[0], 100],
        [100 * LEVELS[0], 100],
        color=GREY,
        linestyle="--",
        label="as stated",
    )
    axes.plot(100 * LEVELS, 100 * inside, "o-", color=ORANGE, label="observed")
    axes.set(xlabel="stated coverage of the interval, %", ylabel="rows within it, %")
    axes.legend(frameon=False)
