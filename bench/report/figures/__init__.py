"""Every figure: one function each, from numbers to a PNG that the color-blind can read."""

from bench.report.figures.classes import (
    gain_over_base_rate,
    reliability,
    roc_and_precision_recall,
)
from bench.report.figures.cost import Point, pareto
from bench.report.figures.errors import error_by_count, predicted_and_observed
from bench.report.figures.learning import Curve, held_out, learning_curves
from bench.report.figures.published import System, systems
from bench.report.figures.style import GREY, Drawing, Look, drawn, look, looks
from bench.report.figures.tuning import ByK, Cells, Tried, error_by_k, heat_map, tried

__all__ = [
    "GREY",
    "ByK",
    "Cells",
    "Curve",
    "Drawing",
    "Look",
    "Point",
    "System",
    "Tried",
    "drawn",
    "error_by_count",
    "error_by_k",
    "gain_over_base_rate",
    "heat_map",
    "held_out",
    "learning_curves",
    "look",
    "looks",
    "pareto",
    "predicted_and_observed",
    "reliability",
    "roc_and_precision_recall",
    "systems",
    "tried",
]
