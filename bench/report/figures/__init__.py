"""Every figure: one function each, from numbers to a PNG that the color-blind can read."""

from bench.report.figures.classes import (
    gain_over_base_rate,
    roc_and_precision_recall,
)
from bench.report.figures.cost import Point, pareto
from bench.report.figures.errors import error_by_count, reliability
from bench.report.figures.learning import Curve, held_out, learning_curves
from bench.report.figures.published import System, systems
from bench.report.figures.style import GREY, Drawing, Look, drawn, look, looks
from bench.report.figures.tuning import ByK, error_by_k, tried

__all__ = [
    "GREY",
    "ByK",
    "Curve",
    "Drawing",
    "Look",
    "Point",
    "System",
    "drawn",
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
