"""The models an FM is compared with: one short file each, with scikit-learn's API."""

from baselines.linear import RidgeRegression
from baselines.mf import MatrixFactorization
from baselines.nmf import NonNegativeMatrixFactorization
from baselines.quadratic import QuadraticRegression
from baselines.vw import VowpalWabbit

__all__ = [
    "MatrixFactorization",
    "NonNegativeMatrixFactorization",
    "QuadraticRegression",
    "RidgeRegression",
    "VowpalWabbit",
]
