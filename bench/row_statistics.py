"""What is kept of each test row beside its prediction, for those who ask where a model errs."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from bench.data.dataset import Dataset
from bench.data.splits import Split
from fm.design import Design


def row_statistics(
    model: BaseEstimator, X_test: Design, dataset: Dataset, split: Split
) -> dict[str, NDArray]:
    """Return columns (n_test,) to be kept beside the predictions.

    `user_ratings` or `device_rows`, for each field: how many training rows the row's level has;
    `std`: the standard deviation of the rating given the data, where the model has one.
    """
    what = "ratings" if dataset.task == "rating" else "rows"
    columns = {f"{name}_{what}": _times(dataset, split, name) for name in dataset.fields}
    std = None if dataset.task == "binary" else _std(model, X_test)
    return columns if std is None else columns | {"std": std}


def _times(dataset: Dataset, split: Split, name: str) -> NDArray[np.int64]:
    levels = pd.factorize(dataset.rows[name])[0]
    counts = np.bincount(levels[split.development], minlength=levels.max() + 1)
    return counts[levels[split.test]]


def _std(model: BaseEstimator, X: Design) -> NDArray[np.float64] | None:
    if hasattr(model, "predict_proba") and hasattr(model, "classes_"):
        p = model.predict_proba(X)
        return np.sqrt(np.maximum(p @ model.classes_**2 - (p @ model.classes_) ** 2, 0))
    if "return_std" in inspect.signature(model.predict).parameters and hasattr(model, "draws_"):
        return model.predict(X, return_std=True)[1]
    return None
