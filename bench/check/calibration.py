"""A fixed workload whose time stands for the machine's speed: models' times are divided by it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from bench.measure import Measured

REPEATS = 5


def calibrate() -> float:
    """Seconds of the workload on one thread, the least of `REPEATS` runs.

    It does what the fits do, none of their code: random numbers, gathers, small products and
    Cholesky factorizations in batches, sparse products.
    """
    return min(_once() for _ in range(REPEATS))


def _once() -> float:
    rng = np.random.default_rng(0)
    rows, levels = rng.integers(0, [[1000], [2000]], (2, 100_000))
    matrix = sparse.csr_array((np.ones(len(rows)), (rows, levels)), shape=(1000, 2000))
    with Measured(threads=1) as cost:
        table = rng.standard_normal((2000, 12))
        for _ in range(4):
            taken = table.take(levels, axis=0).reshape(-1, 50, 12)
            gram = taken.transpose(0, 2, 1) @ taken + np.eye(12)
            np.linalg.cholesky(gram)
            matrix @ table
            matrix.T @ (matrix @ table)
    return cost.seconds
