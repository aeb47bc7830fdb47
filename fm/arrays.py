"""Types of arrays."""

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
