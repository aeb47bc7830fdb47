"""Rows of features in the forms that gradient descent needs, and how they are dealt to batches.

Both classes of rows give a batch's predictions and gradient by the same methods, where theta =
[w V] is (n_features, 1 + k). Since df/dv_j = x_j (q - x_j v_j), the gradient of sum_rows e f is the
first array of `backward` less the second times (0, v_j).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import DTypeLike
from scipy import sparse

from fm.arrays import BoolArray, FloatArray, IndexArray, IntArray, RealArray
from fm.blocks import by_level
from fm.design import UNKNOWN, Design
from fm.model import Coefficients, Matrix, factor_mask, pieces, predict, squared, sum_lookups

CHUNK = 2**14
"""Numbers in a piece of an intermediate result: 128 KiB of float64. Three such pieces fill most of
a core's second cache."""


FAR = 0.5
"""Standard deviations that a column lies from 0 from which Gibbs sampling and ALS center it. In a
test of six columns R^2 begins to fall between 0.5 and 1 (ALS) and between 1 and 2 (Gibbs)."""

SEGMENT = 2**17
"""Rows that an epoch visits together, few enough to stay in cache. More rows than this are dealt to
segments at random once, and an epoch draws the order of the segments and the batches of each."""

FEW = 4
"""Features of a row, on average, up to which a step is taken in all columns."""

COMPRESSED_ROWS = 512
"""Rows of a batch that is compressed to its own columns."""


def features(X: Matrix, dtype: DTypeLike) -> MatrixFeatures | OneHotFeatures:
    """Return X in the form that suits it."""
    if not isinstance(X, Design):
        return MatrixFeatures.of(X.astype(dtype, copy=False))
    if all(block.side_features is None and UNKNOWN not in block.levels for block in X):
        starts = np.cumsum([0] + [block.n_levels for block in X])
        return OneHotFeatures(np.empty((0, 0), np.int32), starts).of_rows(X)
    levels = sparse.block_diag([block.level_columns(dtype) for block in X], format="csr")
    return MatrixFeatures.of(one_hot(X, dtype), levels)


def one_hot(X: Design, dtype: DTypeLike) -> sparse.csr_array:
    """Return the columns of the levels of all blocks side by side, (n_rows, n_levels)."""
    return sparse.hstack([block.one_hot(dtype) for block in X], format="csr")


@dataclass(frozen=True)
class MatrixFeatures:
    """X = rows @ levels, and X squared = rows2 @ levels2; `levels` None for the identity.

    In a `Design` with side features `rows` is one-hot and `levels` has each level's own column and
    side features, so that side features cost once per level of a product, not once per row.
    """

    rows: RealArray | sparse.csr_array
    rows2: RealArray | sparse.csr_array
    levels: sparse.csr_array | None = None
    levels2: sparse.csr_array | None = None

    @classmethod
    def of(cls, rows: RealArray | sparse.csr_array, levels: sparse.csr_array | None = None) -> Self:
        """Return the rows with their squares."""
        return cls(rows, squared(rows), levels, None if levels is None else squared(levels))

    def __getitem__(self, chosen: IntArray | slice) -> Self:
        """Return some of the rows."""
        rows = self.rows[chosen]
        return replace(
            self, rows=rows, rows2=rows if self.rows2 is self.rows else self.rows2[chosen]
        )

    def of_rows(self, X: Design) -> Self:
        """Return the same of other rows of a design."""
        rows = one_hot(X, self.rows.dtype)
        return replace(self, rows=rows, rows2=rows)

    def forward(self, w0: float, theta: RealArray) -> tuple[RealArray, RealArray]:
        """Return f (n_rows,) and z = (1, q) (n_rows, 1 + k), with q = x V."""
        norms = np.vecdot(theta[:, 1:], theta[:, 1:])
        if self.levels is not None:
            theta, norms = self.levels @ theta, self.levels2 @ norms
        z = self.rows @ theta
        f = w0 + z[:, 0] + (np.vecdot(z[:, 1:], z[:, 1:]) - self.rows2 @ norms) / 2
        z[:, 0] = 1
        return f, z

    def backward(self, e: RealArray, z: RealArray) -> tuple[RealArray, RealArray]:
        """Return sum_rows e x_j z (n_features, 1 + k) and column_squares(e); z is overwritten."""
        z *= e[:, None]
        pull = self.rows.T @ z
        if self.levels is None and self.rows2 is self.rows:
            return pull, pull[:, 0].copy()  # x_j is 0 or 1, and z_0 is 1
        return pull if self.levels is None else self.levels.T @ pull, self.column_squares(e)

    def column_squares(self, weight: RealArray) -> RealArray:
        """Return sum_rows weight x_j^2, (n_features,)."""
        squares = self.rows2.T @ weight
        return squares if self.levels2 is None else self.levels2.T @ squares

    def column_units(self, weight: RealArray) -> FloatArray:
        """Return the root of the mean x_j^2 over rows where it is not 0, (n_features,)."""
        counts = _nonzero(self.rows).T @ weight
        if self.levels is not None:
            counts = _nonzero(self.levels).T @ counts
        units = np.ones(len(counts))
        return np.sqrt(np.divide(self.column_squares(weight), counts, out=units, where=counts > 0))

    def over(self, units: FloatArray) -> Self:
        """Return the same with each column divided by its unit."""
        if np.all(units == 1):
            return self
        if self.levels is None:
            return self.of(_divided(self.rows, units))
        return self.of(self.rows, _divided(self.levels, units))

    def neighbors(self) -> IntArray:
        """Return row numbers so that rows that follow each other look up the same places."""
        return np.arange(self.rows.shape[0])


@dataclass(frozen=True)
class OneHotFeatures:
    """One column with a 1 per block: products are look-ups, in pieces that stay in cache.

    columns : (n_rows, n_blocks)
    starts : (n_blocks + 1,) the first column of each block, and the number of columns.
    add : number of rows -> the matrix (n_features, n_rows) last used for so many, shared by all
        selections of rows.
    """

    columns: IntArray
    starts: IndexArray
    add: dict[int, sparse.csc_array] = field(default_factory=dict)

    @property
    def n_features(self) -> int:
        """Return the number of columns."""
        return int(self.starts[-1])

    def __getitem__(self, chosen: IntArray | slice) -> Self:
        """Return some of the rows."""
        given = self.columns
        return replace(
            self, columns=given[chosen] if isinstance(chosen, slice) else given.take(chosen, axis=0)
        )

    def of_rows(self, X: Design) -> Self:
        """Return the same of other rows of the design."""
        columns = np.empty((len(X), len(X.blocks)), np.int32)
        for b, block in enumerate(X):
            np.add(block.levels, self.starts[b], out=columns[:, b], casting="unsafe")
        return replace(self, columns=columns)

    def forward(self, w0: float, theta: RealArray) -> tuple[RealArray, RealArray]:
        """Return f and z."""
        n, width = len(self.columns), theta.shape[1]
        f, z = np.full(n, w0, theta.dtype), np.empty((n, width), theta.dtype)
        factors = factor_mask(width, slice(1, None), theta.dtype)
        parts = pieces(n, width, CHUNK)
        buffers = np.empty((2, parts[0].stop, width), theta.dtype)
        for rows in parts:
            lookups = ((theta, column) for column in self.columns[rows].T)
            scratch = z[rows], *buffers[:, : len(z[rows])]
            total = sum_lookups(lookups, factors, scratch, f[rows])
            f[rows] += total[:, 0]
            total[:, 0] = 1
        return f, z

    def backward(self, e: RealArray, z: RealArray) -> tuple[RealArray, RealArray]:
        """Return the gradient's two parts."""
        n, n_blocks = self.columns.shape
        entries = np.repeat(e, n_blocks), self.columns.ravel()
        if n not in self.add:  # a new matrix is checked, which takes as long as the product
            starts = np.arange(0, n * n_blocks + 1, n_blocks, dtype=np.int32)
            self.add[n] = sparse.csc_array((*entries, starts), shape=(self.n_features, n))
        self.add[n].data, self.add[n].indices = entries
        pull = self.add[n] @ z
        return pull, pull[:, 0]  # x_j is 0 or 1, and z_0 is 1

    def column_squares(self, weight: RealArray) -> RealArray:
        """Return the sum of weights of each column's rows."""
        sums = np.zeros(self.n_features)
        for column in self.columns.T:
            sums += np.bincount(column, weight, self.n_features)
        return sums

    def column_units(self, weight: RealArray) -> FloatArray:
        """Return ones."""
        return np.ones(self.n_features)

    def over(self, units: FloatArray) -> Self:
        """Return the same."""
        return self

    def neighbors(self) -> IntArray:
        """Return row numbers sorted by the level in the block that has most of them."""
        largest = np.argmax(np.diff(self.starts))
        first, end = self.starts[largest : largest + 2]
        return by_level(self.columns[:, largest] - first, end - first)[0]


def _divided(X: RealArray | sparse.csr_array, units: FloatArray) -> RealArray | sparse.csr_array:
    inverse = (1 / units).astype(X.dtype)
    if isinstance(X, np.ndarray):
        return X * inverse
    return sparse.csr_array((X.data * inverse[X.indices], X.indices, X.indptr), shape=X.shape)


def _nonzero(X: RealArray | sparse.csr_array) -> BoolArray | sparse.csr_array:
    """Return 1 where X has an entry other than 0, without `!=` of SciPy, which sorts X in place."""
    if isinstance(X, np.ndarray):
        return X != 0
    return sparse.csr_array(((X.data != 0).astype(X.dtype), X.indices, X.indptr), shape=X.shape)


def centers_of(X: Matrix, weight: FloatArray | None, far: float = 0.0) -> FloatArray | None:
    """Return the means of the columns that are nowhere 0 and vary, 0 of the others; None if all 0.

    Where a column lies far from 0 its pairs are all but multiples of the other columns, and a
    solver takes long to tell them apart.

    far : standard deviations that a mean is from 0 at least.
    """
    if isinstance(X, Design):
        return None
    n, n_features = X.shape
    columns = np.flatnonzero(X[[0]] if isinstance(X, np.ndarray) else X[[0]].toarray())
    some = X[:, columns]
    nonzeros = _nonzero(some).T @ np.ones(n)
    share = np.ones(n) if weight is None else weight / weight.mean()
    means = some.T @ share / n
    variance = squared(some).T @ share / n - means**2
    chosen = (nonzeros == n) & (variance > 1e-10 * means**2) & (means**2 >= far**2 * variance)
    centers = np.zeros(n_features)
    centers[columns] = np.where(chosen, means, 0.0)
    return centers if centers.any() else None


def centered(X: RealArray | sparse.csr_array, centers: FloatArray) -> RealArray | sparse.csr_array:
    """Return X less the centers of its columns."""
    if isinstance(X, np.ndarray):
        return X - centers
    n, columns = X.shape[0], np.flatnonzero(centers)
    starts = np.arange(n + 1) * len(columns)
    parts = np.tile(centers[columns], n), np.tile(columns, n), starts
    return sparse.csr_array(X - sparse.csr_array(parts, shape=X.shape))


def uncentered(
    w0: float, w: RealArray, V: RealArray, centers: FloatArray
) -> tuple[float, RealArray]:
    """Return w0 and w of the machine of x that predicts what (w0, w, V) do of x less the centers.

    With V' m = sum_j v_j m_j for centers m, these are the prediction at x = 0 and
    w_j - <v_j, V' m - v_j m_j>.
    """
    at_zero = float(predict(-centers[None], Coefficients(w0, w, V))[0])
    return at_zero, w - np.vecdot(V, centers @ V - centers[:, None] * V)


def compresses(X: Matrix) -> bool:
    """Return whether rows have so many features that a batch is compressed to its own columns."""
    if isinstance(X, Design):
        return all(block.side_features is None for block in X) and len(X.blocks) > FEW
    nonzeros = np.count_nonzero(X) if isinstance(X, np.ndarray) else X.nnz
    return bool(nonzeros > FEW * X.shape[0])


def compressed_batch_size(n_rows: int) -> int:
    """Return 512, or fewer rows so that an epoch has 16 steps, but at least 32 rows."""
    return int(np.clip(n_rows // 16, 32, COMPRESSED_ROWS))


def default_n_iter(X: Matrix) -> int:
    """Return 30 epochs, or where batches are compressed about 1000 steps: 6 to 30 epochs."""
    if not compresses(X):
        return 30
    return int(np.clip(1000 * compressed_batch_size(X.shape[0]) // X.shape[0], 6, 30))


def default_batch_size(n_rows: int, n_features: int) -> int:
    """Return one row per feature, but at least 128.

    So updating all features costs no more than the products. Two rows per feature if that leaves 50
    steps an epoch, and fewer than one if it would not leave 16.
    """
    return max(128, min(n_features, n_rows // 16), min(2 * n_features, n_rows // 50))


def segment(batch_size: int) -> int:
    """Rows of a segment: as many batches as `SEGMENT` holds, or one that is larger."""
    return batch_size * max(1, SEGMENT // batch_size)


def arrangement(rows: MatrixFeatures | OneHotFeatures, n_rows: int, segment: int) -> IntArray:
    """Return row numbers: each `segment` is a random sample in which neighbors stay neighbors."""
    of_row = np.repeat(np.arange(-(-n_rows // segment), dtype=np.uint16), segment)[:n_rows]
    np.random.default_rng(0).shuffle(of_row)
    return rows.neighbors()[np.argsort(of_row, kind="stable")]


def shuffled_batches(
    n_rows: int, size: int, rng: np.random.Generator
) -> Iterator[IndexArray | slice]:
    """Yield each row once, `size` at a time, ascending, drawn out of one segment at random.

    A segment at a time, where it holds one batch.
    """
    length = segment(size)
    for start in rng.permutation(np.arange(0, n_rows, length)):
        if length == size:
            yield slice(start, min(start + size, n_rows))
            continue
        order = rng.permutation(min(length, n_rows - start)).astype(np.int32)
        yield from (
            start + np.sort(order[first : first + size]) for first in range(0, len(order), size)
        )


def has_segments(n_rows: int) -> bool:
    """Return whether an epoch visits the rows a segment at a time."""
    return n_rows > SEGMENT
