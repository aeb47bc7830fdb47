"""Alternating least squares for factorization machines: exact block updates, no learning rate.

Minimises, for the model of `fm.model`,

    sum_rows weight (y - yhat)^2 + l2_w |w|^2 + l2 |V|^2            (w0 is never penalized)

by turns over theta = (w, v) of all levels of a block at once, the mean of their conditional (`fm.block_kernel`)
with noise precision 1 and prior precision diag(l2_w, l2, ..., l2), and over w0. Each step is exact, so the
objective never rises. Rendle et al., "Fast Context-aware Recommendations with Factorization Machines"
(SIGIR 2011), take the coordinates one at a time.

Side features of a block enter as the levels' prior mean S B (`fm.priors`), under the same penalty on theta - S B
and on B; what interactions of a level with its own features would add is part of its bias.

Where a penalty is 0 a level with few rows leaves its system singular. Its step is then proximal: the
same plus a small multiple of |change|^2, under which the objective still never rises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse

from fm.block_kernel import FACTORS, BlockKernel, LinearBlock, update_linear
from fm.design import Design
from fm.model import Coefficients
from fm.priors import Ridge, flat
from fm.row_kernel import RowKernel
from fm.rows import digest, rows_of
from fm.threads import mapping

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
    theta : (n_columns, k + 1) = [w V] of the columns of a matrix, or of the levels of a design's interacting
        blocks.
    linear : (n_levels, 1) w of the levels of each linear block.
    sides : coefficients (n_side_features, k + 1) of each block's side features, n_side_features being 0 where it has none.
    sums : what the row kernel keeps of each row.
    rows : checksum of the rows that the sums are of.
    n_sweeps : sweeps done, those of `start` included.
    history : `objective`, `train_mse`, `seconds` (cumulative), each (sweeps of this call,).
    """

    coefficients: Coefficients
    theta: NDArray[np.float64]
    linear: tuple[NDArray[np.float64], ...]
    sides: tuple[NDArray[np.float64], ...]
    sums: dict[str, NDArray]
    rows: int
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
    n_jobs: int = 1,
) -> ALSFit:
    """`n_iter` >= 1 sweeps over all blocks from V ~ N(0, init_std^2), or from `start`.

    X : Design, or CSR matrix (n_rows, n_features); dense callers convert. Checked by the caller:
        finite, y (n_rows,), at least one row, sample_weight (n_rows,) >= 0 and not all 0.
    groups : (n_features,) group numbers of a matrix's columns; ALS uses them only to find sets of
        columns that can be updated at once. None: found.
    n_jobs : threads; the result is the same whatever their number.
    dtype : of the regressors; sums over levels and their solution are in float64.
    """
    began = time.perf_counter()
    rows = rows_of(X, sample_weight, groups, k=min(k, FACTORS), dtype=dtype, rescale=False).kernel
    blocks = X.blocks if isinstance(X, Design) else []
    linear = [LinearBlock(block, sample_weight) for block in blocks if block.linear]
    ridges = _ridges(X, len(rows.columns))
    n = len(y) if sample_weight is None else sample_weight.sum()
    penalty = np.array([l2_w] + [l2] * k, np.float64)
    proximal = PROXIMAL * _mean_square(X) * (penalty.min() == 0)
    precision = penalty + proximal
    if start is None:
        first, w0, theta = 0, np.average(y, weights=sample_weight), _initial(rows, k, init_std, rng)
        sides = [
            np.zeros((ridge.S.shape[1] if ridge else 0, k + 1 if s < len(rows.columns) else 1))
            for s, ridge in enumerate(ridges)
        ]
    else:
        first, w0, theta, sides = (
            start.n_sweeps,
            start.coefficients.w0,
            start.theta.copy(),
            list(start.sides),
        )
        for block, w in zip(linear, start.linear, strict=True):
            block.theta = w
        if start.rows == digest(X):  # else the kernel computes them
            for name in rows.state:
                setattr(rows, name, start.sums[name].copy())
    history = {"objective": [], "train_mse": [], "seconds": []}
    with mapping(n_jobs) as each:
        for n_sweeps in range(first + 1, first + n_iter + 1):
            penalized = 0.0
            priors = []
            for own, ridge, B in zip(_thetas(rows, theta, linear), ridges, sides, strict=True):
                c = own.shape[1]
                centre = penalty[:c] * (ridge.S @ B) if ridge else 0.0
                priors.append(((centre + proximal * own) / precision[:c], np.diag(precision[:c])))
            n_sets = len(rows.columns)
            target = y - sum(block.effect() for block in linear) if linear else y
            residual = rows.sweep(target, w0, theta, priors[:n_sets], 1.0, None, each)
            residual = update_linear(linear, residual, priors[n_sets:], 1.0, None)
            for s, (own, ridge) in enumerate(
                zip(_thetas(rows, theta, linear), ridges, strict=True)
            ):
                if ridge:
                    sides[s] = ridge.fit(own, 1.0)
                    own = np.concatenate([own - ridge.S @ sides[s], sides[s]])
                penalized += np.sum(own**2 @ penalty[: own.shape[1]])
            total, squares = residual.sums()
            w0 += total / n
            loss = squares - total**2 / n
            history["objective"].append(loss + penalized)
            history["train_mse"].append(loss / n)
            history["seconds"].append(time.perf_counter() - began)
            coefficients = _coefficients(X, w0, theta, linear, sides)
            paused = time.perf_counter()
            stop = callback is not None and callback(n_sweeps, coefficients)
            began += time.perf_counter() - paused
            if stop:
                break
    return ALSFit(
        coefficients,
        theta,
        tuple(block.theta for block in linear),
        tuple(sides),
        {name: getattr(rows, name) for name in rows.state},
        digest(X),
        n_sweeps,
        {name: np.array(x) for name, x in history.items()},
    )


def _initial(
    rows: BlockKernel | RowKernel, k: int, init_std: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """[0 V] with V ~ N(0, init_std^2), 0 for columns without rows."""
    theta = np.zeros((sum(map(len, rows.columns)), k + 1))
    theta[:, 1:] = init_std * rng.standard_normal((len(theta), k))
    for columns, counts in zip(rows.columns, rows.counts, strict=True):
        theta[columns[counts == 0]] = 0
    return theta


def _ridges(X: Design | sparse.csr_array, n_sets: int) -> list[Ridge | None]:
    """For each set of columns its regression on side features, if it has any."""
    if not isinstance(X, Design):
        return [None] * n_sets
    return [None if block.side_features is None else Ridge(block.side_features) for block in X]


def _thetas(
    rows: BlockKernel | RowKernel, theta: NDArray, linear: Sequence[LinearBlock]
) -> list[NDArray]:
    """(columns, k + 1) of each set of columns, and (levels, 1) of each linear block."""
    return [theta[columns] for columns in rows.columns] + [block.theta for block in linear]


def _coefficients(
    X: Design | sparse.csr_array,
    w0: float,
    theta: NDArray,
    linear: Sequence[LinearBlock],
    sides: list[NDArray],
) -> Coefficients:
    """In the columns of `X`, in arrays of their own."""
    if isinstance(X, Design):
        n = len(X.interacting)
        levels = np.split(theta, np.cumsum([block.n_levels for block in X.interacting])[:-1])
        own = [*levels, *(block.theta for block in linear)]
        parts = [
            own_b if b.side_features is None else flat(own_b, B, b.side_features)
            for b, own_b, B in zip(X, own, sides, strict=True)
        ]
        theta, rest = np.concatenate(parts[:n]), parts[n:]
    else:
        rest = []
    w = np.concatenate([part[:, 0] for part in (theta, *rest)])
    return Coefficients(float(w0), w, theta[:, 1:].copy())


def _mean_square(X: Design | sparse.csr_array) -> float:
    """Mean over columns of the sum of squared values."""
    total = len(X) * len(X.blocks) if isinstance(X, Design) else np.dot(X.data, X.data)
    return total / X.shape[1]
