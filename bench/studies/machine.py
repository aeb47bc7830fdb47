"""What this machine can do at most, on one thread: arithmetic, copying, looking up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.studies.fits import seconds

IN_CACHE, IN_MEMORY = 2**18, 2**28
"""Bytes of an array that a core's second cache holds twice, and of one that no cache holds."""


def fastest(call: Callable[[], object], repeats: int) -> float:
    """Return the least of so many times, after one that does not count."""
    call()
    return min(seconds(call) for _ in range(repeats))


def flops(repeats: int = 10) -> float:
    """Of a product of large float64 matrices, per second."""
    a = np.ones((1000, 1000))
    out = np.empty_like(a)
    return 2 * 1000**3 / fastest(lambda: np.matmul(a, a, out=out), repeats)


def bandwidth(n_bytes: int, repeats: int = 10) -> float:
    """Bytes read and written per second by copying an array of `n_bytes`."""
    source = np.ones(n_bytes // 8)
    target = np.empty_like(source)
    times = max(1, IN_MEMORY // n_bytes)

    def copy() -> None:
        for _ in range(times):
            np.copyto(target, source)

    return 2 * n_bytes * times / fastest(copy, repeats)


def gather_seconds(
    tables: list[NDArray], levels: list[NDArray], rows_at_a_time: int, repeats: int = 5
) -> float:
    """Seconds of looking up a row of each table for each level, and nothing else."""
    out = np.empty((rows_at_a_time, tables[0].shape[1]))

    def gather() -> None:
        for first in range(0, len(levels[0]), rows_at_a_time):
            for table, level in zip(tables, levels, strict=True):
                part = level[first : first + rows_at_a_time]
                table.take(part, axis=0, out=out[: len(part)], mode="clip")

    return fastest(gather, repeats)
