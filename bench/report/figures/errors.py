"""Where a model errs, and whether its predictions mean what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from bench.report.figures.style import BLUE, GREY, ORANGE, drawn, look

BINS = 8
TICKS = (0, *(digit * 10**power for power in range(7) for digit in (1, 3)))
LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
"""Nominal coverage of the intervals that are looked at."""


def error_by_count(models: Mapping[str, pd.DataFrame], path: Path) -> None:
    """MSE against the number of training ratings of the row's user, and of its item.

    Frames have a row a test rating: `squared_error`, `user_ratings`, `item_ratings`. Bins hold equally
    many rows; bars are 95 % intervals of the mean.
    """
    with drawn(path, (9, 4.2)) as figure:
        figure.suptitle("Of whom, and of what, are ratings predicted badly?")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, column, label in zip(
            panels,
            ("user_ratings", "item_ratings"),
            ("the user's training ratings", "the item's training ratings (popularity)"),
            strict=True,
        ):
            axes.set_xlabel(label)
            axes.set_xscale("symlog", linthresh=1)
            for number, (model, rows) in enumerate(models.items()):
                bins = pd.qcut(rows[column], BINS, duplicates="drop")
                grouped = rows.groupby(bins, observed=True)
                error = grouped["squared_error"].agg(["mean", "sem"])
                axes.errorbar(
                    grouped[column].median(),
                    error["mean"],
                    1.96 * error["sem"],
                    capsize=2,
                    label=model,
                    **look(number),
                )
            axes.minorticks_off()
            low, high = axes.get_xlim()
            ticks = [tick for tick in TICKS if low <= tick <= high]
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        panels[0].set_ylabel("test MSE")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)


def predicted_and_observed(model: str, rows: pd.DataFrame, path: Path) -> None:
    """Mean rating of rows that were predicted alike; and, where the frame has `std`, how many ratings lie
    within the intervals the model gives. Columns: `rating`, `prediction`, perhaps `std`."""
    with_intervals = "std" in rows
    with drawn(path, (9 if with_intervals else 5, 4.4)) as figure:
        figure.suptitle(f"Do the predictions of {model} mean what they say?")
        panels = figure.subplots(1, 2 if with_intervals else 1, squeeze=False)[0]
        axes = panels[0]
        grouped = rows.groupby(pd.qcut(rows["prediction"], 20, duplicates="drop"), observed=True)
        predicted, observed = grouped["prediction"].mean(), grouped["rating"].agg(["mean", "sem"])
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
        axes.set(xlabel="predicted rating", ylabel="mean observed rating")
        axes.legend(frameon=False)
        if with_intervals:
            _coverage(panels[1], rows)


def _coverage(axes, rows: pd.DataFrame) -> None:
    off = np.abs(rows["rating"] - rows["prediction"]) / rows["std"]
    inside = np.array([np.mean(off <= norm.ppf((1 + level) / 2)) for level in LEVELS])
    axes.plot(
        [100 * LEVELS[0], 100],
        [100 * LEVELS[0], 100],
        color=GREY,
        linestyle="--",
        label="as stated",
    )
    axes.plot(100 * LEVELS, 100 * inside, "o-", color=ORANGE, label="observed")
    axes.set(xlabel="stated coverage of the interval, %", ylabel="ratings within it, %")
    axes.legend(frameon=False)
