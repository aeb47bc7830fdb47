"""Rows of features in the forms that gradient descent wants: a batch's predictions, and its gradient.

Both classes offer, for theta = [w V] (n_features, 1 + k):

    x[rows]                        some of the rows
    x.forward(w0, theta)           f (n_rows,), and an array that `backward` needs and overwrites
    x.backward(e, saved, theta)    sum_rows e df/dtheta, (n_features, 1 + k)
    x.column_squares(weight)       sum_rows weight x_j^2, (n_features,)
    x.column_units(weight)         root of the mean x_j^2 over rows where it is not 0, (n_features,)
    x.over(units)                  with each column divided by its unit
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from fm.design import UNKNOWN, Block, Design
from fm.model import squared


def features(X: Design | NDArray | sparse.csr_array, dtype: DTypeLike) -> MatrixFeatures | OneHotFeatures:
    """X in the form that suits it."""
    if not isinstance(X, Design):
        return MatrixFeatures.of(X.astype(dtype, copy=False))
    if all(block.side is None and UNKNOWN not in block.levels for block in X):
        first = np.cumsum([0] + [block.n_levels for block in X])
        columns = [(block.levels + start).astype(np.int32) for block, start in zip(X, first, strict=False)]
        return OneHotFeatures(np.array(columns), X.shape[1])
    rows = Design(replace(block, side=None, side_labels=None) for block in X).to_csr(dtype)
    levels = sparse.block_diag([_level_features(block, dtype) for block in X], format="csr")
    return MatrixFeatures.of(rows, levels)


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

    @classmethod
    def of(cls, rows: NDArray | sparse.csr_array, levels: sparse.csr_array | None = None) -> Self:
        return cls(rows, squared(rows), levels, None if levels is None else squared(levels))

    def __getitem__(self, chosen: NDArray[np.intp]) -> Self:
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

    def column_units(self, weight: NDArray) -> NDArray[np.float64]:
        counts = (self.rows != 0).T @ weight
        if self.levels is not None:
            counts = (self.levels != 0).T @ counts
        units = np.ones(len(counts))
        return np.sqrt(np.divide(self.column_squares(weight), counts, out=units, where=counts > 0))

    def over(self, units: NDArray[np.float64]) -> Self:
        if np.all(units == 1):
            return self
        if self.levels is None:
            return self.of(_divided(self.rows, units))
        return self.of(self.rows, _divided(self.levels, units))


@dataclass(frozen=True)
class OneHotFeatures:
    """One column with a 1 per block: products are gathers, and no v_j has to be taken out of its own sum.

    columns : (n_blocks, n_rows)
    """

    columns: NDArray[np.int32]
    n_features: int

    def __getitem__(self, rows: NDArray[np.intp]) -> Self:
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

    def column_units(self, weight: NDArray) -> NDArray[np.float64]:
        return np.ones(self.n_features)

    def over(self, units: NDArray[np.float64]) -> Self:
        return self


def _level_features(block: Block, dtype: DTypeLike) -> sparse.csr_array:
    own = sparse.eye_array(block.n_levels, dtype=dtype, format="csr")
    return own if block.side is None else sparse.hstack([own, block.side.astype(dtype)], format="csr")


def _divided(X: NDArray | sparse.csr_array, units: NDArray[np.float64]) -> NDArray | sparse.csr_array:
    inverse = (1 / units).astype(X.dtype)
    if not sparse.issparse(X):
        return X * inverse
    return sparse.csr_array((X.data * inverse[X.indices], X.indices, X.indptr), shape=X.shape)
