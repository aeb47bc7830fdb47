"""What a person reads when a sweep has ended, and later: from tracked runs, never from memory."""

from bench.report.headlines import by_validation, failures, headline, outcome
from bench.report.page import write
from bench.report.sweep_summary import found, where

__all__ = ["by_validation", "failures", "found", "headline", "outcome", "where", "write"]
