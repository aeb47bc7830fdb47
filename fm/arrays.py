"""Types of arrays, the memory of large temporary ones, and threads that work on them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[Any]
"""Numbers of any kind, or labels."""

FloatArray = NDArray[np.float64]

RealArray = NDArray[np.floating]
"""float64 or float32, as the user chose by `dtype`."""

IntArray = NDArray[np.integer]
"""Integers of any width."""

IndexArray = NDArray[np.intp]

BoolArray = NDArray[np.bool_]

Map = Callable[..., Iterator[Any]]
"""As `map`: results come in the order of what they are of, so that sums over them are the same to
the last bit, however many threads there are."""

LARGEST = 2**25 - 2**20
"""Bytes; glibc's own ceiling is 32 MB."""


def reuse_freed_memory() -> None:
    """Have arrays of up to `LARGEST` bytes take memory that others have freed.

    glibc gets every array above a threshold, 128 KB at first, afresh from the kernel, which has to
    clear it page by page: in sweeps made of many such arrays up to a fifth of the time (measured).
    Freeing an array above the threshold raises it to that array's size (mallopt(3),
    M_MMAP_THRESHOLD). The array here is never touched, so it costs nothing. Elsewhere than with
    glibc nothing happens.
    """
    np.empty(LARGEST, np.uint8)


@contextmanager
def mapping(n_jobs: int) -> Iterator[Map]:
    """Give a `Map` by `n_jobs` threads; NumPy and SciPy let go of the interpreter in array work."""
    if n_jobs == 1:
        yield map
        return
    with ThreadPoolExecutor(n_jobs) as threads:
        yield threads.map


def before_order(values: FloatArray, order: IndexArray) -> FloatArray:
    """Return what `values` were before `values[order]`, a permutation of the first axis."""
    given = np.empty_like(values)
    given[order] = values
    return given
