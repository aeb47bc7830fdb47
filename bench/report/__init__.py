"""What a person reads when a sweep has ended, and later: from tracked runs, never from memory."""

from bench.report.ended import found, where
from bench.report.lines import by_validation, failures, headline, outcome
from bench.report.page import write

__all__ = ["by_validation", "failures", "found", "headline", "outcome", "where", "write"]
