"""What is kept of each test row beside its prediction, for those who ask where a model errs."""

from __future__ import annotations

import inspect

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from bench.data.dataset import Dataset
from bench.data.splits import Split
from fm.design import Design


def row_statistics(
    model: BaseEstimator, X_test: Design, dataset: Dataset, split: Split
) -> dict[str, NDArray]:
    """Columns (n_test,): `user_ratings` and `item_ratings`, how many training rows the row's user and item have,
    and `std`, the standard deviation of the rating given the data, where the model knows one."""
    columns = {f"{who}_ratings": _times(dataset, split, who) for who in ("user", "item")}
    std = _std(model, X_test)
    return columns if std is None else columns | {"std": std}


def _times(dataset: Dataset, split: Split, who: str) -> NDArray[np.int64]:
    ids = dataset.ratings[who]
    counts = ids.iloc[split.development].value_counts()
    return ids.iloc[split.test].map(counts).fillna(0).to_numpy(np.int64)


def _std(model: BaseEstimator, X: Design) -> NDArray[np.float64] | None:
    if hasattr(model, "predict_proba") and hasattr(model, "classes_"):
        p = model.predict_proba(X)
        return np.sqrt(np.maximum(p @ model.classes_**2 - (p @ model.classes_) ** 2, 0))
    if "return_std" in inspect.signature(model.predict).parameters and hasattr(model, "draws_"):
        return model.predict(X, return_std=True)[1]
    return None
