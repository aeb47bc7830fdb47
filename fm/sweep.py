"""One sweep over all coefficients of a factorization machine, block after block.

A machine of many factors is a sum of machines of few, since features interact through an inner product,
which is a sum over factors. Beyond `FACTORS` of them the sweep takes the factors in parts, each a machine of
its own that explains what the others leave over: a row then costs O(k FACTORS) per block instead of O(k^2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fm.blocks import Blocks
from fm.columns import Columns
from fm.conditional import Left, conditional
from fm.threads import Map

FACTORS = 16
"""Factors drawn at once."""


@dataclass(frozen=True)
class Residual:
    """What is left of a target when `rows` have predicted, and linear blocks on top of them.

    left : the sums over rows, if known without looking at them.
    e : (n_rows,), if known already.
    """

    rows: Blocks | Columns
    target: NDArray
    left: Left | None
    e: NDArray | None = None

    def vector(self) -> NDArray[np.float64]:
        """e (n_rows,)."""
        return self.target - self.rows.prediction() if self.e is None else self.e

    def sums(self) -> tuple[float, float]:
        """Sum of s e and of s e^2 over the rows, s being their weights."""
        if self.left is not None:
            return self.left.total, max(self.left.squares, 0.0)
        e = self.vector()
        weighted = e if self.rows.weight is None else self.rows.weight * e
        return weighted.sum(), np.dot(weighted, e)


def sweep(
    rows: Blocks | Columns,
    target: NDArray,
    w0: float,
    theta: NDArray,
    priors: Sequence[tuple[NDArray, NDArray]],
    alpha: float,
    rng: np.random.Generator | None,
    each: Map = map,
) -> Residual:
    """Replace `theta` (n_columns, k + 1) = [w V] by a draw, set after set of `rows.columns`.

    priors : of each set the mean, (columns, k + 1) or (k + 1,), and the precision of its rows of theta.
    alpha : precision of the noise.
    rng : None to take the mean of each conditional instead of a draw.
    each : works on batches of levels.
    """
    first, *others = _parts(theta.shape[1])
    predictions = []
    for part in others:
        rows.load(0.0, _machine(theta, part))
        predictions.append(rows.prediction())
        target = target - predictions[-1]
    residual = _sweep(rows, target, w0, theta, first, priors, alpha, rng, each)
    for part, prediction in zip(others, predictions, strict=True):
        residual = _sweep(
            rows, residual.vector() + prediction, 0.0, theta, part, priors, alpha, rng, each
        )
    return residual


def _sweep(
    rows: Blocks | Columns,
    target: NDArray,
    w0: float,
    theta: NDArray,
    part: slice,
    priors: Sequence[tuple[NDArray, NDArray]],
    alpha: float,
    rng: np.random.Generator | None,
    each: Map,
) -> Residual:
    """The same for the machine of the coordinates `part`."""
    rows.load(w0, _machine(theta, part))
    rows.explain(target)
    bias = 0 if part.start == 0 else 1  # without a w of its own the part has no regressor for it
    for s, (columns, (mean, precision)) in enumerate(zip(rows.columns, priors, strict=True)):
        rest = theta[columns]
        rest[:, part] = 0
        theta[columns, part], left = conditional(
            rows.layouts[s],
            lambda slab, s=s: rows.regressors(s, slab)[..., bias:],
            (mean - rest) @ precision[:, part],
            precision[part, part],
            alpha,
            rng,
            each,
        )
        rows.absorb(s, _machine(theta[columns], part))
    known = bias == 0 and rows.in_every_row(len(rows.columns) - 1)
    return Residual(rows, target, left if known else None)


def _parts(n: int) -> list[slice]:
    """The coordinates 0..n, w being the first, cut into slices of at most `FACTORS` factors, w's slice last."""
    cuts = np.linspace(1, n, max(1, -(-(n - 1) // FACTORS)) + 1).astype(int)
    cuts[0] = 0
    return [slice(a, b) for a, b in pairwise(cuts.tolist())][::-1]


def _machine(theta: NDArray, part: slice) -> NDArray:
    """[w V] of the machine of these coordinates; w is 0 unless it is one of them."""
    if part.start == 0:
        return theta[:, part]
    return np.concatenate([np.zeros_like(theta[:, :1]), theta[:, part]], axis=1)
