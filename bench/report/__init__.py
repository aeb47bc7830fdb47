"""What a person reads when a sweep has ended, and later: from tracked runs, never from memory."""

from bench.report.model_selection import comparisons
from bench.report.page import Report, sweep_folder, write
from bench.report.sweep_summary import failures, outcome, summary

__all__ = ["Report", "comparisons", "failures", "outcome", "summary", "sweep_folder", "write"]
