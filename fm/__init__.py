"""Factorization machines in NumPy."""

from fm.design import UNKNOWN, Block, Design
from fm.estimators import FMClassifier, FMOrdinal, FMRegressor

__all__ = ["UNKNOWN", "Block", "Design", "FMClassifier", "FMOrdinal", "FMRegressor"]
