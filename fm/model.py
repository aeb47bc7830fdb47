"""The factorization machine: one equation, evaluated in time linear in k and in the nonzeros.

Model (Rendle, "Factorization Machines", ICDM 2010, equation 1), for a row x of n_features values:

    y(x) = w0 + sum_j w_j x_j + sum_{i<j} <v_i, v_j> x_i x_j

with w0 a number, w (n_features,), and V (n_features, k) whose row v_j holds the k factors of feature j. The
last features may be without factors (v_j = 0: the linear blocks of a `Design`); V then ends before them.

The pair sum costs O(k nnz) instead of O(k nnz^2) (Lemma 3.1), since for q = sum_j x_j v_j

    sum_{i<j} <v_i, v_j> x_i x_j  =  ( |q|^2 - sum_j x_j^2 |v_j|^2 ) / 2

In a `Design` the row's features are those of its levels, one level per block. With q_b the factors of the row's
level in block b, and a_b what the level adds by itself, side features and the pairs within the block included,

    y = w0 + sum_b a_b + sum_{b<c} <q_b, q_c>

A table of (q, a) of all levels is made once, and a row costs one look-up of so many numbers per block (Rendle,
"Scaling Factorization Machines to Relational Data", VLDB 2013, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def _predict_matrix(
    X: NDArray | sparse.csr_array, coefficients: Coefficients
) -> NDArray[np.float64]:
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
    n = len(X.interacting)
    y = _predict_blocks(coefficients.w0, X.blocks[:n], tables[:n])
    for block, table in zip(X.blocks[n:], tables[n:], strict=True):
        y += table[block.levels, 0]
    return y


def _predict_blocks(
    w0: float, blocks: Sequence[Block], tables: Sequence[NDArray]
) -> NDArray[np.float64]:
    """Of each row, w0 + sum_b a_b + sum_{b<c} <q_b, q_c>."""
    k = tables[0].shape[1] - 1
    if len(blocks) == 1:
        return np.float64(w0) + tables[0][blocks[0].levels, k]
    # (q, a, 1) of the first block times (q', 1, a') of the second is <q, q'> + a + a'.
    first, *others = (
        np.insert(table, k + (b == 0), b < 2, axis=1) for b, table in enumerate(tables)
    )
    y, ones = np.empty(len(blocks[0].levels)), np.ones(k + 2, first.dtype)
    pieces = list(_chunks(len(y), k + 2))
    buffers = np.empty((3, pieces[0].stop, k + 2), first.dtype)
    for rows in pieces:
        total, term, product = buffers[:, : len(y[rows])]
        first.take(blocks[0].levels[rows], axis=0, out=total, mode="wrap")
        y[rows] = w0
        for block, table in zip(blocks[1:], others, strict=True):
            table.take(block.levels[rows], axis=0, out=term, mode="wrap")
            np.multiply(total, term, out=product)
            y[rows] += product @ ones
            if block is not blocks[-1]:
                total[:, :k] += term[:, :k]
                total[:, k] = 0
    return y


def level_tables(X: Design, coefficients: Coefficients) -> list[NDArray]:
    """Per block (n_levels + 1, k + 1): the factors q of each level, and what it adds by itself.
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
        tables[-1][-1] = *unknown_v[: V.shape[1]], unknown_w
    return tables


def _level_table(block: Block, w: NDArray, V: NDArray) -> NDArray:
    n, k = block.n_levels, V.shape[1]
    table = np.empty((n + 1, k + 1), dtype=V.dtype)
    q, alone = table[:n, :k], table[:n, k]
    q[:], alone[:] = V[:n], w[:n]
    if block.side_features is not None:
        norms = np.vecdot(V, V)
        q += block.side_features @ V[n:]
        alone += (
            block.side_features @ w[n:]
            + (np.vecdot(q, q) - norms[:n] - squared(block.side_features) @ norms[n:]) / 2
        )
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
