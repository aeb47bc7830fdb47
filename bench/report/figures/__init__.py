"""Every figure: one function each, from numbers to a PNG and an SVG; readable in grey and to the colour-blind."""

from bench.report.figures.cost import Point, pareto
from bench.report.figures.errors import error_by_count, predicted_and_observed
from bench.report.figures.learning import HELD_OUT, Curve, learning_curves
from bench.report.figures.published import System, systems
from bench.report.figures.style import GREY, drawn, look
from bench.report.figures.tuning import ByK, Cells, Tried, error_by_k, heat_map, tried

__all__ = [
    "GREY",
    "HELD_OUT",
    "ByK",
    "Cells",
    "Curve",
    "Point",
    "System",
    "Tried",
    "drawn",
    "error_by_count",
    "error_by_k",
    "heat_map",
    "learning_curves",
    "look",
    "pareto",
    "predicted_and_observed",
    "systems",
    "tried",
]
