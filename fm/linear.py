"""Blocks whose levels have a weight and no factors: their conditional is a number per level.

Given all else, with e what the rest of the model leaves of a row's target, s the row's weight, alpha the noise
precision and w_l ~ N(m_l, 1 / lambda),

    w_l | rest ~ N((alpha sum s e + lambda m_l) / A, 1 / A),    A = alpha sum s + lambda,    sums over l's rows.

Cost: a count and a look-up per row and block, whatever k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fm.block_kernel import Residual
from fm.design import Block


class LinearBlock:
    """A linear `fm.design.Block` and its weights.

    theta : (n_levels, 1).
    seen : (n_levels,) which levels occur in a row.
    """

    def __init__(self, block: Block, weight: NDArray | None) -> None:
        self.side_features = block.side_features
        self.theta = np.zeros((block.n_levels, 1))
        self._levels = np.where(block.levels < 0, block.n_levels, block.levels)
        self._weight = weight
        self._total_weight = self._sum(np.ones(len(block.levels)))
        self.seen = np.bincount(self._levels, minlength=block.n_levels + 1)[:-1] > 0

    def effect(self) -> NDArray[np.float64]:
        """(n_rows,) the weight of each row's level, 0 where it has none."""
        return np.append(self.theta, 0.0)[self._levels]

    def update(
        self,
        e: NDArray,
        mean: NDArray,
        precision: NDArray,
        alpha: float,
        rng: np.random.Generator | None,
    ) -> NDArray[np.float64]:
        """Draw `theta` (without `rng`: take its mean), and from the residual e (n_rows,) make the new one.

        mean : (n_levels, 1) or (1,). precision : (1, 1).
        """
        e = e + self.effect()
        total = alpha * self._total_weight[:, None] + precision
        self.theta = (alpha * self._sum(e)[:, None] + precision * mean) / total
        if rng is not None:
            self.theta += rng.standard_normal(self.theta.shape) / np.sqrt(total)
        return e - self.effect()

    def _sum(self, x: NDArray) -> NDArray[np.float64]:
        """(n_levels,) weighted sums over the rows of each level."""
        weighted = x if self._weight is None else self._weight * x
        return np.bincount(self._levels, weighted, len(self.theta) + 1)[:-1]


def explain(
    blocks: Sequence[LinearBlock],
    residual: Residual,
    priors: Sequence[tuple[NDArray, NDArray]],
    alpha: float,
    rng: np.random.Generator | None,
) -> Residual:
    """`residual` after an update of each block in turn, given its prior (mean, precision)."""
    if not blocks:
        return residual
    e = residual.vector()
    for block, (mean, precision) in zip(blocks, priors, strict=True):
        e = block.update(e, mean, precision, alpha, rng)
    return replace(residual, left=None, e=e)
