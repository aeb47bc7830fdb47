"""Rows described by one-hot blocks: nothing is kept per row but its levels and its target.

With (w_b, q_b) the bias and factors of a row's level in block b, and q the sum of all q_b,

    yhat = w0 + sum_b (w_b - |q_b|^2 / 2) + |q|^2 / 2                    (Rendle 2010, Lemma 3.1)

so one table lookup per block, added up, gives a row's prediction; without the lookup in the block being
updated, the row's regressors (1, q) and what the rest of the model says of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fm.layout import SLAB_SLOTS, Layout, Slab, index_type


class Blocks:
    """Rows with at most one level, of value 1, in each block.

    Parameters
    ----------
    levels : each block's (n_rows,) level per row, -1 where the row has none.
    columns : each block's (n_levels,) columns among the coefficients.
    scale : (n_rows,) square root of the rows' weights, or None for 1.
    """

    def __init__(
        self,
        levels: Sequence[NDArray[np.integer]],
        columns: Sequence[NDArray[np.intp]],
        scale: NDArray | None,
        *,
        k: int,
        dtype: DTypeLike,
    ) -> None:
        self.columns = columns
        sizes = [len(cols) for cols in columns]
        self.layouts = [Layout.of_levels(*block) for block in zip(levels, sizes, strict=True)]
        self._levels = [_table_rows(*block) for block in zip(levels, sizes, strict=True)]
        self._elsewhere = [
            [None if b == c else rows[layout.slots] for c, rows in enumerate(self._levels)]
            for b, layout in enumerate(self.layouts)
        ]
        self._tables = [np.zeros((size + 1, k + 2), dtype) for size in sizes]
        self._buffers = np.empty((3, SLAB_SLOTS, k + 2), dtype)
        self._scale = None if scale is None else np.append(scale, 0).astype(dtype)
        self._factors = np.array([0] + [1] * k + [0], dtype)
        self._target = np.zeros(len(levels[0]) + 1)

    def start(self, target: NDArray, w0: float, theta: NDArray) -> None:
        """Begin a sweep: rows (n_rows,) to be explained, w0, and [w V] = `theta` (n_features, k + 1)."""
        np.subtract(target, w0, out=self._target[:-1])
        for b, columns in enumerate(self.columns):
            self.absorb(b, theta[columns])

    def absorb(self, b: int, theta: NDArray) -> None:
        """Take over the new coefficients of block b."""
        self._tables[b][:-1, 1:-1] = theta[:, 1:]
        self._tables[b][:-1, -1] = theta[:, 0]

    def regressors(self, b: int, slab: Slab) -> NDArray:
        """(chunks, length, k + 2): scale (h, r) of each slot, h = 0 where it is empty. Valid until the next call."""
        slots = self.layouts[b].slots[slab.chunks]
        rest = [(c, rows[slab.chunks].ravel()) for c, rows in enumerate(self._elsewhere[b]) if c != b]
        x = self._sum(rest, slots.size).reshape(*slots.shape, -1)
        np.subtract(self._target.take(slots), x[..., -1], out=x[..., -1])
        x[..., 0] = slots < len(self._target) - 1
        if self._scale is not None:
            x *= self._scale.take(slots)[..., None]
        return x

    def residual(self) -> NDArray[np.float64]:
        """(n_rows,) target less prediction."""
        e = self._target[:-1].copy()
        for start in range(0, len(e), SLAB_SLOTS):
            rows = slice(start, min(start + SLAB_SLOTS, len(e)))
            e[rows] -= self._sum(
                [(b, level[rows]) for b, level in enumerate(self._levels)], rows.stop - start
            )[:, -1]
        return e

    def _sum(self, lookups: Iterable[tuple[int, NDArray]], n: int) -> NDArray:
        """(n, k + 2): (0, q, sum of biases and of pairs of factors) of each row over the blocks looked up."""
        total, term, product = self._buffers[:, :n]
        (b, rows), *others = lookups or [(0,)]
        self._tables[b].take(rows, axis=0, out=total, mode="clip")
        for b, rows in others:
            self._tables[b].take(rows, axis=0, out=term, mode="clip")
            np.multiply(total, term, out=product)
            total += term
            total[:, -1] += product @ self._factors
        return total


def _table_rows(levels: NDArray[np.integer], n_levels: int) -> NDArray[np.integer]:
    """(n_rows + 1,): the table row of each row's level; the zero row for level -1 and for empty slots."""
    rows = np.append(levels, -1).astype(index_type(n_levels))
    rows[rows < 0] = n_levels
    return rows
