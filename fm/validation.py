"""Checks of hyperparameters, and of what is given to `fit` and `predict`.

A hyperparameter means the same in every solver; one that a solver has no use for is refused.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from difflib import get_close_matches
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_array, column_or_1d, validate_data

from fm.arrays import FloatArray, IndexArray, RealArray
from fm.design import Design
from fm.model import Matrix
from fm.sgd import SCHEDULES

DEFAULTS = {
    "sgd": {
        "n_iter": None,  # by `fm.batches.default_n_iter`
        "learning_rate": None,  # by `fm.sgd`
        "l2": None,  # learned
        "l2_w": None,
        "batch_size": None,
        "schedule": "adagrad",
        "power_t": 0.25,
        "early_stopping": None,
        "tol": 0.0,
    },
    "als": {
        "n_iter": 20,
        "l2": None,  # learned
        "l2_w": None,
        "groups": None,
        "early_stopping": None,
        "tol": 0.0,
        "n_jobs": 1,
    },
    "gibbs": {"n_iter": 200, "burn_in": None, "thin": 1, "groups": None, "n_jobs": 1},
}
"""Per solver: the hyperparameters it takes, with the value that stands for None."""

BURN_IN = 2
"""Chosen on validation: of 200 sweeps on MovieLens-100K (12 chains, k = 10), predictions from all but the first
2 have an MSE 0.0004 +- 0.00004 below those from all but the first 10: early draws differ most."""

DTYPES = ("float64", "float32")

LARGEST = 1e150
"""The largest magnitude of a number in X or y: its square is to be finite."""

SPECIFIC = sorted(set().union(*DEFAULTS.values()))


def check_hyperparameters(params: dict[str, object], solvers: Collection[str]) -> None:
    """ValueError or TypeError names the first hyperparameter that is out of range or has no use here."""
    check_choice("solver", params["solver"], solvers)
    check_choice("dtype", params["dtype"], DTYPES)
    check_integer("k", params["k"], low=0)
    check_number("init_std", params["init_std"], low=0)
    for name in SPECIFIC:
        if params.get(name) is not None and name not in DEFAULTS[params["solver"]]:
            having = " or ".join(repr(s) for s in solvers if name in DEFAULTS[s])
            raise ValueError(
                f"{name}={params[name]!r} has no meaning for solver={params['solver']!r}: "
                f"leave it None{f', or use solver={having}' if having else ''}"
            )
    given = {name: value for name, value in params.items() if value is not None}
    for name in ("n_iter", "batch_size", "early_stopping", "thin", "n_jobs"):
        if name in given:
            check_integer(name, given[name], low=1)
    if "burn_in" in given:
        check_integer("burn_in", given["burn_in"], low=0)
    if "learning_rate" in given:
        check_number("learning_rate", given["learning_rate"], above=0)
    for name in ("l2", "l2_w", "tol"):
        if name in given:
            check_number(name, given[name], low=0)
    if "schedule" in given:
        check_choice("schedule", given["schedule"], SCHEDULES)
    if "power_t" in given:
        check_number("power_t", given["power_t"], low=0)
        if params["schedule"] != "invscaling":
            raise ValueError(
                f"power_t={given['power_t']!r} has no meaning without schedule='invscaling'"
            )


def resolve_hyperparameters(params: dict[str, object]) -> dict[str, object]:
    """The solver's own hyperparameters, defaults filled in."""
    defaults = DEFAULTS[params["solver"]]
    settings = {
        name: default if params.get(name) is None else params[name]
        for name, default in defaults.items()
    }
    if "l2_w" in settings and settings["l2_w"] is None:
        settings["l2_w"] = settings["l2"]
    if "burn_in" in settings and settings["burn_in"] is None:
        settings["burn_in"] = min(BURN_IN, settings["n_iter"] // 2)
    return settings


def check_number(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    high: float = math.inf,
) -> None:
    """`low <= value <= high` and `value > above`, finite; ValueError or TypeError says which failed."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or not low <= value <= high or value <= above:
        raise ValueError(f"{name} must be {_interval(low, above, high)}, got {value!r}")


def check_integer(name: str, value: object, *, low: int) -> None:
    """A whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value!r}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """One of `choices`; the message names the nearest."""
    if value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}, got {value!r}{nearest(value, choices)}"
        )


def nearest(value: object, choices: Collection[str]) -> str:
    """` (did you mean 'x'?)` for the choice most like `value`, or nothing."""
    close = get_close_matches(str(value), list(choices), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _interval(low: float, above: float, high: float) -> str:
    parts = [f"above {above:g}"] if above > -math.inf else []
    parts += [f"at least {low:g}"] if low > -math.inf else []
    parts += [f"at most {high:g}"] if high < math.inf else []
    return " and ".join(parts) or "finite"


def check_X(estimator: BaseEstimator, X: Design | ArrayLike, *, reset: bool = False) -> Matrix:
    """X as a Design, a float array or a CSR matrix of floats; finite, with the columns of `fit` unless `reset`."""
    if not isinstance(X, Design):
        X = validate_data(
            estimator, X, reset=reset, accept_sparse=("csr", "csc"), dtype=(np.float64, np.float32)
        )
        if reset:
            estimator.blocks_ = None
        if sparse.issparse(X):
            X = X.tocsr()
            if not X.has_canonical_format:  # the caller's matrix stays as it is
                X = X.copy()
                X.sum_duplicates()
        _check_magnitude("X", X.data if sparse.issparse(X) else X)
        return X
    if not len(X):
        raise ValueError("the design has no rows")
    for block in X:
        if block.side_features is not None and not np.isfinite(block.side_features.data).all():
            raise ValueError(f"block {block.name!r}: side_features contains NaN or infinity")
    blocks = [(b.name + " (linear)" * b.linear, b.n_levels, b.n_side_features) for b in X]
    if reset:
        estimator.blocks_, estimator.n_features_in_ = blocks, X.shape[1]
    elif X.shape[1] != estimator.n_features_in_ or estimator.blocks_ not in (None, blocks):
        raise ValueError(
            f"the design's blocks (name, levels, side features) are {blocks}, "
            f"those of fit were {estimator.blocks_ or f'a matrix of {estimator.n_features_in_} columns'}"
        )
    return X


def check_target(y: ArrayLike, X: Matrix) -> RealArray:
    """Y as a one-dimensional array of finite numbers or of labels, one for each row of X."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
    if len(y) != X.shape[0]:
        raise ValueError(
            f"inconsistent numbers of samples: X has {X.shape[0]} rows, y has {len(y)}"
        )
    return y


def as_numbers(y: RealArray) -> FloatArray:
    """Y as finite float64, numbers in strings too; ValueError for what is none."""
    try:
        numbers = y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must be numbers: {error}") from None
    if not np.isfinite(numbers).all():
        raise ValueError(f"y must be finite numbers, got {y[~np.isfinite(numbers)][0]!r}")
    _check_magnitude("y", numbers)
    return numbers


def _check_magnitude(name: str, numbers: RealArray) -> None:
    """Refuse finite numbers whose squares are not."""
    largest = max(-float(numbers.min(initial=0)), float(numbers.max(initial=0)))
    if largest > LARGEST:
        raise ValueError(
            f"{name} has the number {largest:g} (or its negative), whose square overflows: "
            f"choose a larger unit, so that all numbers lie within +-{LARGEST:g}"
        )


def class_numbers(y: RealArray, classes: RealArray) -> IndexArray:
    """Places of the labels y in the sorted `classes`."""
    outside = ~np.isin(y, classes)
    if outside.any():
        raise ValueError(
            f"label {y[outside].tolist()[0]!r} is outside the classes of fit, {classes}"
        )
    return np.searchsorted(classes, y)


def check_weight(sample_weight: ArrayLike | None, X: Matrix) -> FloatArray | None:
    """Finite, not negative, (n_rows,), not all zero."""
    if sample_weight is None:
        return None
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def check_groups(groups: ArrayLike | None, X: Matrix) -> RealArray | None:
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
