"""Stochastic gradient descent for factorization machines: batches, AdaGrad, three losses.

Minimizes, for the model of `fm.model`,

    sum_rows weight loss(y, f(x)) + (l2_w |w|^2 + l2 |V|^2) / 2       (w0 is never penalized)

half the objective of `fm.FMRegressor`, with loss (y - f)^2 / 2 or, for y in {0, 1},
log(1 + exp(f)) - y f, or the loss of pairs of rows of `fm.ranker`. A step sees a batch of B of the
n rows, in an order drawn anew each epoch.
With e = weight dloss/df (B,) and q = x V its gradient is, per row,

    w_j : (1/B) sum_rows e x_j               + (l2_w / n) w_j
    v_j : (1/B) sum_rows e x_j (q - x_j v_j) + (l2 / n) v_j

which is two sparse products for the whole batch and no loop over rows or features. Where a row has
more than four features, or penalties are learned, a batch of a few hundred rows is compressed to
the columns that occur in it, once, and a step touches only these; the penalty of a column is then
spread over the batches in which it occurs (`fm.features`). Steps are AdaGrad's (Duchi, Hazan &
Singer, JMLR 2011), so that one rate suits frequent and rare columns, and every batch size,

    theta -= learning_rate g / sqrt(sum of all g^2 so far)

and those of w0 are learning_rate times the mean e. To make steps free of units, y is standardized
to mean 0 and variance 1 and each column divided by the root mean square of its nonzero entries; l2
keeps its meaning in the units given. Where both penalties are learned, columns that are nowhere 0
are centered first.

Penalties that are not given are learned after each epoch on one in 16 rows, set aside
(`fm.penalties`). The first epoch is run from two pairs of penalties, of which the one goes on that
predicts the rows aside best. Steps are then in units of what the penalty lets a
coefficient be, s / sqrt(l2), s^2 being the mean squared residual (1 for classes), and the
coefficients are an exponential average over epochs, of a half each.

Cost of an epoch: O(k nnz), and O(k n_features) per batch where rows have few features. A `Design`'s
features of levels are multiplied once per level and batch, not once per row.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike
from scipy import sparse
from scipy.special import logit
from sklearn.exceptions import ConvergenceWarning

from fm.arrays import AnyArray, BoolArray, FloatArray, RealArray, reuse_freed_memory
from fm.descent import Batches, Penalties, Rows, descent_of
from fm.design import Design
from fm.diagnostics import Callback, Trace, warn_while_falling
from fm.features import (
    MatrixFeatures,
    OneHotFeatures,
    centered,
    centers_of,
    compresses,
    features,
    uncentered,
)
from fm.model import Coefficients, Matrix
from fm.penalties import adjusted, scale_factors

Features = MatrixFeatures | OneHotFeatures


FIRST_PENALTIES = (16.0, 64.0), (1.0, 2.0)
"""Of w and V where they are learned, of the standardized y and columns."""

LEARNING_RATE = 0.1
"""Where penalties are given."""

STEP = 0.5
"""AdaGrad's where penalties are learned, in units of s / sqrt(l2). With `FIRST_PENALTIES` among the
best of 10 settings on rows drawn from known machines (seed 7: 5, 20 and 40 fields, a real target,
bags) and on Frappe's validation rows. Losses on Frappe's test rows and on rows of another seed had
been seen while the method was tried out: those two are not untouched."""

LARGEST_STEP = 0.3
"""Of w0, in whose direction the loss is curved most."""

MOST_STARTS = 5


@dataclass
class SGDState:
    """All that the next epoch depends on, in the units of the standardized y and columns.

    theta : (n_features, 1 + k), the columns of w and V side by side.
    squares : (n_features, 1 + k), AdaGrad's sums of squared gradients.
    average : of theta over epochs, where penalties are learned.
    seen : (n_features,) columns with a nonzero entry so far; the others contribute nothing.
    n_interacting : the first so many columns have factors.
    units : (n_features,) of the columns.
    centers : (n_features,) taken from the columns before they are divided by their units.
    offset, scale : f(x) = offset + scale * (standardized prediction).
    penalties : l2_w and l2 where they are learned.
    noise : mean squared residual of the last epoch; 1 for classes.
    limit : mean squared residual above which the iteration counts as diverging.
    """

    w0: float
    theta: RealArray
    squares: RealArray
    seen: BoolArray
    n_interacting: int
    units: FloatArray
    offset: float
    scale: float
    rng: np.random.Generator
    penalties: tuple[float, float] = FIRST_PENALTIES[0]
    average: RealArray | None = None
    noise: float = 1.0
    n_epochs: int = 0
    limit: float = np.inf
    centers: FloatArray | None = None

    def coefficients(self) -> Coefficients:
        """Return them in the units given, in arrays of their own; columns never seen have zeros."""
        theta = self.theta if self.average is None else self.average
        theta = theta * (self.seen / self.units).astype(theta.dtype)[:, None]
        w0, w = self.offset + self.scale * self.w0, self.scale * theta[:, 0]
        V = math.sqrt(self.scale) * theta[: self.n_interacting, 1:]
        if self.centers is None:
            return Coefficients(w0, w, V)
        return Coefficients(*uncentered(w0, w, V, self.centers), V)


@dataclass(frozen=True)
class SGDFit:
    """What `sgd(start=state)` goes on from, bit for bit; `seconds` (epochs,) are cumulative."""

    coefficients: Coefficients
    state: SGDState
    seconds: FloatArray


def sgd(
    X: Matrix,
    y: AnyArray,
    *,
    k: int,
    n_iter: int,
    l2: float | None,
    l2_w: float | None,
    rng: np.random.Generator | None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    loss: Literal["squared", "logistic", "ranking"] = "squared",
    draw: Callable[[Features, FloatArray | None, np.random.Generator], Batches] | None = None,
    sample_weight: FloatArray | None = None,
    init_std: float = 0.1,
    start: SGDState | None = None,
    callback: Callback | None = None,
    dtype: DTypeLike = np.float64,
) -> SGDFit:
    """Take `n_iter` epochs from V ~ N(0, init_std^2) and w = 0, or from `start`.

    rng : None where there is a start, whose generator goes on.

    X, y, sample_weight : checked by the caller: finite, at least one row, y in {0, 1} for logistic
        loss.
    l2, l2_w : None to learn it.
    learning_rate : None for `LEARNING_RATE`, or `STEP` where penalties are learned.
    batch_size : rows per step; None for `default_batch_size`, or about 512 where batches are
        compressed.
    draw : (x, weight, rng) -> the rows, or pairs of them, that batches are taken of; None for all
        rows as they are. Penalties are then given.
    callback : called after every epoch with the number of epochs done (those of `start` included)
        and the coefficients; a true answer ends the fit.
    Raises FloatingPointError, naming epoch and learning rate, when the iteration diverges. Warns
    when it ends with more than twice the error of predicting the mean, or while the loss still
    falls.
    """
    trace = Trace(callback, "loss")
    reuse_freed_memory()
    learns = l2 is None or l2_w is None
    unit = 1.0 if sample_weight is None else sample_weight.mean()
    weight = np.broadcast_to(1.0, len(y)) if sample_weight is None else sample_weight / unit
    compressed = learns or (draw is None and compresses(X))
    flat = X.to_csr(dtype) if compressed and isinstance(X, Design) else X
    centers = None if start is None else start.centers
    if start is None and l2 is None and l2_w is None:
        centers = centers_of(flat, weight)
    flat = flat if centers is None else centered(flat, centers)
    x = MatrixFeatures.of(sparse.csr_array(flat, dtype=dtype)) if compressed else features(X, dtype)
    state = deepcopy(start)
    if state is None:
        n_interacting = X.n_interacting if isinstance(X, Design) else X.shape[1]
        units = x.column_units(weight)
        state = _initial_state(units, n_interacting, y, weight, k, loss, init_std, rng, dtype)
        state.centers = centers
    x = x.over(state.units)
    state.seen |= x.column_squares(weight) > 0
    target = (y - state.offset) / state.scale
    rows = Rows(x, target, None if sample_weight is None else weight, loss)
    rows, aside = rows.split() if learns else (rows, None)
    batches = rows if draw is None else draw(x, rows.weight, state.rng)
    descent = descent_of(batches, batch_size, compressed, X.shape[1])
    # Objective and |w|^2 are in the unit of y^2, |V|^2 is in that of y; theta is in units of the
    # columns.
    in_user_units = 1 / (len(y) * unit * state.units**2)
    given = l2_w, None if l2 is None else l2 / state.scale
    rate = LEARNING_RATE if learning_rate is None else learning_rate

    def epoch(state: SGDState) -> list[float]:
        rates = rate, rate, rate
        if aside is not None and learning_rate is None:
            w, V = (STEP * min(1, math.sqrt(state.noise / p)) for p in state.penalties)
            rates = min(w, LARGEST_STEP), w, V
        of_each = [
            np.full(len(state.units), learned / (len(y) * unit))
            if value is None
            else value * in_user_units
            for value, learned in zip(given, state.penalties, strict=True)
        ]
        with np.errstate(over="ignore", invalid="ignore"):
            return descent.epoch(state, Penalties(*of_each), rates)

    for _ in range(n_iter):
        if aside is not None and state.n_epochs == 0:
            state, errors = _best_start(state, epoch, aside)
        else:
            errors = epoch(state)
        state.n_epochs += 1
        _check_finite(state, errors, rate)
        error = current = float(np.mean(errors))
        if aside is not None:
            current = _learn_penalties(state, aside)
        if learns:
            state.noise = min(error, 1.0) if loss == "squared" else 1.0
            old = state.theta if state.average is None else state.average
            state.average = (old + state.theta) / 2
        if trace.add(state.n_epochs, state.coefficients(), loss=current):
            break
    else:
        losses = trace.values["loss"] if draw is None else []  # which is random
        _warn_unless_converged(state.n_epochs, losses, error, rate)
    return SGDFit(state.coefficients(), state, trace.arrays()["seconds"])


def _check_finite(state: SGDState, errors: list[float], rate: float) -> None:
    state.limit = min(state.limit, 1e6 * max(1.0, errors[0]))
    if not (np.mean(errors) < state.limit and np.isfinite(state.theta).all()):
        raise FloatingPointError(
            f"SGD diverged in epoch {state.n_epochs} with learning_rate={rate:g}; "
            f"try learning_rate={rate / 10:g}"
        )


def _best_start(
    state: SGDState, epoch: Callable[[SGDState], list[float]], aside: Rows
) -> tuple[SGDState, list[float]]:
    """Return the state and errors after an epoch from the penalties that suit `aside` best.

    While none predicts better than the mean, larger ones are tried: steps were too long.
    """
    best = np.inf, state, [np.nan]
    enough = aside.mean_loss(np.full(len(aside), state.w0))
    w, V = FIRST_PENALTIES[0]
    larger = [(w * 8**i, V * 8**i) for i in range(1, MOST_STARTS)]
    for number, penalties in enumerate([*FIRST_PENALTIES, *larger]):
        if number >= len(FIRST_PENALTIES) and best[0] < enough:
            break
        candidate = replace(deepcopy(state), penalties=penalties)
        errors = epoch(candidate)
        linear, pairs = aside.parts(candidate.theta)
        loss = aside.mean_loss(candidate.w0 + linear + pairs)
        if loss < best[0]:
            best = loss, candidate, errors
    return best[1:]


def _learn_penalties(state: SGDState, aside: Rows) -> float:
    """Set `state.penalties` by the rows `aside`, and return their loss."""
    linear, pairs = aside.parts(state.theta)
    factors = scale_factors(
        linear,
        pairs,
        aside.target,
        aside.weight,
        intercept=state.w0,
        classes=aside.loss == "logistic",
    )
    state.penalties = adjusted(state.penalties, factors)
    return aside.mean_loss(state.w0 + linear + pairs)


def _warn_unless_converged(n_epochs: int, losses: list[float], error: float, rate: float) -> None:
    if error > 2:
        warnings.warn(
            f"after {n_epochs} epochs the error is still {error:.2g} times that of predicting the "
            f"mean: try more epochs, or a smaller learning_rate than {rate:g}",
            ConvergenceWarning,
            stacklevel=3,
        )
    else:
        warn_while_falling(losses, n_epochs)


def _initial_state(
    units: FloatArray,
    n_interacting: int,
    y: FloatArray,
    weight: FloatArray,
    k: int,
    loss: str,
    init_std: float,
    rng: np.random.Generator | None,
    dtype: DTypeLike,
) -> SGDState:
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
    assert rng is not None
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
