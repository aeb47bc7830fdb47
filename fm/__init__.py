"""Factorization machines in NumPy."""

from fm.design import UNKNOWN, Block, Design
from fm.estimators import FMClassifier, FMRegressor

__all__ = ["UNKNOWN", "Block", "Design", "FMClassifier", "FMRegressor"]
