"""Checks of what is given to `fit` and `predict`, for matrices and designs alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_array, column_or_1d, validate_data

from fm.design import Design
from fm.model import Matrix


def check_X(estimator: BaseEstimator, X: Design | ArrayLike, *, reset: bool = False) -> Matrix:
    """X as a Design, a float array or a CSR matrix of floats; finite, with the columns of `fit` unless `reset`."""
    if not isinstance(X, Design):
        X = validate_data(
            estimator, X, reset=reset, accept_sparse=("csr", "csc"), dtype=(np.float64, np.float32)
        )
        if reset:
            estimator.blocks_ = None
        return X.tocsr() if sparse.issparse(X) else X
    if not len(X):
        raise ValueError("the design has no rows")
    for block in X:
        if block.side is not None and not np.isfinite(block.side.data).all():
            raise ValueError(f"block {block.name!r}: side contains NaN or infinity")
    blocks = [(b.name + " (linear)" * b.linear, b.n_levels, b.n_side) for b in X]
    if reset:
        estimator.blocks_, estimator.n_features_in_ = blocks, X.shape[1]
    elif X.shape[1] != estimator.n_features_in_ or estimator.blocks_ not in (None, blocks):
        raise ValueError(
            f"the design's blocks (name, levels, side features) are {blocks}, "
            f"those of fit were {estimator.blocks_ or f'a matrix of {estimator.n_features_in_} columns'}"
        )
    return X


def check_target(y: ArrayLike, X: Matrix) -> NDArray:
    """y as a one-dimensional array of finite numbers or of labels, one for each row of X."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
    if len(y) != X.shape[0]:
        raise ValueError(
            f"inconsistent numbers of samples: X has {X.shape[0]} rows, y has {len(y)}"
        )
    return y


def as_numbers(y: NDArray) -> NDArray[np.float64]:
    """y as finite float64, numbers in strings too; ValueError for what is none."""
    try:
        numbers = y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must be numbers: {error}") from None
    if not np.isfinite(numbers).all():
        raise ValueError(f"y must be finite numbers, got {y[~np.isfinite(numbers)][0]!r}")
    return numbers


def class_numbers(y: NDArray, classes: NDArray) -> NDArray[np.intp]:
    """Places of the labels y in the sorted `classes`."""
    outside = ~np.isin(y, classes)
    if outside.any():
        raise ValueError(
            f"label {y[outside].tolist()[0]!r} is outside the classes of fit, {classes}"
        )
    return np.searchsorted(classes, y)


def check_weight(sample_weight: ArrayLike | None, X: Matrix) -> NDArray[np.float64] | None:
    """Finite, not negative, (n_rows,), not all zero."""
    if sample_weight is None:
        return None
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def repeated_rows(sample_weight: NDArray[np.float64]) -> NDArray[np.intp]:
    """Row numbers, each as often as its weight says, for a likelihood that knows whole rows only."""
    counts = sample_weight.astype(np.intp)
    if np.any(counts != sample_weight):
        raise ValueError(
            "sample_weight must be whole numbers, which say how often a row occurs, for classes by solver='gibbs'; "
            f"got {sample_weight[counts != sample_weight][0]:g}"
        )
    return np.repeat(np.arange(len(counts)), counts)


def check_groups(groups: ArrayLike | None, X: Matrix) -> NDArray | None:
    """(n_features,) whole numbers; a Design's groups are its blocks."""
    if groups is None:
        return None
    if isinstance(X, Design):
        raise TypeError("groups is for matrices: the groups of a design are its blocks")
    groups = column_or_1d(groups)
    if len(groups) != X.shape[1] or not np.issubdtype(groups.dtype, np.integer):
        raise ValueError(
            f"groups must be {X.shape[1]} whole numbers, one for each column of X; "
            f"got {len(groups)} of type {groups.dtype}"
        )
    return groups
