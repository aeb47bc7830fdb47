"""Slow and obvious: what the fast code is held against."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fm_predict(X: ArrayLike, w0: float, w: ArrayLike, V: ArrayLike) -> NDArray[np.float64]:
    """The factorization machine's equation as it is written, one pair of features at a time."""
    X, w, V = (np.asarray(a, dtype=np.float64) for a in (X, w, V))
    return np.array(
        [
            w0
            + sum(w[j] * x[j] for j in range(len(x)))
            + sum(V[i] @ V[j] * x[i] * x[j] for i, j in combinations(range(len(x)), 2))
            for x in X
        ]
    )


def numerical_gradient(f, x: NDArray, step: float = 1e-6) -> NDArray[np.float64]:
    """Central differences of a function of one array."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[index] = step
        gradient[index] = (f(x + shift) - f(x - shift)) / (2 * step)
    return gradient
