"""Stochastic gradient descent for factorization machines: mini-batches, three step rules, two losses.

Minimises, for the model of `fm.model`,

    sum_rows weight loss(y, f(x)) + (l2_w |w|^2 + l2 |V|^2) / 2       (w0 is never penalized)

with loss (y - f)^2 / 2 or, for y in {0, 1}, log(1 + exp(f)) - y f. A step sees a batch of B of the n rows,
in an order drawn anew each epoch. With e = weight dloss/df (B,) and q = x V its gradient is, per row,

    w_j : (1/B) sum_rows e x_j               + (l2_w / n) w_j
    v_j : (1/B) sum_rows e x_j (q - x_j v_j) + (l2 / n) v_j

which is two sparse products for the whole batch and no loop over rows or features. Steps:

    constant    theta -= learning_rate c g                   c_j = 1 / max(1/B, mean over rows of x_j^2)
    invscaling  theta -= learning_rate c g / epoch^power_t
    adagrad     theta -= learning_rate g / sqrt(sum of all g^2 so far)    (Duchi, Hazan & Singer, JMLR 2011)

c makes a column that is active in every row take the batch's mean gradient, and one active in at most one
row of it the classic step of one row, so that one learning rate suits frequent and rare columns and every
batch size. w0 always takes the mean. To make steps free of units, y is standardized to mean 0 and variance 1 and
each column divided by the root mean square of its nonzero entries; l2 keeps its meaning in the units given.

Cost of an epoch: O(k nnz) + O(k n_features) per batch. A `Design`'s side features are multiplied once per
level and batch, not once per row.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse
from scipy.special import expit, logit
from sklearn.exceptions import ConvergenceWarning

from fm.design import Design
from fm.features import MatrixFeatures, OneHotFeatures, chunks, features
from fm.memory import reuse_freed_memory
from fm.model import Coefficients

SCHEDULES = ("adagrad", "constant", "invscaling")

SEGMENT = 2**17
"""Rows that an epoch visits together, few enough to stay in cache. More rows than this are dealt to segments at
random once, and an epoch draws the order of the segments and the batches of each."""

RESIDUALS = {"squared": lambda f, y: f - y, "logistic": lambda f, y: expit(f) - y}
"""dloss/df."""


@dataclass
class SGDState:
    """All that the next epoch depends on, in the units of the standardized y and columns.

    theta : (n_features, 1 + k), the columns of w and V side by side.
    squares : (n_features, 1 + k), AdaGrad's sums of squared gradients.
    seen : (n_features,) columns with a nonzero entry so far; the others contribute nothing.
    n_interacting : the first so many columns have factors.
    units : (n_features,) of the columns.
    offset, scale : f(x) = offset + scale * (standardized prediction).
    limit : mean squared residual above which the iteration counts as diverging.
    """

    w0: float
    theta: NDArray
    squares: NDArray
    seen: NDArray[np.bool_]
    n_interacting: int
    units: NDArray[np.float64]
    offset: float
    scale: float
    rng: np.random.Generator
    n_epochs: int = 0
    limit: float = np.inf

    def coefficients(self) -> Coefficients:
        """In the units given, in arrays of their own; columns never seen have zeros."""
        theta = self.theta * (self.seen / self.units).astype(self.theta.dtype)[:, None]
        return Coefficients(
            self.offset + self.scale * self.w0,
            self.scale * theta[:, 0],
            math.sqrt(self.scale) * theta[: self.n_interacting, 1:],
        )


@dataclass(frozen=True)
class SGDFit:
    """`state` goes on from here, bit for bit; `seconds` (epochs,) are cumulative, callbacks excluded."""

    coefficients: Coefficients
    state: SGDState
    seconds: NDArray[np.float64]


def sgd(
    X: Design | NDArray | sparse.csr_array,
    y: NDArray,
    *,
    k: int,
    n_iter: int,
    learning_rate: float,
    l2: float,
    l2_w: float,
    rng: np.random.Generator,
    schedule: Literal["adagrad", "constant", "invscaling"] = "adagrad",
    power_t: float = 0.25,
    batch_size: int | None = None,
    loss: Literal["squared", "logistic"] = "squared",
    sample_weight: NDArray | None = None,
    init_std: float = 0.1,
    start: SGDState | None = None,
    callback: Callable[[int, Coefficients], bool | None] | None = None,
    dtype: DTypeLike = np.float64,
) -> SGDFit:
    """`n_iter` epochs from V ~ N(0, init_std^2) and w = 0, or from `start` (and then its generator).

    X, y, sample_weight : checked by the caller: finite, at least one row, y in {0, 1} for logistic loss.
    batch_size : rows per step; None for `default_batch_size`.
    callback : called after every epoch with the number of epochs done (those of `start` included) and the
        coefficients; a true answer ends the fit.
    Raises FloatingPointError, naming epoch and learning rate, when the iteration diverges. Warns when it ends
    with more than twice the error of predicting the mean.
    """
    began, seconds = perf_counter(), []
    reuse_freed_memory()
    n, p = X.shape
    batch_size = min(n, batch_size or default_batch_size(n, p))
    unit = 1.0 if sample_weight is None else sample_weight.mean()
    weight = np.broadcast_to(1.0, n) if sample_weight is None else sample_weight / unit
    rows = features(X, dtype)
    n_interacting = X.n_interacting if isinstance(X, Design) else p
    state = deepcopy(start) or _initial_state(
        rows.column_units(weight), n_interacting, y, weight, k, loss, init_std, rng, dtype
    )
    rows = rows.over(state.units)
    column_squares = rows.column_squares(weight)
    state.seen |= column_squares > 0
    weight = None if sample_weight is None else weight
    target = y - state.offset
    target /= state.scale
    if n > SEGMENT:
        order = _arrangement(rows, n, _segment(batch_size))
        rows, target, weight = rows[order], target[order], None if weight is None else weight[order]
        del order
    # Objective and |w|^2 are in the unit of y^2, |V|^2 is in that of y; theta is in units of the columns.
    penalty = 1 / (n * unit * state.units**2)
    penalties = (l2_w * penalty).astype(dtype), (l2 / state.scale * penalty).astype(dtype)
    objective = _Objective(rows, target, weight, *penalties, RESIDUALS[loss])
    if schedule == "adagrad":
        direction = partial(_adagrad, squares=state.squares)
    else:
        curvature = np.maximum(1 / batch_size, column_squares / n)
        direction = partial(_scaled, scale=(1 / curvature).astype(dtype)[:, None])
    power = power_t if schedule == "invscaling" else 0
    for _ in range(n_iter):
        rate = learning_rate / (1 + state.n_epochs) ** power
        errors = []
        with np.errstate(over="ignore", invalid="ignore"):
            for chosen in _batches(n, batch_size, state.rng):
                error, slope, gradient = objective.gradient(chosen, state.w0, state.theta)
                errors.append(error)
                state.w0 -= rate * slope
                for columns, piece in gradient:
                    piece[max(0, n_interacting - columns.start) :, 1:] = 0
                    step = direction(piece, columns)
                    step *= rate
                    state.theta[columns] -= step
        state.n_epochs += 1
        state.limit = min(state.limit, 1e6 * max(1.0, errors[0]))
        if not (np.mean(errors) < state.limit and np.isfinite(state.theta).all()):
            raise FloatingPointError(
                f"SGD diverged in epoch {state.n_epochs} with learning_rate={learning_rate:g} "
                f"(schedule={schedule!r}); try learning_rate={learning_rate / 10:g}"
            )
        seconds.append(perf_counter() - began)
        if callback is not None and callback(state.n_epochs, state.coefficients()):
            break
        began = perf_counter() - seconds[-1]
    if np.mean(errors) > 2:
        warnings.warn(
            f"after {state.n_epochs} epochs the error is still {np.mean(errors):.2g} times that of predicting the "
            f"mean: try more epochs, or a smaller learning_rate than {learning_rate:g}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return SGDFit(state.coefficients(), state, np.array(seconds))


class _Objective(NamedTuple):
    """The mean over rows of weight * loss, plus (penalty_w |w|^2 + penalty_v |V|^2) / 2 with penalties by column."""

    rows: MatrixFeatures | OneHotFeatures
    target: NDArray
    weight: NDArray[np.float64] | None
    penalty_w: NDArray
    penalty_v: NDArray
    residual: Callable[[NDArray, NDArray], NDArray]

    def gradient(
        self, chosen: NDArray[np.intp] | slice, w0: float, theta: NDArray
    ) -> tuple[float, float, Iterator[tuple[slice, NDArray]]]:
        """Of the batch `chosen`: mean weighted e^2, gradient in w0, and gradient in theta by pieces of its columns."""
        x = self.rows[chosen]
        f, z = x.forward(w0, theta)
        e = self.residual(f, self.target[chosen])
        weighted = (e if self.weight is None else e * self.weight[chosen]) / len(e)
        error, slope = float(np.dot(e, weighted)), float(weighted.sum())
        weighted = weighted.astype(theta.dtype, copy=False)
        pull, squares = x.backward(weighted, z)
        shrink = (self.penalty_v - squares).astype(theta.dtype, copy=False)
        return error, slope, self._pieces(pull, shrink, theta)

    def _pieces(
        self, pull: NDArray, shrink: NDArray, theta: NDArray
    ) -> Iterator[tuple[slice, NDArray]]:
        for columns in chunks(*theta.shape):
            own = theta[columns]
            piece = own * shrink[columns, None]
            np.multiply(own[:, 0], self.penalty_w[columns], out=piece[:, 0])
            piece += pull[columns]
            yield columns, piece


def default_batch_size(n_rows: int, n_features: int) -> int:
    """One row per feature, so that updating all features costs no more than the products, or two if that leaves 50 steps
    an epoch; but at least 16 steps an epoch, and at least 128 rows."""
    return max(128, min(n_features, n_rows // 16), min(2 * n_features, n_rows // 50))


def _segment(batch_size: int) -> int:
    """Rows of a segment: as many batches as `SEGMENT` holds, or one that is larger."""
    return batch_size * max(1, SEGMENT // batch_size)


def _arrangement(
    rows: MatrixFeatures | OneHotFeatures, n_rows: int, segment: int
) -> NDArray[np.integer]:
    """Row numbers: each `segment` of them a random sample of all rows, within which neighbours stay neighbours."""
    of_row = np.repeat(np.arange(-(-n_rows // segment), dtype=np.uint16), segment)[:n_rows]
    np.random.default_rng(0).shuffle(of_row)
    return rows.neighbours()[np.argsort(of_row, kind="stable")]


def _batches(
    n_rows: int, size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.intp] | slice]:
    """Each row once, `size` of them at a time, drawn at random out of one segment and in ascending order; or a
    segment at a time, where it holds one batch."""
    segment = _segment(size)
    for start in rng.permutation(np.arange(0, n_rows, segment)):
        if segment == size:
            yield slice(start, min(start + size, n_rows))
            continue
        order = rng.permutation(min(segment, n_rows - start)).astype(np.int32)
        yield from (
            start + np.sort(order[first : first + size]) for first in range(0, len(order), size)
        )


def _adagrad(gradient: NDArray, columns: slice, squares: NDArray) -> NDArray:
    """The gradient over the root of the sum of all squared gradients so far; overwrites both."""
    root = gradient * gradient
    squares[columns] += root
    np.sqrt(squares[columns], out=root)
    return np.divide(gradient, root, out=gradient)


def _scaled(gradient: NDArray, columns: slice, scale: NDArray) -> NDArray:
    """`scale` (n_features, 1) times the gradient, which is overwritten."""
    return np.multiply(gradient, scale[columns], out=gradient)


def _initial_state(units, n_interacting, y, weight, k, loss, init_std, rng, dtype) -> SGDState:
    w0, offset, scale = 0.0, np.dot(y, weight) / len(y), 1.0
    if loss == "logistic":
        margin = 1 / (2 + len(y))
        w0, offset = logit(np.clip(offset, margin, 1 - margin)), 0.0
    else:
        deviation = y - offset
        deviation *= deviation
        scale = math.sqrt(np.dot(deviation, weight) / len(y))
        if scale <= 1e-12 * abs(offset):  # y is constant but for rounding
            scale = 1.0
    theta = rng.normal(0, init_std, (len(units), 1 + k)).astype(dtype)
    theta[:, 0] = 0
    theta[n_interacting:] = 0
    return SGDState(
        w0=float(w0),
        theta=theta,
        squares=np.full(theta.shape, 1e-14, dtype=dtype),
        seen=np.zeros(len(units), dtype=bool),
        n_interacting=n_interacting,
        units=units,
        offset=float(offset),
        scale=scale,
        rng=rng,
    )
