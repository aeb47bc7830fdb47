"""Figures of single test rows: where models err, how they rank, whether they mean what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.metrics import precision_recall_curve, roc_curve

from bench.metrics import quantile_bins
from bench.report.figures.style import GREY, OUTSIDE, Drawing, Look, Shown
from bench.report.paired_gaps import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_LINES = 5
"""Models whose errors are drawn row by row: the reference and the best by validation."""
N_FIELDS = 3
"""Fields, those of the rarest levels, by whose counts errors are drawn."""
COUNTS = re.compile(r"(.+)_(ratings|rows)")
"""Columns beside predictions: how often the level of a field is in training rows."""
BINS = 8
RELIABILITY_BINS = 15
LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
"""Nominal coverage of the intervals that are looked at."""
Frames = Mapping[str, pd.DataFrame]
"""Model -> a row for each test row, with `target`, `prediction` and `loss`."""


def figures_of_rows(shown: Shown, reference: str, predictions: Predictions) -> Iterator[Drawing]:
    """Give the figures of single test rows, of the best models and the reference."""
    tested = [name for name, row in shown.rows.items() if row.chosen.tested]
    references = [name for name in tested if shown.rows[name].model == reference]
    names = list(dict.fromkeys([*tested[:1], *references, *tested]))[:N_LINES]
    if not names:
        return
    frames = {name: predictions.once(shown.rows[name].chosen) for name in names}
    first, columns = frames[names[0]], set.intersection(*map(set, frames.values()))
    counted = [m for column in first if column in columns and (m := COUNTS.fullmatch(column))]
    rarest = sorted(counted, key=lambda m: first[m[0]].median())[:N_FIELDS]
    if rarest:
        fields = {m[1]: m[0] for m in rarest}
        yield error_by_count(frames, fields, shown.looks, shown.task.headline.label)
    yield reliability(frames, shown.looks)
    rates = [frame["target"].mean() for frame in frames.values()]
    if shown.task.name == "binary" and all(0 < rate < 1 for rate in rates):
        yield roc_and_precision_recall(frames, shown.looks)


def error_by_count(
    models: Frames, fields: Mapping[str, str], styles: Mapping[str, Look], label: str
) -> Drawing:
    """Return the loss against the number of training rows of the row's level, a panel a field.

    `fields` names a column of counts for each field. Bins hold equally many rows; bars are 95 %
    intervals of the mean.
    """

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import SymmetricalLogLocator

        panels = figure.subplots(1, len(fields), sharey=True, squeeze=False)[0]
        for axes, (field, column) in zip(panels, fields.items(), strict=True):
            axes.set_xlabel(f"training rows of the row's {field}")
            axes.set_xscale("symlog", linthresh=1)
            for model, rows in models.items():
                bins = pd.qcut(rows[column], BINS, duplicates="drop")
                grouped = rows.groupby(bins, observed=True)
                mean, sem = grouped["loss"].mean(), grouped["loss"].sem()
                counts = grouped[column].median()
                axes.errorbar(counts, mean, 1.96 * sem, capsize=2, label=model, **styles[model])
            axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=[1, 3]))
            axes.xaxis.set_major_formatter("{x:,.0f}")
        panels[0].set_ylabel(f"test {label}")
        figure.legend(*panels[0].get_legend_handles_labels(), **OUTSIDE)

    size = (1.4 + 3.8 * len(fields), 4.2)
    return Drawing("Where is there little to learn from?", "error_by_count", size, paint)


def reliability(models: Frames, styles: Mapping[str, Look]) -> Drawing:
    """Return the mean target against the prediction, in bins of equally many rows.

    Of a binary task these are 0 or 1 and the probability of 1; bars are 95 % intervals. Where a
    frame has `std`, the coverage of its intervals is drawn too.
    """
    with_std = {model: rows for model, rows in models.items() if "std" in rows}

    def paint(figure: Figure) -> None:
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
        figure.legend(*axes.get_legend_handles_labels(), **OUTSIDE)

    size = (10 if with_std else 6.6, 4.4)
    return Drawing("Do predictions mean what they say?", "reliability", size, paint)


def roc_and_precision_recall(models: Frames, styles: Mapping[str, Look]) -> Drawing:
    """Return the ROC curve, and precision against recall, of classes and their probabilities."""

    def paint(figure: Figure) -> None:
        roc, precision = figure.subplots(1, 2)
        roc.set(xlabel="false positive rate", ylabel="true positive rate")
        precision.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
        roc.plot([0, 1], [0, 1], "--", color=GREY)
        for model, rows in models.items():
            line = {**styles[model], "marker": ""}
            false_rate, true_rate, _ = roc_curve(rows["target"], rows["prediction"])
            roc.plot(false_rate, true_rate, label=model, **line)
            of_ones, recall, _ = precision_recall_curve(
                rows["target"], rows["prediction"], drop_intermediate=True
            )
            precision.plot(recall[:-1], of_ones[:-1], **line)
        rate = next(iter(models.values()))["target"].mean()
        precision.axhline(rate, color=GREY, linestyle="--", label="base rate")
        figure.legend(**OUTSIDE)

    title = "How well are ones ranked above zeros?"
    return Drawing(title, "roc_and_precision_recall", (9.4, 4.2), paint)


def _coverage(axes: Axes, models: Frames, styles: Mapping[str, Look]) -> None:
    for model, rows in models.items():
        off = np.abs(rows["target"] - rows["prediction"]) / rows["std"]
        inside = [np.mean(off <= norm.ppf((1 + level) / 2)) for level in LEVELS]
        axes.plot(100 * LEVELS, 100 * np.array(inside), **styles[model])
    axes.plot([100 * LEVELS[0], 100], [100 * LEVELS[0], 100], "--", color=GREY)
    axes.set(xlabel="stated coverage of the interval, %", ylabel="rows within it, %")
