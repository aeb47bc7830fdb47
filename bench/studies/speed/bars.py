"""What is claimed, what was measured, and whether the one holds given the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.tables import markdown_table

Times = dict[int, NDArray[np.float64]]
"""Size of the problem -> seconds, one a repeat."""


@dataclass(frozen=True, eq=False)
class Bar:
    """A quantity measured once a repeat, and the range, ends included, in which its median is to lie."""

    what: str
    measured: NDArray[np.float64]
    low: float = -np.inf
    high: float = np.inf

    @property
    def met(self) -> bool:
        return bool(self.low <= np.median(self.measured) <= self.high)

    @property
    def range(self) -> str:
        if np.isinf(self.low):
            return f"≤ {self.high:.4g}"
        return f"≥ {self.low:.4g}" if np.isinf(self.high) else f"{self.low:.4g}–{self.high:.4g}"


def spread(values: ArrayLike) -> str:
    """`0.0456 (0.0431–0.0502)`: the median, the lowest, the highest, or the only one; inf is what never happened."""
    median, low, high = (
        f"{v:.4g}" if np.isfinite(v) else "never"
        for v in (np.median(values), np.min(values), np.max(values))
    )
    return median if np.size(values) == 1 else f"{median} ({low}–{high})"


def slopes(times: Mapping[int, ArrayLike]) -> NDArray[np.float64]:
    """Of each repeat, or of the only one, the exponent b of the power law `seconds = a size^b` that fits best in
    logarithms."""
    return np.polyfit(np.log(list(times)), np.log(list(times.values())), 1)[0]


def medians(times: Times) -> tuple[NDArray, NDArray]:
    """Sizes, and the median time of each."""
    return np.array(list(times)), np.median(list(times.values()), axis=1)


def bars_table(bars: Sequence[Bar]) -> str:
    rows = [
        [
            b.what,
            b.range,
            spread(b.measured),
            str(len(b.measured)),
            "met" if b.met else "**not met**",
        ]
        for b in bars
    ]
    return markdown_table(["", "bar", "median (min–max)", "n", ""], rows)
