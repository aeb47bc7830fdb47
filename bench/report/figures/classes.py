"""ROC and precision-recall curves, and the gain over the base rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bench.report.figures.style import GREY, Look, drawn, looks

POINTS = 400
"""Of a curve that has a point for each row."""


def roc_and_precision_recall(
    models: Mapping[str, pd.DataFrame], path: Path, *, styles: Mapping[str, Look] | None = None
) -> None:
    """Draw the ROC curve and precision against recall.

    Frames have `target` (0 or 1) and `prediction` (probability of 1).
    """
    styles = styles or looks(models)
    with drawn(path, (9.4, 4.2)) as figure:
        figure.suptitle("How well are ones ranked above zeros?")
        roc, precision = figure.subplots(1, 2)
        roc.set(xlabel="false positive rate", ylabel="true positive rate")
        precision.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
        roc.plot([0, 1], [0, 1], "--", color=GREY)
        for model, rows in models.items():
            line = {**styles[model], "marker": ""}
            order = np.argsort(-rows["prediction"].to_numpy(), kind="stable")
            score, ones = rows["prediction"].to_numpy()[order], rows["target"].to_numpy()[order]
            last = np.flatnonzero(np.append(score[1:] != score[:-1], True))  # of equal scores
            true, n = np.cumsum(ones)[last], last + 1
            points = np.unique(np.linspace(0, len(last) - 1, POINTS).round().astype(int))
            recall = true / true[-1]
            false_rate = (n - true) / max(1, n[-1] - true[-1])
            roc.plot(np.r_[0, false_rate[points]], np.r_[0, recall[points]], label=model, **line)
            precision.plot(recall[points], (true / n)[points], **line)
        rate = next(iter(models.values()))["target"].mean()
        precision.axhline(rate, color=GREY, linestyle="--", label="base rate")
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)


def gain_over_base_rate(
    gains: Mapping[str, float], path: Path, *, styles: Mapping[str, Look] | None = None
) -> None:
    """Draw by how much of the base rate's log loss each model lowers it."""
    styles = styles or looks(gains)
    with drawn(path, (7, 1.2 + 0.34 * len(gains))) as figure:
        axes = figure.add_subplot(
            title="What is gained over knowing the base rate?",
            xlabel="log loss below that of the base rate, %",
        )
        height = np.arange(len(gains))[::-1]
        for y, (model, gain) in zip(height, gains.items(), strict=True):
            axes.plot(100 * gain, y, markersize=8, **{**styles[model], "linestyle": "none"})
        axes.axvline(0, color=GREY, linestyle="--", zorder=0)
        axes.set_yticks(height, list(gains))
        axes.set_ylim(-0.6, len(gains) - 0.4)
