"""Every figure: a function each, from numbers to a `Drawing` that the color-blind can read."""

from bench.report.figures.models import (
    ByK,
    Curve,
    Point,
    System,
    error_by_k,
    gain_over_base_rate,
    held_out,
    learning_curves,
    pareto,
    systems,
    tried,
)
from bench.report.figures.rows import error_by_count, reliability, roc_and_precision_recall
from bench.report.figures.style import GREY, LEGEND, OUTSIDE, Drawing, Look, look, looks

__all__ = [
    "GREY",
    "LEGEND",
    "OUTSIDE",
    "ByK",
    "Curve",
    "Drawing",
    "Look",
    "Point",
    "System",
    "error_by_count",
    "error_by_k",
    "gain_over_base_rate",
    "held_out",
    "learning_curves",
    "look",
    "looks",
    "pareto",
    "reliability",
    "roc_and_precision_recall",
    "systems",
    "tried",
]
