"""One epoch of gradient descent: steps in all columns, or in those that occur in a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from scipy import sparse
from scipy.special import expit

from fm.arrays import FloatArray, IndexArray, RealArray
from fm.features import (
    CHUNK,
    MatrixFeatures,
    OneHotFeatures,
    arrangement,
    compressed_batch_size,
    default_batch_size,
    has_segments,
    segment,
    shuffled_batches,
)
from fm.model import pieces
from fm.penalties import split

if TYPE_CHECKING:
    from fm.sgd import SGDState


def _of_pairs(f: RealArray, _: RealArray) -> RealArray:
    """Return dloss/df of log(1 + exp(f' - f)), f being the first half and f' the second."""
    first, second = np.split(f, 2)
    slope = expit(second - first)
    return np.concatenate([-slope, slope])


RESIDUALS = {
    "squared": lambda f, y: f - y,
    "logistic": lambda f, y: expit(f) - y,
    "ranking": _of_pairs,
}
"""dloss/df."""


@dataclass(frozen=True)
class Rows:
    """Rows with the target that gradient descent fits, both standardized.

    weight : (n_rows,) with mean 1, or None for 1.
    loss : of `RESIDUALS`.
    """

    x: MatrixFeatures | OneHotFeatures
    target: RealArray
    weight: FloatArray | None
    loss: str

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, chosen: IndexArray | slice) -> Rows:
        weight = None if self.weight is None else self.weight[chosen]
        return Rows(self.x[chosen], self.target[chosen], weight, self.loss)

    def split(self) -> tuple[Rows, Rows | None]:
        """Return the rows to fit, and those that are set aside, if there are enough for that."""
        fitted, aside = split(len(self))
        return (self[fitted], self[aside]) if len(aside) else (self, None)

    def parts(self, theta: RealArray) -> tuple[FloatArray, FloatArray]:
        """Return what w and what pairs predict of each row."""
        linear = self.x.forward(0.0, theta[:, :1])[0].astype(np.float64)
        return linear, self.x.forward(0.0, theta)[0] - linear

    def mean_loss(self, f: FloatArray) -> float:
        """Return the mean loss of predicting f, inf where it is not finite."""
        y = self.target
        losses = np.logaddexp(0, f) - y * f if self.loss == "logistic" else (y - f) ** 2
        mean = float(np.average(losses, weights=self.weight))
        return mean if np.isfinite(mean) else np.inf


class Batches(Protocol):
    """Rows, or pairs of rows, of which batches are taken."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: IndexArray | slice) -> Rows: ...


class Penalties(NamedTuple):
    """Of w and of V, (n_features,) each, of the mean loss over rows."""

    w: RealArray
    V: RealArray


@dataclass(frozen=True)
class AllColumns:
    """Batches drawn anew each epoch, with steps in all columns."""

    rows: Batches
    batch_size: int

    def epoch(
        self, state: SGDState, penalties: Penalties, rates: tuple[float, float, float]
    ) -> list[float]:
        """Take a step for each batch; return the mean squared residual of each."""
        errors = []
        w, V = (p.astype(state.theta.dtype) for p in penalties)
        penalties = Penalties(w, V)
        for chosen in shuffled_batches(len(self.rows), self.batch_size, state.rng):
            error, slope, gradient = self.gradient(chosen, penalties, state.w0, state.theta)
            errors.append(error)
            state.w0 -= rates[0] * slope
            for columns, piece in gradient:
                piece[max(0, state.n_interacting - columns.start) :, 1:] = 0
                step = _adagrad(piece, state.squares[columns])
                step *= rates[0]
                state.theta[columns] -= step
        return errors

    def gradient(
        self,
        chosen: IndexArray | slice,
        penalties: Penalties,
        w0: float,
        theta: RealArray,
    ) -> tuple[float, float, Iterator[tuple[slice, RealArray]]]:
        """Return a batch's mean weighted e^2, and the gradient in w0 and, by pieces, in theta."""
        rows = self.rows[chosen]
        f, z = rows.x.forward(w0, theta)
        e = RESIDUALS[rows.loss](f, rows.target)
        weighted = (e if rows.weight is None else e * rows.weight) / len(e)
        error, slope = float(np.dot(e, weighted)), float(weighted.sum())
        weighted = weighted.astype(theta.dtype, copy=False)
        pull, squares = rows.x.backward(weighted, z)
        shrink = (penalties.V - squares).astype(theta.dtype, copy=False)
        return error, slope, _pieces(pull, penalties.w, shrink, theta)


class Batch(NamedTuple):
    """Rows in the columns that occur in them.

    rows, columns : their numbers, ascending.
    x, squared : (rows, columns), and with squared entries; x itself if all are 1.
    transposed : x.T, whose making takes as long as a product.
    """

    rows: IndexArray
    columns: IndexArray
    x: sparse.csr_array
    squared: sparse.csr_array
    transposed: sparse.csc_array


@dataclass
class OwnColumns:
    """Batches dealt once, each compressed to its own columns, with steps in these.

    times : (n_features,) batches in which a column occurs, at least 1.
    """

    rows: Rows  # of a CSR matrix
    batch_size: int
    batches: list[Batch] = field(init=False)
    times: IndexArray = field(init=False)

    def __post_init__(self) -> None:
        assert isinstance(self.rows.x, MatrixFeatures)
        x = self.rows.x.rows
        self.batches = list(compressed(sparse.csr_array(x), self.batch_size))
        self.times = np.zeros(x.shape[1], np.intp)
        for batch in self.batches:
            self.times[batch.columns] += 1
        np.maximum(self.times, 1, out=self.times)

    def epoch(
        self, state: SGDState, penalties: Penalties, rates: tuple[float, float, float]
    ) -> list[float]:
        """Take a step for each batch; return the mean squared residual of each.

        rates : of w0, w and V.
        """
        errors, dtype, width = [], state.theta.dtype, state.theta.shape[1]
        both = np.concatenate([state.theta, state.squares], axis=1)  # one look-up for a column
        rate = np.array([rates[1], *[rates[2]] * (width - 1)], dtype)
        spread = np.stack(penalties, axis=1) * (len(self.rows) / self.times)[:, None]
        spread = spread.astype(dtype)
        for b in state.rng.permutation(len(self.batches)):
            batch = self.batches[b]
            own = both.take(batch.columns, axis=0)
            theta, squares = own[:, :width], own[:, width:]
            shrink = spread.take(batch.columns, axis=0)
            shrink /= len(batch.rows)
            error, slope, gradient = self.gradient(batch, shrink, state.w0, theta)
            errors.append(error)
            state.w0 -= rates[0] * slope
            gradient[np.searchsorted(batch.columns, state.n_interacting) :, 1:] = 0
            step = _adagrad(gradient, squares)
            step *= rate
            theta -= step
            both[batch.columns] = own
        state.theta, state.squares = both[:, :width].copy(), both[:, width:].copy()
        return errors

    def gradient(
        self, batch: Batch, shrink: RealArray, w0: float, theta: RealArray
    ) -> tuple[float, float, RealArray]:
        """Return the same in the columns of the batch, theta and `shrink` (columns, 2) theirs."""
        rows, x = self.rows, batch.x
        z = x @ theta
        q, V = z[:, 1:], theta[:, 1:]
        f = np.einsum("ij,ij->i", q, q) - batch.squared @ np.einsum("ij,ij->i", V, V)
        f *= 0.5
        f += z[:, 0]
        f += w0
        e = RESIDUALS[rows.loss](f, rows.target[batch.rows])
        weighted = (e if rows.weight is None else e * rows.weight[batch.rows]) / len(e)
        error, slope = float(np.dot(e, weighted)), float(weighted.sum())
        weighted = weighted.astype(theta.dtype, copy=False)
        z[:, 0] = 1
        z *= weighted[:, None]
        pull = batch.transposed @ z
        gradient = np.empty_like(theta)
        np.multiply(theta[:, 0], shrink[:, 0], out=gradient[:, 0])
        squares = pull[:, 0] if x is batch.squared else batch.squared.T @ weighted
        np.multiply(V, (shrink[:, 1] - squares)[:, None], out=gradient[:, 1:])
        gradient += pull
        return error, slope, gradient


def descent_of(
    rows: Rows | Batches, batch_size: int | None, own_columns: bool, n_features: int
) -> AllColumns | OwnColumns:
    """Return batches of the rows."""
    n = len(rows)
    default = compressed_batch_size(n) if own_columns else default_batch_size(n, n_features)
    batch_size = min(n, batch_size or default)
    if isinstance(rows, Rows) and not own_columns and has_segments(n):
        rows = rows[arrangement(rows.x, n, segment(batch_size)).astype(np.intp, copy=False)]
    if own_columns:
        assert isinstance(rows, Rows)
        return OwnColumns(rows, batch_size)
    return AllColumns(rows, batch_size)


def compressed(X: sparse.csr_array, size: int) -> Iterator[Batch]:
    """Deal the rows of X to batches of `size`, the same way whenever there are as many."""
    n, p = X.shape
    order = np.random.default_rng(0).permutation(n)
    occurs, place = np.zeros(p, np.bool_), np.empty(p, np.int32)
    ones = bool(np.all(X.data == 1))
    for first in range(0, n, size):
        rows = np.sort(order[first : first + size])
        x = X[rows]
        occurs[x.indices] = True
        columns = np.flatnonzero(occurs)
        occurs[columns] = False
        place[columns] = np.arange(len(columns), dtype=np.int32)
        parts = x.data, place[x.indices], x.indptr.astype(np.int32)
        x = sparse.csr_array(parts, shape=(len(rows), len(columns)))
        yield Batch(rows, columns, x, x if ones else x.power(2), x.T)


def _pieces(
    pull: RealArray, penalty_w: RealArray, shrink: RealArray, theta: RealArray
) -> Iterator[tuple[slice, RealArray]]:
    n, width = theta.shape
    for columns in pieces(n, width, CHUNK):
        own = theta[columns]
        piece = own * shrink[columns, None]
        np.multiply(own[:, 0], penalty_w[columns], out=piece[:, 0])
        piece += pull[columns]
        yield columns, piece


def _adagrad(gradient: RealArray, squares: RealArray) -> RealArray:
    """Return the gradient over the root of its summed squares; overwrite both."""
    root = gradient * gradient
    squares += root
    np.sqrt(squares, out=root)
    return np.divide(gradient, root, out=gradient)
