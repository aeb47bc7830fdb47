"""Gibbs sampling for Bayesian factorization machines: nothing to tune."""

from __future__ import annotations

from dataclasses import dataclass
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse

from fm.design import Design


class Draw(NamedTuple):
    """A sweep's draw: the four fields of `fm.model.Coefficients`, and the likelihood's parameters.

    unknown : (n_blocks, k + 1) the (w, v) of level -1 of each block of a `Design`: its prior mean (zero if
        training rows had that level). No rows for a matrix.
    alpha : precision of the noise; 1 for probit and ordered probit.
    cut_points : (n_classes - 1,) for ordered probit (whose w0 is 0), else empty.
    """

    w0: float
    w: NDArray
    V: NDArray
    unknown: NDArray
    alpha: float
    cut_points: NDArray


Callback = Callable[[int, Draw], bool | None]
"""As `fm.als.Callback`, with the sweep's draw."""


@dataclass(frozen=True)
class GibbsState:
    """All that the next sweep depends on: arrays, and the generator's state (`bit_generator.state`)."""

    arrays: dict[str, NDArray]
    generator: dict
    n_sweeps: int


@dataclass(frozen=True)
class GibbsFit:
    """Kept draws (first axis S), traces over all sweeps of this call (first axis n_iter), last state.

    w0 (S,), w (S, n_features), V (S, n_features, k), unknown (S, n_blocks, k + 1),
    alpha (S,), cut_points (S, n_classes - 1): one `Draw` per s.
    trace : `alpha`, `w0`, `train_mse` (Gaussian: of the current draw), `seconds`, each (n_iter,);
        `cut_points` (n_iter, n_classes - 1) for ordered probit.
    """

    w0: NDArray
    w: NDArray
    V: NDArray
    unknown: NDArray
    alpha: NDArray
    cut_points: NDArray
    trace: dict[str, NDArray[np.float64]]
    state: GibbsState


def gibbs(
    X: Design | sparse.csr_array,
    y: NDArray,
    *,
    k: int,
    n_iter: int,
    rng: np.random.Generator | None,
    burn_in: int = 0,
    thin: int = 1,
    likelihood: Literal["gaussian", "probit", "ordered"] = "gaussian",
    sample_weight: NDArray | None = None,
    groups: ArrayLike | None = None,
    init_std: float = 0.1,
    start: GibbsState | None = None,
    callback: Callback | None = None,
    dtype: DTypeLike = np.float64,
) -> GibbsFit:
    """`n_iter` sweeps; keeps the draw of every `thin`-th sweep after the first `burn_in`.

    y : values (gaussian, where `sample_weight` is allowed), 0/1 (probit) or class numbers
        0..n_classes-1 (ordered), each class present.
    burn_in, thin : counted in sweeps since the very first (`start.n_sweeps` included), so that n + m
        sweeps keep the same draws as n, then m. Memory: S * (n_features * (k + 1)) numbers; burn_in
        >= n_iter keeps none (the callback still sees every sweep's draw).
    rng : None exactly when `start` is given, whose generator state it then goes on from.
    callback : sees the current draw after every sweep, burn-in too; see `fm.als.Callback`.
    """
    raise NotImplementedError
