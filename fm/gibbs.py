"""Gibbs sampling for Bayesian factorization machines: nothing to tune.

Model: that of `fm.model`, with y observed through one of `fm.likelihoods`, and for the columns of
each group

    theta_j = (w_j, v_j) ~ N(mu + B' s_j, Lambda^-1)
    mu, Lambda           ~ Normal-Wishart

with s_j the side features of level j, if there are any, and a full covariance over bias and
factors.
A sweep draws, each from its conditional given all the rest,

    1. theta, all levels of a block at once (`fm.block_kernel`), block after block;
    2. w0, the noise precision, cut points and latent targets (`fm.likelihoods`);
    3. mu, Lambda and B of each group (`fm.priors`);
    4. the origin of each block's theta. With c added to a block's theta and mu, c_0 taken from w0,
       and <c, v> from the w of every other block, all predictions stay, whatever c; it is drawn
       from what the priors of w0, mu and Lambda make of it. Without this, w0 and mu creep (Liu &
       Sabatti, Biometrika 2000, on such moves). It needs a level of the block in every row.

The blocks of a matrix are the groups of its columns; those that form a field in every row move.

Columns of a matrix that lie far from 0 are centered first (`fm.features.centers_of`).

Rendle, "Factorization Machines with libFM" (ACM TIST 2012) draws one coordinate at a time under
diagonal priors; Salakhutdinov & Mnih (ICML 2008) have 1 and 3 for a matrix of users and items
without biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy import sparse

from fm.arrays import AnyArray, FloatArray, mapping
from fm.chain import Chain, GibbsState
from fm.design import Design
from fm.diagnostics import Callback, Trace
from fm.features import FAR, centered, centers_of, uncentered
from fm.model import Draws
from fm.priors import Prior


@dataclass(frozen=True)
class GibbsFit:
    """Kept draws, what was traced over all sweeps of this call, and the last state.

    trace : `alpha`, `w0`, `train_mse` (of the sweep's draw; nan for probit), `seconds`, each
        (n_iter,); `cut_points` (n_iter, n_classes - 1).
    """

    draws: Draws
    trace: dict[str, AnyArray]
    state: GibbsState


def gibbs(
    X: Design | sparse.csr_array,
    y: AnyArray,
    *,
    k: int,
    n_iter: int,
    rng: np.random.Generator | None,
    burn_in: int = 0,
    thin: int = 1,
    likelihood: Literal["gaussian", "probit", "ordered"] = "gaussian",
    sample_weight: FloatArray | None = None,
    groups: ArrayLike | None = None,
    noise_by: Sequence[str] = (),
    init_std: float = 0.1,
    prior: Prior | None = None,
    start: GibbsState | None = None,
    callback: Callback | None = None,
    dtype: DTypeLike = np.float64,
    n_jobs: int = 1,
) -> GibbsFit:
    """Take `n_iter` sweeps; keep the draw of every `thin`-th sweep after the first `burn_in`.

    y : values (gaussian, where `sample_weight` is allowed), 0/1 (probit) or class numbers
        0..n_classes-1 (ordered), each class present.
    noise_by : names of blocks of a design whose levels have a noise precision each (not probit).
    burn_in, thin : counted in sweeps since the very first (`start.n_sweeps` included), so that n +
        m sweeps keep the same draws as n, then m. Memory: S * (n_features * (k + 1)) numbers;
        burn_in >= n_iter keeps none (the callback still sees every sweep's draw).
    prior : None for `Prior.of(y)`, or `Prior()` where y is not a number.
    rng : None exactly when `start` is given, whose generator state it then goes on from.
    n_jobs : threads; draws are the same whatever their number.
    callback : sees the current draw after every sweep, burn-in too; see `fm.diagnostics.Callback`.
    """
    centers = centers_of(X, sample_weight, FAR) if start is None else start.centers
    X = X if centers is None else centered(X, centers)
    trace = Trace(callback, "alpha", "w0", "train_mse", "cut_points")
    chain = Chain(
        X,
        y,
        k=k,
        likelihood=likelihood,
        weight=sample_weight,
        groups=groups,
        noise_by=noise_by,
        prior=prior,
        dtype=dtype,
    )
    if start is not None:
        chain.restore(start)
    elif rng is not None:
        chain.initialize(init_std, rng)
    first = 0 if start is None else start.n_sweeps
    sweeps = range(first + 1, first + n_iter + 1)
    kept = [sweep for sweep in sweeps if sweep > burn_in and (sweep - burn_in) % thin == 0]
    draws = [np.empty((len(kept), *np.shape(x)), dtype) for x in chain.current()]
    n_kept = 0
    with mapping(n_jobs) as each:
        for sweep in sweeps:
            chain.sweep(each)
            draw = chain.current()
            if centers is not None:
                w0, w = uncentered(draw.w0, draw.w, draw.V, centers)
                draw = draw._replace(w0=w0, w=w)
            if n_kept < len(kept) and sweep == kept[n_kept]:
                for all_draws, x in zip(draws, draw, strict=True):
                    all_draws[n_kept] = x
                n_kept += 1
            values = {"alpha": draw.alpha, "w0": draw.w0, "cut_points": draw.cut_points}
            if trace.add(sweep, draw, train_mse=chain.train_mse, **values):
                break
    kept_draws = Draws(*(x[:n_kept] for x in draws))
    return GibbsFit(kept_draws, trace.arrays(), replace(chain.state(sweep), centers=centers))
