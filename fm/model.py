"""The factorization machine: one equation, evaluated in time linear in k and in the nonzeros.

Model (Rendle, "Factorization Machines", ICDM 2010, equation 1), for a row x of n_features values:

    y(x) = w0 + sum_j w_j x_j + sum_{i<j} <v_i, v_j> x_i x_j

with w0 a number, w (n_features,), and V (n_features, k) whose row v_j holds the k factors of
feature j. The last features may be without factors (v_j = 0: the linear blocks of a `Design`); V
then ends before them.

The pair sum costs O(k nnz) instead of O(k nnz^2) (Lemma 3.1), since for q = sum_j x_j v_j

    sum_{i<j} <v_i, v_j> x_i x_j  =  ( |q|^2 - sum_j x_j^2 |v_j|^2 ) / 2

In a `Design` the row's features are those of its levels, one level per block. With q_b the factors
of the row's level in block b, and a_b what the level adds by itself, side features and the pairs
within the block included,

    y = w0 + sum_b a_b + sum_{b<c} <q_b, q_c>

A table of (q, a) of all levels is made once, and a row costs one look-up of so many numbers per
block (Rendle, "Scaling Factorization Machines to Relational Data", VLDB 2013, section 3).

Of S draws from a posterior, what is predicted is the mean over draws of f_s(x), or of what the
likelihood makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from scipy import sparse
from scipy.special import ndtr, ndtri

from fm.arrays import FloatArray, IndexArray, IntArray, RealArray
from fm.design import Block, Design

CHUNK = 2**16
"""Numbers in an intermediate result of `predict`: 512 KiB of float64, which a core's second cache
holds."""

Matrix: TypeAlias = Design | RealArray | sparse.csr_array
"""What rows come in, once checked."""


Response: TypeAlias = Callable[[FloatArray, Any], FloatArray]
"""(f(x) (n_rows,), coefficients or draw) -> (n_rows, ...)."""


class Coefficients(NamedTuple):
    """What one prediction needs.

    w0 : the intercept.
    w : (n_features,) in the column order of `X.to_csr()`.
    V : (n_interacting, k) of the first features; the others have no factors.
    unknown : (n_blocks, k + 1), (w, v) of level -1 of each block of a `Design`; None for zeros.
    """

    w0: float
    w: RealArray
    V: RealArray
    unknown: RealArray | None = None

    def each(self) -> Iterator[Coefficients]:
        """Return itself, as `Draws` do one draw after the other."""
        return iter((self,))

    def averaged(self) -> Coefficients:
        """Return itself."""
        return self

    def mean(self, X: Matrix, response: Response) -> FloatArray:
        """Return response(f(x), self), (n_rows, ...)."""
        return response(predict(X, self), self)


class Draw(NamedTuple):
    """A sweep's draw: the four fields of `Coefficients`, and the likelihood's parameters.

    unknown : (n_blocks, k + 1) the (w, v) of level -1 of each block of a `Design`: its prior mean
        (zero if training rows had that level). No rows for a matrix.
    alpha : precision of the noise; 1 for probit and ordered probit.
    cut_points : (n_classes - 1,) for ordered probit (whose w0 is 0), else empty.
    noise : (sum of n_levels + 1,) what alpha is multiplied by for each level of each field of
        `noise_by`, the unknown level of each last; empty where noise is the same for all.
    """

    w0: float
    w: RealArray
    V: RealArray
    unknown: RealArray
    alpha: float
    cut_points: RealArray
    noise: RealArray

    def precision(self, rows: IndexArray | None) -> RealArray | float:
        """Return that of the noise of each row, (n_rows,), or one number for all.

        rows : as of `noise_rows`.
        """
        return self.alpha if rows is None else self.alpha * self.noise[rows].prod(axis=1)


def noise_rows(fields: Sequence[Block]) -> IndexArray:
    """Return where `Draw.noise` has the levels of each row, (n_rows, n_fields)."""
    sizes = np.array([field.n_levels + 1 for field in fields])
    levels = np.stack([field.levels for field in fields], axis=1)
    return levels % sizes + (np.cumsum(sizes) - sizes)


class Draws(NamedTuple):
    """The fields of `Draw`, each with a first axis of length S."""

    w0: RealArray
    w: RealArray
    V: RealArray
    unknown: RealArray
    alpha: RealArray
    cut_points: RealArray
    noise: RealArray

    @classmethod
    def of_one(cls, draw: Draw) -> Self:
        """Return a single draw."""
        return cls(*(np.array(part)[None] for part in draw))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the draws of all parts."""
        return parts[0] if len(parts) == 1 else cls(*map(np.concatenate, zip(*parts, strict=True)))

    def each(self) -> Iterator[Draw]:
        """Return one draw after the other."""
        return map(Draw._make, zip(*self, strict=True))

    def averaged(self) -> Coefficients:
        """Return the machine with S k factors, those of the draws, that predicts their mean."""
        unknown_w = self.unknown[..., 0].mean(axis=0)[:, None]
        unknown = np.hstack([unknown_w, _end_to_end(self.unknown[..., 1:])])
        return Coefficients(
            float(self.w0.mean()), self.w.mean(axis=0), _end_to_end(self.V), unknown
        )

    def mean(self, X: Matrix, response: Response) -> FloatArray:
        """Return the mean response, (n_rows, ...), in memory that does not grow with S."""
        first, *others = self.each()
        total = response(predict(X, first), first)
        for draw in others:
            total += response(predict(X, draw), draw)
        total /= len(self.w0)
        return total

    def quantiles(self, X: Matrix, levels: FloatArray, noise: IndexArray | None) -> FloatArray:
        """Return quantiles of y, (n_rows, n_levels), to 1e-6 of the spread of its components.

        y is a mixture of S normal variables, with precisions as of `Draw.precision(noise)`.
        """
        parts = []
        for rows in pieces(X.shape[0], len(self.w0), CHUNK):
            own = None if noise is None else noise[rows]
            f = np.array([predict(X[rows], draw) for draw in self.each()])[:, :, None]
            precision = [np.atleast_1d(draw.precision(own)) for draw in self.each()]
            deviation = 1 / np.sqrt(precision)[:, :, None]
            components = f + ndtri(levels) * deviation
            low, high = components.min(axis=0), components.max(axis=0)
            for _ in range(20):
                middle = (low + high) / 2
                below = ndtr((middle - f) / deviation).mean(axis=0) < levels
                low, high = np.where(below, middle, low), np.where(below, high, middle)
            parts.append((low + high) / 2)
        return np.vstack(parts)


def _end_to_end(V: RealArray) -> RealArray:
    """Return (S, n, k) as (n, S k), scaled so that inner products are means over S."""
    n_draws, n, k = V.shape
    return np.moveaxis(V, 0, 1).reshape(n, n_draws * k) / V.dtype.type(np.sqrt(n_draws))


Machine: TypeAlias = Coefficients | Draw


def predict(X: Matrix, machine: Machine) -> FloatArray:
    """Return y(x) for each row of X, (n_rows,), in memory beside it that is bounded by `CHUNK`."""
    if X.shape[1] != len(machine.w):
        raise ValueError(f"X has {X.shape[1]} features, the model {len(machine.w)}")
    return _predict_design(X, machine) if isinstance(X, Design) else _predict_matrix(X, machine)


def _predict_matrix(X: RealArray | sparse.csr_array, machine: Machine) -> FloatArray:
    w, V = machine.w, machine.V
    X = X if isinstance(X, np.ndarray) else X.tocsr()
    norms = np.vecdot(V, V)
    interacting = X if len(V) == X.shape[1] else X[:, : len(V)]
    y = np.full(X.shape[0], machine.w0, dtype=np.float64)
    for rows in pieces(len(y), V.shape[1] + 1, CHUNK):
        x = interacting[rows]
        q = x @ V
        y[rows] += X[rows] @ w + (np.vecdot(q, q) - squared(x) @ norms) / 2
    return y


def _predict_design(X: Design, machine: Machine) -> FloatArray:
    tables = level_tables(X, machine)
    n, width = len(X.interacting), tables[0].shape[1]
    y = np.full(len(X), machine.w0, dtype=np.float64)
    factors = factor_mask(width, slice(-1), tables[0].dtype)
    scratch = np.empty((3, min(len(y), max(1, CHUNK // width)), width), tables[0].dtype)
    for rows in pieces(len(y), width, CHUNK):
        lookups = [
            (table, block.levels[rows])
            for table, block in zip(tables[:n], X.interacting, strict=True)
        ]
        total = sum_lookups(lookups, factors, scratch[:, : len(y[rows])], y[rows])
        y[rows] += total[:, -1]
    for block, table in zip(X.blocks[n:], tables[n:], strict=True):
        y += table[block.levels, 0]
    return y


def sum_lookups(
    lookups: Iterable[tuple[RealArray, IntArray]],
    factors: RealArray,
    scratch: Iterable[RealArray],
    pairs: RealArray,
) -> RealArray:
    """Return the sum of one table row per block, and add <q_b, q_c> of each b < c to `pairs`.

    Parameters
    ----------
    lookups : iterable of (table (n_levels, width), levels (n_rows,))
        Of each block; a negative level counts from the table's end.
    factors : (width,)
        1 for the columns of a table that belong to q, 0 for the others.
    scratch : three arrays (n_rows, width)
        Overwritten; the first is what is returned.
    pairs : (n_rows,)
        May be a column of the first scratch array.
    """
    total, term, product = scratch
    (table, levels), *others = lookups
    table.take(levels, axis=0, out=total, mode="wrap")
    for table, levels in others:
        table.take(levels, axis=0, out=term, mode="wrap")
        np.multiply(total, term, out=product)
        total += term
        pairs += product @ factors
    return total


def factor_mask(width: int, factors: slice, dtype: DTypeLike) -> RealArray:
    """Return (width,): 1 in the slice `factors`, 0 elsewhere."""
    mask = np.zeros(width, dtype)
    mask[factors] = 1
    return mask


def level_tables(X: Design, machine: Machine) -> list[RealArray]:
    """Return per block (n_levels + 1, k + 1): factors q of each level, and what it adds by itself.

    Of a linear block (n_levels + 1, 1): it has no q. A level with side features s stands for the
    features (level, s): q = v_level + s V_side. The last row, which is also row -1, is that of the
    unknown level.
    """
    unknown = machine.unknown
    if unknown is None:
        unknown = np.zeros((len(X.blocks), machine.V.shape[1] + 1))
    first, tables = 0, []
    for block, (unknown_w, *unknown_v) in zip(X, unknown, strict=True):
        columns = slice(first, first := first + block.n_features)
        V = np.empty((block.n_features, 0)) if block.linear else machine.V[columns]
        tables.append(_level_table(block, machine.w[columns], V))
        tables[-1][-1] = *unknown_v[: V.shape[1]], unknown_w
    return tables


def _level_table(block: Block, w: RealArray, V: RealArray) -> RealArray:
    n, k = block.n_levels, V.shape[1]
    table = np.empty((n + 1, k + 1), dtype=V.dtype)
    q, alone = table[:n, :k], table[:n, k]
    q[:], alone[:] = V[:n], w[:n]
    side = block.side_features
    if side is not None:
        norms = np.vecdot(V, V)
        q += side @ V[n:]
        alone += side @ w[n:] + (np.vecdot(q, q) - norms[:n] - squared(side) @ norms[n:]) / 2
    return table


def squared(X: RealArray | sparse.csr_array) -> RealArray | sparse.csr_array:
    """Return X with its entries squared; X itself if it is sparse with every stored entry 1."""
    if isinstance(X, np.ndarray):
        return X * X
    return X if np.all(X.data == 1) else X.power(2)


def pieces(n_rows: int, width: int, size: int) -> Sequence[slice]:
    """Cut 0..n_rows where arrays (rows of a piece, width) have at most `size` numbers."""
    step = max(1, size // width)
    return [slice(first, min(first + step, n_rows)) for first in range(0, n_rows, step)]
