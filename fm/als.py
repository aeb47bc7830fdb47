"""Alternating least squares for factorization machines: exact block updates, no learning rate.

Minimises, for the model of `fm.model`,

    sum_rows weight (y - yhat)^2 + l2_w |w|^2 + l2 |V|^2            (w0 is never penalized)

by turns over (w, v) of all levels of a block at once (`fm.conditional`: the mean of its conditional with
noise precision 1 and prior precision diag(l2_w, l2, ..., l2)) and w0. Each step is exact, so the
objective never rises. Rendle et al., "Fast Context-aware Recommendations with Factorization Machines"
(SIGIR 2011), take the coordinates one at a time.

Where a penalty is 0 a level with few rows leaves its system singular. Its step is then proximal: the
same plus a small multiple of |change|^2, under which the objective still never rises.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse

from fm.blocks import Blocks
from fm.columns import Columns
from fm.conditional import update
from fm.design import Design
from fm.model import Coefficients
from fm.partition import rows_of

PROXIMAL = 1e-9
"""Weight of the proximal term, as a share of the mean column's sum of squares."""

Callback = Callable[[int, Coefficients], bool | None]
"""Called after every sweep with the number of sweeps done (counted over continuations) and the
coefficients, in arrays of their own. A true answer ends the fit after that sweep. The callback's time
is not in `seconds`."""


@dataclass(frozen=True)
class ALSFit:
    """Result of `als`, and what `als(..., start=)` goes on from, bit for bit.

    coefficients : those of the last sweep.
    n_sweeps : sweeps done, those of `start` included.
    history : `objective`, `train_mse`, `seconds` (cumulative), each (sweeps of this call,).
    """

    coefficients: Coefficients
    n_sweeps: int
    history: dict[str, NDArray[np.float64]]


def als(
    X: Design | sparse.csr_array,
    y: NDArray,
    *,
    k: int,
    n_iter: int,
    l2: float,
    l2_w: float,
    rng: np.random.Generator,
    sample_weight: NDArray | None = None,
    groups: ArrayLike | None = None,
    init_std: float = 0.1,
    start: ALSFit | None = None,
    callback: Callback | None = None,
    dtype: DTypeLike = np.float64,
) -> ALSFit:
    """`n_iter` sweeps over all blocks from V ~ N(0, init_std^2), or from `start`.

    X : Design, or CSR matrix (n_rows, n_features); dense callers convert. Checked by the caller:
        finite, y (n_rows,), at least one row, sample_weight (n_rows,) >= 0 and not all 0.
    groups : (n_features,) group numbers of a matrix's columns; ALS uses them only to find sets of
        columns that can be updated at once. None: found.
    """
    began = time.perf_counter()
    rows, _ = rows_of(X, sample_weight, groups, k=k, dtype=dtype)
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    penalty = np.array([l2_w] + [l2] * k, np.float64)
    proximal = PROXIMAL * _mean_square(X) * (penalty.min() == 0)
    if start is None:
        w0, theta = np.average(y, weights=weight), _initial(rows, X.shape[1], k, init_std, rng)
    else:
        w0, theta = start.coefficients.w0, np.column_stack(start.coefficients[1:3])
    first = 0 if start is None else start.n_sweeps
    history = {"objective": [], "train_mse": [], "seconds": []}
    for sweep in range(first + 1, first + n_iter + 1):
        rows.start(y, w0, theta)
        for s, columns in enumerate(rows.columns):
            block = theta[columns]
            mean = block * (proximal / (penalty + proximal))
            update(rows.layouts[s], partial(rows.regressors, s), block, mean, np.diag(penalty + proximal), 1.0, None)
            theta[columns] = block
            rows.absorb(s, block)
        e = rows.residual()
        step = np.average(e, weights=weight)
        w0 += step
        loss = np.dot(weight, (e - step) ** 2)
        history["objective"].append(loss + np.sum(theta**2 @ penalty))
        history["train_mse"].append(loss / weight.sum())
        history["seconds"].append(time.perf_counter() - began)
        coefficients = Coefficients(float(w0), theta[:, 0].copy(), theta[:, 1:].copy())
        paused = time.perf_counter()
        stop = callback is not None and callback(sweep, coefficients)
        began += time.perf_counter() - paused
        if stop:
            break
    return ALSFit(coefficients, sweep, {name: np.array(values) for name, values in history.items()})


def _initial(
    rows: Blocks | Columns, n_features: int, k: int, init_std: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """[0 V] with V ~ N(0, init_std^2), 0 for columns without rows."""
    theta = np.zeros((n_features, k + 1))
    theta[:, 1:] = init_std * rng.standard_normal((n_features, k))
    for columns, layout in zip(rows.columns, rows.layouts, strict=True):
        theta[columns[layout.counts == 0]] = 0
    return theta


def _mean_square(X: Design | sparse.csr_array) -> float:
    """Mean over columns of the sum of squared values."""
    total = len(X) * len(X.blocks) if isinstance(X, Design) else np.dot(X.data, X.data)
    return total / X.shape[1]
