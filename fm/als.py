"""Alternating least squares for factorization machines: exact block updates, no learning rate.

Minimises, for the model of `fm.model`,

    sum_rows weight (y - yhat)^2 + l2_w |w|^2 + l2 |V|^2            (w0 is never penalized)

"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse

from fm.design import Design
from fm.model import Coefficients


Callback = Callable[[int, Coefficients], bool | None]
"""Called after every sweep with the number of sweeps done (counted over continuations) and the
current coefficients, whose arrays may be the solver's own: copy to keep. A true answer ends the fit after
that sweep. The callback's time is not in `seconds`."""


@dataclass(frozen=True)
class ALSFit:
    """Result of `als`, and what `als(..., start=)` goes on from, bit for bit.

    coefficients : those of the last sweep (arrays of its own, not views).
    n_sweeps : sweeps done, those of `start` included.
    history : `objective`, `train_mse`, `seconds` (cumulative), each (sweeps of this call,).
    """

    coefficients: Coefficients
    n_sweeps: int
    history: dict[str, NDArray[np.float64]]


def als(
    X: Design | sparse.csr_array,
    y: NDArray,
    *,
    k: int,
    n_iter: int,
    l2: float,
    l2_w: float,
    rng: np.random.Generator,
    sample_weight: NDArray | None = None,
    groups: ArrayLike | None = None,
    init_std: float = 0.1,
    start: ALSFit | None = None,
    callback: Callback | None = None,
    dtype: DTypeLike = np.float64,
) -> ALSFit:
    """`n_iter` sweeps over all blocks from V ~ N(0, init_std^2), or from `start`.

    X : Design, or CSR matrix (n_rows, n_features); dense callers convert. Checked by the caller:
        finite, y (n_rows,), at least one row, sample_weight (n_rows,) >= 0 and not all 0.
    groups : (n_features,) group numbers of a matrix's columns; ALS uses them only to find sets of
        columns that can be updated at once. None: found.
    """
    raise NotImplementedError
