"""Batches of rows for gradient descent: how many rows, which, and in which columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fm.arrays import IndexArray, IntArray
from fm.design import Design
from fm.features import MatrixFeatures, OneHotFeatures
from fm.model import Matrix

SEGMENT = 2**17
"""Rows that an epoch visits together, few enough to stay in cache. More rows than this are dealt to
segments at random once, and an epoch draws the order of the segments and the batches of each."""

FEW = 4
"""Features of a row, on average, up to which a step is taken in all columns."""

COMPRESSED_ROWS = 512
"""Rows of a batch that is compressed to its own columns."""


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
