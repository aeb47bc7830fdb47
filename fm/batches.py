"""Batches of rows for gradient descent: how many rows, which, and in which columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fm.design import Design
from fm.features import MatrixFeatures, OneHotFeatures

SEGMENT = 2**17
"""Rows that an epoch visits together, few enough to stay in cache. More rows than this are dealt to segments at
random once, and an epoch draws the order of the segments and the batches of each."""

FEW = 4
"""Features of a row, on average, up to which a step is taken in all columns."""

COMPRESSED_ROWS = 512
"""Rows of a batch that is compressed to its own columns."""


class CompressedBatches(NamedTuple):
    """Rows shuffled once and cut into batches, each with the columns that occur in it.

    parts : of each batch its row numbers, columns (ascending) and the rows in these columns alone.
    times : (n_features,) batches in which a column occurs.
    """

    parts: list[tuple[NDArray[np.intp], NDArray[np.integer], MatrixFeatures]]
    times: NDArray[np.intp]

    @classmethod
    def of(cls, rows: MatrixFeatures, size: int) -> CompressedBatches:
        n, p = rows.rows.shape
        order = np.random.default_rng(0).permutation(n)
        parts, times = [], np.zeros(p, np.intp)
        for first in range(0, n, size):
            chosen = np.sort(order[first : first + size])
            x = rows.rows[chosen]
            columns, places = np.unique(x.indices, return_inverse=True)
            times[columns] += 1
            indices = places.astype(np.int32), x.indptr.astype(np.int32)
            x = sparse.csr_array((x.data, *indices), shape=(len(chosen), len(columns)))
            parts.append((chosen, columns, MatrixFeatures.of(x)))
        return cls(parts, times)


def compresses(X: Design | NDArray | sparse.csr_array) -> bool:
    """Return whether rows have so many features that a step is taken in those of its batch alone."""
    if isinstance(X, Design):
        return all(block.side_features is None for block in X) and len(X.blocks) > FEW
    nonzeros = X.nnz if sparse.issparse(X) else np.count_nonzero(X)
    return nonzeros > FEW * X.shape[0]


def compressed_batch_size(n_rows: int) -> int:
    """Return 512, or fewer rows so that an epoch has 16 steps, but at least 128 rows."""
    return int(np.clip(n_rows // 16, 128, COMPRESSED_ROWS))


def default_n_iter(X: Design | NDArray | sparse.csr_array) -> int:
    """Return 30 epochs, or where batches are compressed about 1200 steps: 8 to 30 epochs."""
    if not compresses(X):
        return 30
    return int(np.clip(1200 * compressed_batch_size(X.shape[0]) // X.shape[0], 8, 30))


def default_batch_size(n_rows: int, n_features: int) -> int:
    """One row per feature, so that updating all features costs no more than the products, or two if that leaves 50 steps
    an epoch; but at least 16 steps an epoch, and at least 128 rows."""
    return max(128, min(n_features, n_rows // 16), min(2 * n_features, n_rows // 50))


def segment(batch_size: int) -> int:
    """Rows of a segment: as many batches as `SEGMENT` holds, or one that is larger."""
    return batch_size * max(1, SEGMENT // batch_size)


def arrangement(
    rows: MatrixFeatures | OneHotFeatures, n_rows: int, segment: int
) -> NDArray[np.integer]:
    """Row numbers: each `segment` of them a random sample of all rows, within which neighbors stay neighbors."""
    of_row = np.repeat(np.arange(-(-n_rows // segment), dtype=np.uint16), segment)[:n_rows]
    np.random.default_rng(0).shuffle(of_row)
    return rows.neighbors()[np.argsort(of_row, kind="stable")]


def shuffled_batches(
    n_rows: int, size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.intp] | slice]:
    """Each row once, `size` of them at a time, drawn at random out of one segment and in ascending order; or a
    segment at a time, where it holds one batch."""
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
