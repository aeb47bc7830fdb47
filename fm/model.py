"""The factorization machine: one equation, evaluated in time linear in k and in the nonzeros.

Model (Rendle, "Factorization Machines", ICDM 2010, equation 1), for a row x of n_features values:

    y(x) = w0 + sum_j w_j x_j + sum_{i<j} <v_i, v_j> x_i x_j

with w0 a number, w (n_features,), and V (n_features, k) whose row v_j holds the k factors of feature j. The
last features may be without factors (v_j = 0: the linear blocks of a `Design`); V then ends before them.

The pair sum costs O(k nnz) instead of O(k nnz^2) (Lemma 3.1), since for q = sum_j x_j v_j

    sum_{i<j} <v_i, v_j> x_i x_j  =  ( |q|^2 - sum_j x_j^2 |v_j|^2 ) / 2

Everything but |q|^2 is linear in the row's features. In a `Design` the row's features are those of its
levels, one level per block, so both parts are sums over blocks of what each level contributes; a table
of these is made once, side features and the interactions within one block included, and a row costs
one gather of k + 1 numbers per block (Rendle, "Scaling Factorization Machines to Relational Data",
VLDB 2013, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fm.design import Block, Design

CHUNK = 2**16
"""Numbers in an intermediate result of `predict`: 512 KiB of float64, which a core's second cache holds."""

Matrix = Design | NDArray | sparse.csr_array
"""What rows come in, once checked."""


class Coefficients(NamedTuple):
    """What one prediction needs.

    w0 : the intercept.
    w : (n_features,) in the column order of `X.to_csr()`.
    V : (n_interacting, k) of the first features; the others have no factors.
    unknown : (n_blocks, k + 1), for each block of a `Design` the (w, v) of level -1; None stands for zeros.
    """

    w0: float
    w: NDArray
    V: NDArray
    unknown: NDArray | None = None


def predict(X: Matrix, coefficients: Coefficients) -> NDArray[np.float64]:
    """y(x) for each row of X, (n_rows,). Intermediates are bounded by `CHUNK`, whatever the number of rows."""
    if X.shape[1] != len(coefficients.w):
        raise ValueError(f"X has {X.shape[1]} features, the model {len(coefficients.w)}")
    return (_predict_design if isinstance(X, Design) else _predict_matrix)(X, coefficients)


def _predict_matrix(X: NDArray | sparse.csr_array, coefficients: Coefficients) -> NDArray[np.float64]:
    w0, w, V = coefficients[:3]
    X = X.tocsr() if sparse.issparse(X) else X
    norms = np.vecdot(V, V)
    interacting = X if len(V) == X.shape[1] else X[:, : len(V)]
    y = np.full(X.shape[0], w0, dtype=np.float64)
    for rows in _chunks(X.shape[0], V.shape[1] + 1):
        x = interacting[rows]
        q = x @ V
        y[rows] += X[rows] @ w + (np.vecdot(q, q) - squared(x) @ norms) / 2
    return y


def _predict_design(X: Design, coefficients: Coefficients) -> NDArray[np.float64]:
    tables = level_tables(X, coefficients)
    k = coefficients.V.shape[1]
    y = np.full(len(X), coefficients.w0, dtype=np.float64)
    for rows in _chunks(len(X), k + 1):
        q = tables[0].take(X.blocks[0].levels[rows], axis=0)
        for block, table in zip(X.interacting[1:], tables[1 : len(X.interacting)], strict=True):
            q += table.take(block.levels[rows], axis=0)
        y[rows] += np.vecdot(q[:, :k], q[:, :k]) / 2
        y[rows] += q[:, k]
    for block, table in zip(X.blocks, tables, strict=True):
        if block.linear:
            y += table[block.levels, 0]
    return y


def level_tables(X: Design, coefficients: Coefficients) -> list[NDArray]:
    """Per block (n_levels + 1, k + 1): of each level the factors q and what it adds outside of |q|^2 / 2.
    Of a linear block (n_levels + 1, 1): it has no q.

    A level with side features s stands for the features (level, s): q = v_level + s V_side. The last
    row, which is also row -1, is that of the unknown level.
    """
    unknown = coefficients.unknown
    if unknown is None:
        unknown = np.zeros((len(X.blocks), coefficients.V.shape[1] + 1))
    first, tables = 0, []
    for block, (unknown_w, *unknown_v) in zip(X, unknown, strict=True):
        columns = slice(first, first := first + block.n_features)
        V = np.empty((block.n_features, 0)) if block.linear else coefficients.V[columns]
        tables.append(_level_table(block, coefficients.w[columns], V))
        unknown_v = unknown_v[: V.shape[1]]
        tables[-1][-1] = *unknown_v, unknown_w - np.dot(unknown_v, unknown_v) / 2
    return tables


def _level_table(block: Block, w: NDArray, V: NDArray) -> NDArray:
    n, k = block.n_levels, V.shape[1]
    outside = w - np.vecdot(V, V) / 2
    table = np.empty((n + 1, k + 1), dtype=V.dtype)
    table[:n, :k], table[:n, k] = V[:n], outside[:n]
    if block.side is not None:
        table[:n, :k] += block.side @ V[n:]
        table[:n, k] += block.side @ w[n:] - squared(block.side) @ (np.vecdot(V, V)[n:] / 2)
    return table


def squared(X: NDArray | sparse.csr_array) -> NDArray | sparse.csr_array:
    """X with its entries squared; X itself, not a copy, if it is sparse with every stored entry 1."""
    if not sparse.issparse(X):
        return X * X
    return X if np.all(X.data == 1) else X.power(2)


def averaged(w0: NDArray, w: NDArray, V: NDArray, unknown: NDArray | None = None) -> Coefficients:
    """The mean of S machines, which is a machine with S k factors.

    Parameters: w0 (S,), w (S, n_features), V (S, n_interacting, k), unknown (S, n_blocks, k + 1).
    The mean of <v_i, v_j> over machines is the inner product of their S factor vectors laid end to
    end, divided by S; so one call of `predict` averages over all draws of a posterior.
    """
    if unknown is not None:
        unknown = np.hstack([unknown[..., 0].mean(axis=0)[:, None], _end_to_end(unknown[..., 1:])])
    return Coefficients(w0.mean(), w.mean(axis=0), _end_to_end(V), unknown)


def _end_to_end(V: NDArray) -> NDArray:
    """(S, n, k) -> (n, S k), scaled so that inner products are means over S."""
    n_machines, n, k = V.shape
    return np.moveaxis(V, 0, 1).reshape(n, n_machines * k) / V.dtype.type(np.sqrt(n_machines))


def _chunks(n_rows: int, width: int) -> Iterator[slice]:
    step = max(1, CHUNK // width)
    return (slice(start, start + step) for start in range(0, n_rows, step))
