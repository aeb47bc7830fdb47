"""Rows of any sparse matrix, whose columns are updated in sets that share no row.

A set's columns are independent given the rest of the model, so a set is updated like a one-hot block, its
values being x instead of 1. Of each row are kept its summed factors q and its prediction: a set then costs
O((k + 1)^2) per nonzero of its own, however many sets there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from fm.blocks import Layout, Slab, in_slots, slab_slots


class Columns:
    """Rows of a matrix; methods and the remaining parameters are those of `fm.blocks.Blocks`.

    X : (n_rows, n_features).
    columns : sets of columns that together are all columns; no two of a set share a row.
    """

    def __init__(
        self,
        X: sparse.csc_array,
        columns: Sequence[NDArray[np.intp]],
        weight: NDArray | None,
        *,
        k: int,
        dtype: DTypeLike,
    ) -> None:
        n_rows = X.shape[0]
        self.columns = columns
        self.layouts, self._values = [], []
        for members in columns:
            part = X[:, members]
            layout = Layout.of_sorted(part.indptr, slab_slots(k))
            self.layouts.append(replace(layout, slots=in_slots(part.indices, layout.slots, n_rows)))
            self._values.append(in_slots(part.data, layout.slots, 0))
        self.weight = weight
        self._scale = None if weight is None else np.sqrt(np.append(weight, 0))
        self._dtype = dtype
        self._n_rows = n_rows

    def load(self, w0: float, theta: NDArray) -> None:
        self._theta = np.zeros_like(theta)
        self._sums = np.zeros(
            (self._n_rows + 1, theta.shape[1])
        )  # (prediction, q), and of an empty slot 0
        self._sums[:-1, 0] = w0
        for s, columns in enumerate(self.columns):
            self.absorb(s, theta[columns])

    def absorb(self, s: int, theta: NDArray) -> None:
        change = theta - self._theta[self.columns[s]]
        for batch in self.layouts[s].batches:
            for slab in batch.slabs:
                rows = self.layouts[s].slots[slab.slots]
                h, sums = self._h(s, slab)
                own = change[slab.owner]
                sums[..., :1] += h @ own[..., None]
                sums[..., 1:] += h[..., :1] * own[:, None, 1:]
                self._sums[rows] = sums.reshape(len(rows), -1)
        self._theta[self.columns[s]] = theta

    def explain(self, target: NDArray) -> None:
        self._target = np.append(target, 0)

    def regressors(self, s: int, slab: Slab) -> NDArray:
        rows = slab.chunks(self.layouts[s].slots)
        h, sums = self._h(s, slab)
        own = self._theta[self.columns[s]][slab.owner]
        x = np.empty((*h.shape[:2], h.shape[2] + 1), self._dtype)
        x[..., :-1] = h
        x[..., -1] = self._target.take(rows) - sums[..., 0] + (h @ own[..., None])[..., 0]
        if self._scale is not None:
            x *= self._scale.take(rows)[..., None]
        return x

    def in_every_row(self, s: int) -> bool:
        return False  # not with value 1

    def prediction(self) -> NDArray[np.float64]:
        return self._sums[:-1, 0].copy()

    def _h(self, s: int, slab: Slab) -> tuple[NDArray, NDArray]:
        """(chunks, length, k + 1): x (1, q) with q without the set's own columns, and the rows' sums as they are."""
        x = slab.chunks(self._values[s])[..., None]
        own = self._theta[self.columns[s]][slab.owner]
        sums = self._sums.take(slab.chunks(self.layouts[s].slots), axis=0)
        h = sums - x * own[:, None]
        h[..., 0] = 1
        h *= x
        return h, sums
