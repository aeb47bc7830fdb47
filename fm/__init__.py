"""Factorization machines in NumPy.

    from fm import FMRegressor
    FMRegressor(k=8).fit(X, y).predict(X_new)

Estimators `FMRegressor`, `FMClassifier`, `FMOrdinal`, `FMRanker`; rows as any matrix, as a
DataFrame, or as a `Design` of `Block`s and `NumericBlock`s.
"""

from fm.classifier import FMClassifier, FMOrdinal
from fm.design import UNKNOWN, Block, Design, NumericBlock
from fm.diagnostics import effective_sample_size, r_hat
from fm.io import load, save
from fm.ranker import FMRanker
from fm.recommendation import predict_pairs, recommend, similar
from fm.regressor import FMRegressor
from fm.svmlight import read_svmlight, write_svmlight

__version__ = "0.1.0"

__all__ = [
    "UNKNOWN",
    "Block",
    "Design",
    "FMClassifier",
    "FMOrdinal",
    "FMRanker",
    "FMRegressor",
    "NumericBlock",
    "effective_sample_size",
    "load",
    "predict_pairs",
    "r_hat",
    "read_svmlight",
    "recommend",
    "save",
    "similar",
    "write_svmlight",
]
