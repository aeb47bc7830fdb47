"""Rows of features in the forms that gradient descent wants: a batch's predictions, and its gradient.

Both classes offer, for theta = [w V] (n_features, 1 + k):

    x[rows]                    some of the rows
    x.forward(w0, theta)       f (n_rows,), and z = (1, q) (n_rows, 1 + k) with q = x V, which `backward` overwrites
    x.backward(e, z)           sum_rows e x_j z, (n_features, 1 + k), and column_squares(e)
    x.column_squares(weight)   sum_rows weight x_j^2, (n_features,)
    x.column_units(weight)     root of the mean x_j^2 over rows where it is not 0, (n_features,)
    x.over(units)              with each column divided by its unit
    x.neighbours()             row numbers in an order in which rows that follow each other look up the same places

Since df/dv_j = x_j (q - x_j v_j), the gradient of sum_rows e f is the first of `backward` less the second times
(0, v_j).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from fm.blocks import by_level
from fm.design import UNKNOWN, Block, Design
from fm.model import squared

CHUNK = 2**14
"""Numbers in a piece of an intermediate result: 128 KiB of float64."""


def features(
    X: Design | NDArray | sparse.csr_array, dtype: DTypeLike
) -> MatrixFeatures | OneHotFeatures:
    """X in the form that suits it."""
    if not isinstance(X, Design):
        return MatrixFeatures.of(X.astype(dtype, copy=False))
    if all(block.side_features is None and UNKNOWN not in block.levels for block in X):
        starts = np.cumsum([0] + [block.n_levels for block in X])
        columns = np.empty((len(X), len(X.blocks)), np.int32)
        for b, block in enumerate(X):
            np.add(block.levels, starts[b], out=columns[:, b], casting="unsafe")
        return OneHotFeatures(columns, starts)
    rows = Design(
        replace(block, side_features=None, side_feature_names=None) for block in X
    ).to_csr(dtype)
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

    def __getitem__(self, chosen: NDArray[np.intp] | slice) -> Self:
        rows = self.rows[chosen]
        return replace(
            self, rows=rows, rows2=rows if self.rows2 is self.rows else self.rows2[chosen]
        )

    def forward(self, w0: float, theta: NDArray) -> tuple[NDArray, NDArray]:
        norms = np.vecdot(theta[:, 1:], theta[:, 1:])
        if self.levels is not None:
            theta, norms = self.levels @ theta, self.levels2 @ norms
        z = self.rows @ theta
        f = w0 + z[:, 0] + (np.vecdot(z[:, 1:], z[:, 1:]) - self.rows2 @ norms) / 2
        z[:, 0] = 1
        return f, z

    def backward(self, e: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
        z *= e[:, None]
        pull = self.rows.T @ z
        if self.levels is None and self.rows2 is self.rows:
            return pull, pull[:, 0].copy()  # x_j is 0 or 1, and z_0 is 1
        return pull if self.levels is None else self.levels.T @ pull, self.column_squares(e)

    def column_squares(self, weight: NDArray) -> NDArray:
        squares = self.rows2.T @ weight
        return squares if self.levels is None else self.levels2.T @ squares

    def column_units(self, weight: NDArray) -> NDArray[np.float64]:
        counts = _occurs(self.rows).T @ weight
        if self.levels is not None:
            counts = _occurs(self.levels).T @ counts
        units = np.ones(len(counts))
        return np.sqrt(np.divide(self.column_squares(weight), counts, out=units, where=counts > 0))

    def over(self, units: NDArray[np.float64]) -> Self:
        if np.all(units == 1):
            return self
        if self.levels is None:
            return self.of(_divided(self.rows, units))
        return self.of(self.rows, _divided(self.levels, units))

    def neighbours(self) -> NDArray[np.integer]:
        return np.arange(self.rows.shape[0])


@dataclass(frozen=True)
class OneHotFeatures:
    """One column with a 1 per block: products are look-ups, in pieces that stay in cache.

    columns : (n_rows, n_blocks)
    starts : (n_blocks + 1,) the first column of each block, and the number of columns.
    add : number of rows -> the matrix (n_features, n_rows) last used for so many, shared by all selections of rows.
    """

    columns: NDArray[np.int32]
    starts: NDArray[np.intp]
    add: dict[int, sparse.csc_array] = field(default_factory=dict)

    @property
    def n_features(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> Self:
        columns = self.columns[rows] if isinstance(rows, slice) else self.columns.take(rows, axis=0)
        return replace(self, columns=columns)

    def forward(self, w0: float, theta: NDArray) -> tuple[NDArray, NDArray]:
        n, width = len(self.columns), theta.shape[1]
        f, z = np.full(n, w0, theta.dtype), np.empty((n, width), theta.dtype)
        factors = np.array([0] + [1] * (width - 1), theta.dtype)
        pieces = chunks(n, width)
        buffers = np.empty((2, pieces[0].stop, width), theta.dtype)
        for rows in pieces:
            first, *others = self.columns[rows].T
            total = theta.take(first, axis=0, out=z[rows], mode="clip")
            term, product = buffers[:, : len(total)]
            for column in others:
                theta.take(column, axis=0, out=term, mode="clip")
                np.multiply(total, term, out=product)
                f[rows] += product @ factors
                total += term
            f[rows] += total[:, 0]
            total[:, 0] = 1
        return f, z

    def backward(self, e: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
        n, n_blocks = self.columns.shape
        entries = np.repeat(e, n_blocks), self.columns.ravel()
        if n not in self.add:  # a new matrix is checked, which takes as long as the product
            starts = np.arange(0, n * n_blocks + 1, n_blocks, dtype=np.int32)
            self.add[n] = sparse.csc_array((*entries, starts), shape=(self.n_features, n))
        self.add[n].data, self.add[n].indices = entries
        pull = self.add[n] @ z
        return pull, pull[:, 0]  # x_j is 0 or 1, and z_0 is 1

    def column_squares(self, weight: NDArray) -> NDArray:
        return sum(np.bincount(column, weight, self.n_features) for column in self.columns.T)

    def column_units(self, weight: NDArray) -> NDArray[np.float64]:
        return np.ones(self.n_features)

    def over(self, units: NDArray[np.float64]) -> Self:
        return self

    def neighbours(self) -> NDArray[np.integer]:
        largest = np.argmax(np.diff(self.starts))
        first, end = self.starts[largest : largest + 2]
        return by_level(self.columns[:, largest] - first, end - first)[0]


def chunks(n: int, width: int) -> list[slice]:
    """0..n cut where three arrays (length of a piece, width) fill most of a core's second cache."""
    step = max(1, CHUNK // width)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _level_features(block: Block, dtype: DTypeLike) -> sparse.csr_array:
    own = sparse.eye_array(block.n_levels, dtype=dtype, format="csr")
    return (
        own
        if block.side_features is None
        else sparse.hstack([own, block.side_features.astype(dtype)], format="csr")
    )


def _divided(
    X: NDArray | sparse.csr_array, units: NDArray[np.float64]
) -> NDArray | sparse.csr_array:
    inverse = (1 / units).astype(X.dtype)
    if not sparse.issparse(X):
        return X * inverse
    return sparse.csr_array((X.data * inverse[X.indices], X.indices, X.indptr), shape=X.shape)


def _occurs(X: NDArray | sparse.csr_array) -> NDArray | sparse.csr_array:
    """Return 1 where X has an entry other than 0, without `!=` of SciPy, which sorts X in place."""
    if not sparse.issparse(X):
        return X != 0
    return sparse.csr_array(((X.data != 0).astype(X.dtype), X.indices, X.indptr), shape=X.shape)
