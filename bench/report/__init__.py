"""Tables, pages and figures of tracked runs, at the end of a sweep and later."""

from bench.report.model_selection import comparisons
from bench.report.page import Report, sweep_folder, write
from bench.report.sweep_summary import failures, outcome, summary

__all__ = ["Report", "comparisons", "failures", "outcome", "summary", "sweep_folder", "write"]
