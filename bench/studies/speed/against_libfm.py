"""A Gibbs sweep against one of libFM, where its program is found."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from baselines.peers.libfm import LibFM
from bench.studies.speed.against_myfm import fm_sweep
from bench.studies.speed.bars import Bar, spread
from bench.studies.speed.machine import seconds
from bench.studies.speed.page import Section
from bench.studies.speed.setting import Setting, configured, setting
from bench.tables import markdown_table

TITLE = "A Gibbs sweep against libFM"
FEW, MANY = 2, 42
"""Sweeps of libFM: what the others take beyond the few is theirs, without files and set-up."""

Sweeps = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Seconds of our sweep and of libFM's, one a repeat."""


def measure(repeats: int) -> Sweeps:
    """FileNotFoundError where there is no libFM."""
    libfm, ours = configured("peer_libfm"), configured("fm_gibbs", n_iter=MANY)
    libfm.located()
    data, pairs = setting(), []
    for seed in range(repeats + 1):
        pairs.append(
            (fm_sweep(ours.set_params(random_state=seed), data), libfm_sweep(libfm, data, seed))
        )
    return tuple(np.array(pairs[1:]).T)


def libfm_sweep(model: LibFM, data: Setting, seed: int) -> float:
    """Seconds of one more sweep of its MCMC."""
    fits = (clone(model).set_params(n_iter=n, random_state=seed).fit for n in (FEW, MANY))
    few, many = (seconds(partial(fit, *data.development)) for fit in fits)
    return (many - few) / (MANY - FEW)


def section(sweeps: Sweeps) -> Section:
    ours, theirs = sweeps
    row = [spread(1e3 * ours), spread(1e3 * theirs), spread(ours / theirs)]
    text = f"""\
ua.base, user and item ids, k = 10. libFM (compiled C++), MCMC, with a group for each block, as the harness runs it.

{markdown_table(["fm, ms a sweep", "libFM, ms a sweep", "ratio"], [row], left=0)}

Of libFM, what sweeps {FEW + 1} to {MANY} take, so that reading and writing files count for none; of `fm`, the median time
between sweeps. Ratios are within repeats."""
    return Section(TITLE, text, (Bar("`gibbs`: sweep / libFM's, k = 10", ours / theirs, high=1),))
