"""Types of arrays, and how large temporary arrays get their memory."""

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
