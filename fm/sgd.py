"""Stochastic gradient descent for factorization machines: mini-batches, three step rules, two losses.

Minimises, for the model of `fm.model`,

    sum_rows weight loss(y, f(x)) + (l2_w |w|^2 + l2 |V|^2) / 2       (w0 is never penalized)

half the objective of `fm.FMRegressor`, with loss (y - f)^2 / 2 or, for y in {0, 1}, log(1 + exp(f)) - y f. A step sees a batch of B of the n rows,
in an order drawn anew each epoch. With e = weight dloss/df (B,) and q = x V its gradient is, per row,

    w_j : (1/B) sum_rows e x_j               + (l2_w / n) w_j
    v_j : (1/B) sum_rows e x_j (q - x_j v_j) + (l2 / n) v_j

which is two sparse products for the whole batch and no loop over rows or features. Where a row has more than
four features, a batch of a few hundred rows is compressed to the columns that occur in it, once, and a step
touches only these; the penalty of a column is then spread over the batches in which it occurs. Steps:

    constant    theta -= learning_rate c g                   c_j = 1 / max(1/B, mean over rows of x_j^2)
    invscaling  theta -= learning_rate c g / epoch^power_t
    adagrad     theta -= learning_rate g / sqrt(sum of all g^2 so far)    (Duchi, Hazan & Singer, JMLR 2011)

c makes a column that is active in every row take the batch's mean gradient, and one active in at most one
row of it the classic step of one row, so that one learning rate suits frequent and rare columns and every
batch size. w0 always takes the mean. To make steps free of units, y is standardized to mean 0 and variance 1 and
each column divided by the root mean square of its nonzero entries; l2 keeps its meaning in the units given.

Penalties that are not given are learned: after each epoch, with h_j the sum of squared gradients over the epoch
(the information about theta_j) and s^2 the mean squared residual (1 for classes),

    l2_w = s^2 sum_j h_j / (h_j + l2_w / s^2) / |w|^2

(MacKay, "Bayesian interpolation", Neural Computation 1992), and likewise l2 for V, which does not fall after
the first epoch: what V learns later is more and more the noise of the training rows. They are in units of the columns, so that the user's units play no part.

Cost of an epoch: O(k nnz), and O(k n_features) per batch where rows have few features. A `Design`'s side features are multiplied once per
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

from fm.batches import (
    CompressedBatches,
    arrangement,
    compressed_batch_size,
    compresses,
    default_batch_size,
    has_segments,
    segment,
    shuffled_batches,
)
from fm.design import Design
from fm.features import CHUNK, MatrixFeatures, OneHotFeatures, features
from fm.memory import reuse_freed_memory
from fm.model import Coefficients, pieces

SCHEDULES = ("adagrad", "constant", "invscaling")

FIRST_PENALTIES = {"squared": (5.0, 50.0), "logistic": (1.0, 1.0)}
"""Of w and V where they are learned, in the first epoch. A row says at most a quarter as much of f where it is
a class, and a V that the first epoch has shrunk to nothing does not come back."""

PENALTY_RANGE = 0.05, 1e6

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
    penalties : l2_w and l2 where they are learned, of the standardized y and columns.
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
    penalties: tuple[float, float]
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
    l2: float | None,
    l2_w: float | None,
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
    l2, l2_w : None to learn both.
    batch_size : rows per step; None for `default_batch_size`, or about 512 where rows have many features.
    callback : called after every epoch with the number of epochs done (those of `start` included) and the
        coefficients; a true answer ends the fit.
    Raises FloatingPointError, naming epoch and learning rate, when the iteration diverges. Warns when it ends
    with more than twice the error of predicting the mean.
    """
    began, seconds = perf_counter(), []
    reuse_freed_memory()
    n, p = X.shape
    compressed = compresses(X)
    default = compressed_batch_size(n) if compressed else default_batch_size(n, p)
    batch_size = min(n, batch_size or default)
    unit = 1.0 if sample_weight is None else sample_weight.mean()
    weight = np.broadcast_to(1.0, n) if sample_weight is None else sample_weight / unit
    if compressed:
        X_rows = X.to_csr(dtype) if isinstance(X, Design) else sparse.csr_array(X, dtype=dtype)
        rows = MatrixFeatures.of(X_rows)
    else:
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
    if not compressed and has_segments(n):
        order = arrangement(rows, n, segment(batch_size))
        rows, target, weight = rows[order], target[order], None if weight is None else weight[order]
        del order
    # Objective and |w|^2 are in the unit of y^2, |V|^2 is in that of y; theta is in units of the columns.
    in_user_units = 1 / (n * unit * state.units**2)
    given = l2_w, None if l2 is None else l2 / state.scale
    if compressed:
        batches = CompressedBatches.of(rows, batch_size)
    if schedule == "adagrad":
        direction = partial(_adagrad, squares=state.squares)
    else:
        curvature = np.maximum(1 / batch_size, column_squares / n)
        direction = partial(_scaled, scale=(1 / curvature).astype(dtype)[:, None])
    power = power_t if schedule == "invscaling" else 0
    for _ in range(n_iter):
        rate = learning_rate / (1 + state.n_epochs) ** power
        penalties = (
            np.full(p, learned / (n * unit), dtype)
            if value is None
            else (value * in_user_units).astype(dtype)
            for value, learned in zip(given, state.penalties, strict=True)
        )
        before = state.squares.copy() if None in given else None
        objective = _Objective(rows, target, weight, *penalties, RESIDUALS[loss])
        with np.errstate(over="ignore", invalid="ignore"):
            if compressed:
                errors = _compressed_epoch(state, batches, objective, direction, rate)
            else:
                errors = _epoch(
                    state, shuffled_batches(n, batch_size, state.rng), objective, direction, rate
                )
        if before is not None and schedule == "adagrad":
            noise = 1.0 if loss == "logistic" else float(np.mean(errors))
            information = (batch_size * unit) ** 2 * (state.squares - before)
            _learn_penalties(state, information, noise)
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


def _epoch(state: SGDState, batches, objective, direction, rate: float) -> list[float]:
    """Take a step in all columns for each batch; return the mean squared residual of each."""
    errors = []
    for chosen in batches:
        error, slope, gradient = objective.gradient(chosen, state.w0, state.theta)
        errors.append(error)
        state.w0 -= rate * slope
        for columns, piece in gradient:
            piece[max(0, state.n_interacting - columns.start) :, 1:] = 0
            step = direction(piece, columns)
            step *= rate
            state.theta[columns] -= step
    return errors


def _compressed_epoch(
    state: SGDState, batches: CompressedBatches, objective, direction, rate: float
) -> list[float]:
    """Take a step in the columns of each batch; return the mean squared residual of each."""
    errors, n = [], len(objective.target)
    for b in state.rng.permutation(len(batches.parts)):
        chosen, columns, x = batches.parts[b]
        spread = (n / (len(chosen) * batches.times[columns])).astype(state.theta.dtype)
        own = state.theta[columns]
        error, slope, gradient = objective.of_batch(chosen, columns, x, spread, state.w0, own)
        errors.append(error)
        state.w0 -= rate * slope
        gradient[np.searchsorted(columns, state.n_interacting) :, 1:] = 0
        step = direction(gradient, columns)
        step *= rate
        state.theta[columns] = own - step
    return errors


def _learn_penalties(state: SGDState, information: NDArray, noise: float) -> None:
    """Set `state.penalties` by what this epoch's gradients say of the sizes of w and V."""
    learned = []
    for old, part in zip(state.penalties, (slice(0, 1), slice(1, None)), strict=True):
        seen = state.seen.copy()
        seen[state.n_interacting if part.start else len(seen) :] = False
        h = information[seen, part] / noise if noise > 0 else np.zeros(0)
        size = float(np.sum(np.square(state.theta[seen, part], dtype=np.float64)))
        n_determined = float(np.sum(h / (h + old / noise), dtype=np.float64)) if h.size else 0.0
        usable = size > 0 and 0 < n_determined < np.inf
        value = noise * n_determined / size if usable else old
        learned.append(float(np.clip(value, *PENALTY_RANGE)))
    if state.n_epochs:
        learned[1] = max(learned[1], state.penalties[1])
    state.penalties = learned[0], learned[1]


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

    def of_batch(
        self,
        chosen: NDArray[np.intp],
        columns: NDArray[np.integer],
        x: MatrixFeatures,
        spread: NDArray,
        w0: float,
        theta: NDArray,
    ) -> tuple[float, float, NDArray]:
        """Return the same of a batch in its own `columns`, `theta` theirs, penalties `spread` times as large."""
        f, z = x.forward(w0, theta)
        e = self.residual(f, self.target[chosen])
        weighted = (e if self.weight is None else e * self.weight[chosen]) / len(e)
        error, slope = float(np.dot(e, weighted)), float(weighted.sum())
        pull, squares = x.backward(weighted.astype(theta.dtype, copy=False), z)
        gradient = theta * (self.penalty_v[columns] * spread - squares)[:, None].astype(theta.dtype)
        np.multiply(theta[:, 0], self.penalty_w[columns] * spread, out=gradient[:, 0])
        gradient += pull
        return error, slope, gradient

    def _pieces(
        self, pull: NDArray, shrink: NDArray, theta: NDArray
    ) -> Iterator[tuple[slice, NDArray]]:
        for columns in pieces(*theta.shape, CHUNK):
            own = theta[columns]
            piece = own * shrink[columns, None]
            np.multiply(own[:, 0], self.penalty_w[columns], out=piece[:, 0])
            piece += pull[columns]
            yield columns, piece


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
        penalties=FIRST_PENALTIES[loss],
    )
