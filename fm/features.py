"""Rows of features in the form that gradient descent wants: products with a batch, and back.

The matrix of features is kept as X = rows @ levels. For a plain matrix `levels` is the identity and left
out. For a `Design` with side features `rows` is one-hot and `levels` has a row per level with that level's
own column and its side columns, so that side features cost once per level of a product, not once per row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse

from fm.design import Block, Design
from fm.model import squared


@dataclass(frozen=True)
class Features:
    """X = rows @ levels, and X with squared entries = rows2 @ levels2; `levels` None for the identity."""

    rows: NDArray | sparse.csr_array
    rows2: NDArray | sparse.csr_array
    levels: sparse.csr_array | None = None
    levels2: sparse.csr_array | None = None

    @classmethod
    def of(cls, X: Design | NDArray | sparse.csr_array, dtype: DTypeLike) -> Features:
        if not isinstance(X, Design):
            rows = X.astype(dtype, copy=False)
            return cls(rows, squared(rows))
        rows = Design(replace(block, side=None, side_labels=None) for block in X).to_csr(dtype)
        if all(block.side is None for block in X):
            return cls(rows, rows)
        levels = sparse.block_diag([_level_features(block, dtype) for block in X], format="csr")
        return cls(rows, rows, levels, squared(levels))

    def __getitem__(self, index: slice | NDArray) -> Features:
        rows = self.rows[index]
        return replace(self, rows=rows, rows2=rows if self.rows2 is self.rows else self.rows2[index])

    def forward(self, w0: float, theta: NDArray) -> tuple[NDArray, NDArray]:
        """f(x) (n_rows,), and X theta (n_rows, 1 + k) for theta = [w V]."""
        norms = np.vecdot(theta[:, 1:], theta[:, 1:])
        if self.levels is not None:
            theta, norms = self.levels @ theta, self.levels2 @ norms
        z = self.rows @ theta
        return w0 + z[:, 0] + (np.vecdot(z[:, 1:], z[:, 1:]) - self.rows2 @ norms) / 2, z

    def backward(self, e: NDArray, z: NDArray, theta: NDArray) -> NDArray:
        """sum_rows e df/dtheta (n_features, 1 + k), with z from `forward`, which is overwritten."""
        z[:, 0] = 1
        z *= e[:, None]
        gradient = self.rows.T @ z
        if self.levels is not None:
            gradient = self.levels.T @ gradient
        gradient[:, 1:] -= self.column_squares(e)[:, None] * theta[:, 1:]
        return gradient

    def column_squares(self, weight: ArrayLike) -> NDArray:
        """sum_rows weight x_j^2, (n_features,)."""
        squares = self.rows2.T @ weight
        return squares if self.levels is None else self.levels2.T @ squares


def _level_features(block: Block, dtype: DTypeLike) -> sparse.csr_array:
    own = sparse.eye_array(block.n_levels, dtype=dtype, format="csr")
    return own if block.side is None else sparse.hstack([own, block.side.astype(dtype)], format="csr")
