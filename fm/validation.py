"""Checks of hyperparameters, and of what is given to `fit` and `predict`.

A hyperparameter means the same in every solver. One that a solver has no use for is ignored by
`fit`, so that a grid may range over solvers, unless it contradicts; `check_params` refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from numbers import Integral, Real
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from fm.arrays import AnyArray, FloatArray, IndexArray, RealArray
from fm.design import Design
from fm.model import Matrix
from fm.tables import is_table, learn_columns, rows_of_table

PENALIZED: dict[str, Any] = {"l2": None, "l2_w": None, "early_stopping": None, "tol": 0.0}
DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": PENALIZED | {"n_iter": None, "learning_rate": None, "batch_size": None},
    "als": PENALIZED | {"n_iter": 20, "n_jobs": 1},
    "gibbs": {
        "n_iter": 200,
        "burn_in": None,
        "thin": 1,
        "n_chains": 1,
        "n_jobs": 1,
        "noise_by": (),
    },
}
"""Per solver: the hyperparameters it takes, with the value that stands for None; where that is None
as well, the solver finds one."""

BURN_IN = 2
"""Chosen on validation: of 200 sweeps on MovieLens-100K (12 chains, k = 10), predictions from all
but the first 2 have an MSE 0.0004 +- 0.00004 below those from all but the first 10: early draws
differ most."""

LARGEST = 1e150
"""The largest magnitude of a number in X or y: its square is to be finite."""


def check_annotated(estimator: object) -> None:
    """Raise ValueError or TypeError for the first attribute that its annotation does not allow."""
    for name, hint in get_type_hints(type(estimator), include_extras=True).items():
        kinds = get_args(hint) if NoneType in get_args(hint) else (hint,)
        value = getattr(estimator, name, None)
        for check in (c for kind in kinds for c in getattr(kind, "__metadata__", ())):
            if value is not None or NoneType not in kinds:
                check(name, value)


def check_hyperparameters(estimator: Any) -> None:
    """Raise ValueError or TypeError for the first hyperparameter that is out of range."""
    check_choice("solver", estimator.solver, estimator._solvers)
    check_annotated(estimator)
    patience = getattr(estimator, "early_stopping", None)
    if estimator.solver == "gibbs" and patience is not None:
        raise ValueError(
            f"early_stopping={patience!r} contradicts solver='gibbs', which averages over all its "
            "sweeps: leave it None"
        )


def check_use(params: Mapping[str, Any], solvers: Collection[str]) -> None:
    """Raise ValueError for the first hyperparameter that is given and has no use."""
    solver = params["solver"]
    for name in sorted({name for defaults in DEFAULTS.values() for name in defaults}):
        if params.get(name) is not None and name not in DEFAULTS[solver]:
            having = " or ".join(repr(s) for s in solvers if name in DEFAULTS[s])
            raise ValueError(
                f"{name}={params[name]!r} has no meaning for solver={solver!r}: "
                f"leave it None{f', or use solver={having}' if having else ''}"
            )


def resolve_hyperparameters(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the solver's own hyperparameters, defaults filled in."""
    settings = {
        name: default if params.get(name) is None else params[name]
        for name, default in DEFAULTS[params["solver"]].items()
    }
    if "l2_w" in settings and settings["l2_w"] is None:
        settings["l2_w"] = settings["l2"]
    if "noise_by" in settings:
        settings["noise_by"] = names_of_fields(settings["noise_by"])
    if "burn_in" in settings and settings["burn_in"] is None:
        settings["burn_in"] = min(BURN_IN, settings["n_iter"] // 2)
    return settings


def check_draws(n_sweeps: int, settings: Mapping[str, Any]) -> None:
    """Raise ValueError where `n_sweeps` sweeps leave no draw to predict by."""
    burn_in, thin = settings["burn_in"], settings["thin"]
    if n_sweeps < burn_in + thin:
        raise ValueError(
            f"burn_in={burn_in} and thin={thin} leave no draw of {n_sweeps} sweeps to predict by"
        )


def check_number(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    high: float = math.inf,
) -> None:
    """Raise ValueError or TypeError unless `low <= value <= high` and `value > above`, finite."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not math.isfinite(number) or not low <= number <= high or number <= above:
        limits = {"above": above, "at least": low, "at most": high}
        finite = [f"{word} {at:g}" for word, at in limits.items() if math.isfinite(at)]
        raise ValueError(f"{name} must be {' and '.join(finite) or 'finite'}, got {value!r}")


def check_integer(name: str, value: object, *, low: int) -> None:
    """Raise ValueError or TypeError unless `value` is a whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    check_number(name, value, low=low)


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise ValueError unless `value` is one of `choices`; the message names the nearest."""
    if value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}, got {value!r}{nearest(value, choices)}"
        )


def nearest(value: object, choices: Collection[str]) -> str:
    """Return ` (did you mean 'x'?)` for the choice most like `value`, or nothing."""
    close = get_close_matches(str(value), list(choices), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check_name(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be the name of a field, got {value!r}"[:160])


def _check_names(name: str, value: object) -> None:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(of, str) for of in names):
        raise TypeError(f"{name} must be the name of a field, or several, got {value!r}"[:160])
    if len(set(names)) < len(names):
        raise ValueError(f"{name} names a field twice: {value!r}"[:160])


PositiveInt = Annotated[int, partial(check_integer, low=1)]
NonNegativeInt = Annotated[int, partial(check_integer, low=0)]
PositiveFloat = Annotated[float, partial(check_number, above=0)]
NonNegativeFloat = Annotated[float, partial(check_number, low=0)]
FieldName = Annotated[str, _check_name]
FieldNames = Annotated[str | Sequence[str], _check_names]
DType = Annotated[str, partial(check_choice, choices=("float64", "float32"))]


def check_X(estimator: Any, X: Any, *, reset: bool = False) -> Matrix:  # noqa: N802
    """Return X as a Design, a float array or a CSR matrix of finite floats.

    A design with numeric blocks is returned as its matrix. X has the columns of `fit`, unless
    `reset`, which has `estimator` remember them.
    """
    if reset:
        estimator.table_ = learn_columns(X) if is_table(X) else None
        estimator.blocks_ = None
        if estimator.table_ is not None:
            validate_data(estimator, X, reset=True, skip_check_array=True)
    if isinstance(X, Design):
        return _check_design(estimator, X, reset)
    if estimator.table_ is None:
        return _check_matrix(estimator, X, reset)
    if not hasattr(X, "columns"):
        raise ValueError(
            "fit had a table, with columns "
            f"{str([column.name for column in estimator.table_])[:80]}: give a table with these"
        )
    rows = rows_of_table(X, estimator.table_)
    if isinstance(rows, Design):
        return _check_design(estimator, rows, reset)
    check_finite("X", rows.data)
    return rows


def _check_matrix(estimator: Any, X: ArrayLike, reset: bool) -> RealArray | sparse.csr_array:
    checked = validate_data(
        estimator, X, reset=reset, accept_sparse=("csr", "csc"), dtype=(np.float64, np.float32)
    )
    if sparse.issparse(checked):
        checked = checked.tocsr()
        if not checked.has_canonical_format:  # the caller's matrix stays as it is
            checked = checked.copy()
            checked.sum_duplicates()
    check_finite("X", checked.data if sparse.issparse(checked) else checked)
    return checked


def _check_design(estimator: Any, X: Design, reset: bool) -> Design | sparse.csr_array:
    if not len(X):
        raise ValueError("the design has no rows")
    for block in X:
        if block.side_features is not None:
            check_finite(f"block {block.name!r}: side_features", block.side_features.data)
    blocks = [(b.name + " (linear)" * b.linear, b.n_levels, b.n_side_features) for b in X]
    blocks += [(f"{b.name} (numeric)", 0, b.n_features) for b in X.numeric]
    rows: Design | sparse.csr_array = X
    if X.numeric:
        rows = X.to_csr()
        check_finite("a numeric block of the design", rows.data)
    if reset:
        estimator.blocks_ = blocks
        if estimator.table_ is None:
            estimator.n_features_in_ = X.shape[1]
            estimator.__dict__.pop("feature_names_in_", None)  # of an earlier fit
        return rows
    known = estimator.blocks_
    if known is None:
        fits = estimator.table_ is None and X.shape[1] == estimator.n_features_in_
    else:
        fits = blocks == known
    if not fits:
        raise ValueError(
            f"the design's blocks (name, levels, side features) are {blocks}, those of fit were "
            f"{known or f'a matrix of {estimator.n_features_in_} columns'}"
        )
    return rows


def check_target(y: ArrayLike, X: Matrix) -> AnyArray:
    """Return y as a one-dimensional array of numbers or labels, one for each row of X."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    target: AnyArray = column_or_1d(
        check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True
    )
    if len(target) != X.shape[0]:
        raise ValueError(
            f"inconsistent numbers of samples: X has {X.shape[0]} rows, y has {len(target)}"
        )
    return target


def as_numbers(y: ArrayLike) -> FloatArray:
    """Return y as finite float64, numbers in strings too; ValueError for what is none."""
    try:
        numbers = np.asarray(y).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must be numbers: {error}") from None
    finite = np.isfinite(numbers)
    if not finite.all():
        raise ValueError(f"y must be finite numbers, got {np.asarray(y)[~finite][0]!r}")
    check_finite("y", numbers)
    return numbers


def check_finite(name: str, numbers: RealArray) -> None:
    """Refuse numbers that are not finite, or whose squares are not."""
    largest = max(-float(numbers.min(initial=0)), float(numbers.max(initial=0)))
    if not math.isfinite(largest):
        raise ValueError(f"{name} contains NaN or infinity")
    if largest > LARGEST:
        raise ValueError(
            f"{name} has the number {largest:g} (or its negative), whose square overflows: "
            f"choose a larger unit, so that all numbers lie within +-{LARGEST:g}"
        )


def class_numbers(y: AnyArray, classes: AnyArray) -> IndexArray:
    """Return the place of each label among `classes`."""
    outside = ~np.isin(y, classes)
    if outside.any():
        raise ValueError(
            f"label {y[outside].tolist()[0]!r} is outside the classes of fit, {classes}"
        )
    order = np.argsort(classes, kind="stable")
    return order[np.searchsorted(classes, y, sorter=order)]


def names_of_fields(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one name, several or none as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def check_noise_by(
    names: Sequence[str], X: Matrix, weight: FloatArray | None, likelihood: str
) -> None:
    """Raise unless there is a field of each of these names to tell noise by."""
    if not names:
        return
    if not isinstance(X, Design):
        raise TypeError(
            f"noise_by={', '.join(names)} needs X to be a Design or a DataFrame, of fields alone, "
            "with a field of that name"
        )
    for name in names:
        check_choice("noise_by", name, [block.name for block in X])
    if weight is not None and likelihood == "ordered":
        raise ValueError(
            "sample_weight and noise_by contradict each other for ordered classes: leave one out"
        )
