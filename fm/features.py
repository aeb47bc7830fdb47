"""Rows of features in the forms that gradient descent wants: a batch's predictions, and its gradient.

Both classes offer, for theta = [w V] (n_features, 1 + k):

    x[rows]                        some of the rows
    x.forward(w0, theta)           f (n_rows,), and an array that `backward` needs and overwrites
    x.backward(e, saved, theta)    sum_rows e df/dtheta, (n_features, 1 + k)
    x.column_squares(weight)       sum_rows weight x_j^2, (n_features,)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from fm.design import UNKNOWN, Block, Design
from fm.model import squared


def features(X: Design | NDArray | sparse.csr_array, dtype: DTypeLike) -> MatrixFeatures | OneHotFeatures:
    """X in the form that suits it."""
    if not isinstance(X, Design):
        rows = X.astype(dtype, copy=False)
        return MatrixFeatures(rows, squared(rows))
    if all(block.side is None and UNKNOWN not in block.levels for block in X):
        first = np.cumsum([0] + [block.n_levels for block in X])
        columns = [(block.levels + start).astype(np.int32) for block, start in zip(X, first, strict=False)]
        return OneHotFeatures(np.array(columns), X.shape[1])
    rows = Design(replace(block, side=None, side_labels=None) for block in X).to_csr(dtype)
    levels = sparse.block_diag([_level_features(block, dtype) for block in X], format="csr")
    return MatrixFeatures(rows, rows, levels, squared(levels))


@dataclass(frozen=True)
class MatrixFeatures:
    """X = rows @ levels, and X with squared entries = rows2 @ levels2; `levels` None for the identity.

    In a `Design` with side features `rows` is one-hot and `levels` has each level's own column and side
    columns, so that side features cost once per level of a product, not once per row.
    """

    rows: NDArray | sparse.csr_array
    rows2: NDArray | sparse.csr_array
    levels: sparse.csr_array | None = None
    levels2: sparse.csr_array | None = None

    def __getitem__(self, chosen: NDArray[np.intp]) -> MatrixFeatures:
        rows = self.rows[chosen]
        return replace(self, rows=rows, rows2=rows if self.rows2 is self.rows else self.rows2[chosen])

    def forward(self, w0: float, theta: NDArray) -> tuple[NDArray, NDArray]:
        norms = np.vecdot(theta[:, 1:], theta[:, 1:])
        if self.levels is not None:
            theta, norms = self.levels @ theta, self.levels2 @ norms
        z = self.rows @ theta
        return w0 + z[:, 0] + (np.vecdot(z[:, 1:], z[:, 1:]) - self.rows2 @ norms) / 2, z

    def backward(self, e: NDArray, z: NDArray, theta: NDArray) -> NDArray:
        z[:, 0] = 1
        z *= e[:, None]
        gradient = self.rows.T @ z
        if self.levels is not None:
            gradient = self.levels.T @ gradient
        gradient[:, 1:] -= self.column_squares(e)[:, None] * theta[:, 1:]
        return gradient

    def column_squares(self, weight: NDArray) -> NDArray:
        squares = self.rows2.T @ weight
        return squares if self.levels is None else self.levels2.T @ squares


@dataclass(frozen=True)
class OneHotFeatures:
    """One column with a 1 per block: products are gathers, and no v_j has to be taken out of its own sum.

    columns : (n_blocks, n_rows)
    """

    columns: NDArray[np.int32]
    n_features: int

    def __getitem__(self, rows: NDArray[np.intp]) -> OneHotFeatures:
        return replace(self, columns=self.columns.take(rows, axis=1))

    def forward(self, w0: float, theta: NDArray) -> tuple[NDArray, NDArray]:
        own = theta.take(self.columns, axis=0)
        z = own.sum(axis=0)
        others = z - own
        return w0 + z[:, 0] + np.einsum("brk,brk->r", own[..., 1:], others[..., 1:]) / 2, others

    def backward(self, e: NDArray, others: NDArray, theta: NDArray) -> NDArray:
        others[..., 0] = 1
        size = self.columns.size
        one_per_column = np.tile(e, len(self.columns)), self.columns.ravel(), np.arange(size + 1)
        scatter = sparse.csc_array(one_per_column, shape=(self.n_features, size))
        return scatter @ others.reshape(size, -1)

    def column_squares(self, weight: NDArray) -> NDArray:
        return sum(np.bincount(column, weight, self.n_features) for column in self.columns)


def _level_features(block: Block, dtype: DTypeLike) -> sparse.csr_array:
    own = sparse.eye_array(block.n_levels, dtype=dtype, format="csr")
    return own if block.side is None else sparse.hstack([own, block.side.astype(dtype)], format="csr")
