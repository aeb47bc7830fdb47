"""The models an FM is compared with, with scikit-learn's API."""

from baselines.factorization import MatrixFactorization, NonNegativeMatrixFactorization
from baselines.linear import QuadraticRegression, RidgeRegression
from baselines.logistic import BaseRate, LogisticRegression, QuadraticLogisticRegression, RowLookup
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
