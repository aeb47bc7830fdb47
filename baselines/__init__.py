"""The models an FM is compared with: one short file each, with scikit-learn's API."""

from baselines.linear import RidgeRegression
from baselines.logistic import BaseRate, LogisticRegression, QuadraticLogisticRegression
from baselines.lookup import RowLookup
from baselines.mf import MatrixFactorization
from baselines.nmf import NonNegativeMatrixFactorization
from baselines.quadratic import QuadraticRegression
from baselines.vw import VowpalWabbit, VowpalWabbitClassifier

__all__ = [
    "BaseRate",
    "LogisticRegression",
    "MatrixFactorization",
    "NonNegativeMatrixFactorization",
    "QuadraticLogisticRegression",
    "QuadraticRegression",
    "RidgeRegression",
    "RowLookup",
    "VowpalWabbit",
    "VowpalWabbitClassifier",
]
