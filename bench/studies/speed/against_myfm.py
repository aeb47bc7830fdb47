"""A Gibbs sweep against one of myFM, which is compiled."""

from __future__ import annotations

import io
import time
from contextlib import redirect_stderr
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from bench.measure import Measured
from bench.studies.speed.bars import Bar, spread
from bench.studies.speed.page import Plot, Section
from bench.studies.speed.setting import Setting, configured, setting
from bench.tables import markdown_table

TITLE = "A Gibbs sweep against myFM"
BARS = {8: 0.6, 10: 0.5, 16: 0.6, 32: 0.6, 64: 0.6}
"""k -> our time over theirs, at most."""
SWEEPS = 20

Sweeps = dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""k -> seconds of our sweep and of theirs, one a repeat."""


def measure(repeats: int) -> Sweeps:
    """ImportError where myFM is not installed."""
    import myfm  # noqa: F401  (its threads are there to be limited before anything is timed)

    data = setting()
    model = configured("fm_gibbs", n_iter=SWEEPS)
    pairs = {k: ([], []) for k in BARS}
    for repeat in range(-1, repeats):
        for k, (ours, theirs) in pairs.items():
            seed = repeat + 1
            seconds = (
                fm_sweep(model.set_params(k=k, random_state=seed), data),
                myfm_sweep(data, k, seed),
            )
            if repeat >= 0:
                ours.append(seconds[0])
                theirs.append(seconds[1])
    return {k: (np.array(ours), np.array(theirs)) for k, (ours, theirs) in pairs.items()}


def fm_sweep(model: BaseEstimator, data: Setting) -> float:
    """Median seconds between sweeps."""
    with Measured(threads=1):
        model.fit(*data.development)
    return float(np.median(np.diff(model.history_["seconds"])))


def myfm_sweep(data: Setting, k: int, seed: int) -> float:
    """Median seconds between sweeps; a group of columns for each block, as ours has."""
    from myfm import MyFMGibbsRegressor

    X, y = data.development
    ends: list[float] = []

    def callback(*_: object) -> tuple[bool, None]:
        ends.append(time.perf_counter())
        return False, None

    with redirect_stderr(io.StringIO()), Measured(threads=1):  # its progress bar
        MyFMGibbsRegressor(rank=k, random_seed=seed).fit(
            X.to_csr(), y, n_iter=SWEEPS, group_shapes=[b.n_levels for b in X], callback=callback
        )
    return float(np.median(np.diff(ends)))


def section(sweeps: Sweeps) -> Section:
    rows = [
        [str(k), spread(1e3 * ours), spread(1e3 * theirs), spread(ours / theirs)]
        for k, (ours, theirs) in sweeps.items()
    ]
    text = f"""\
ua.base, user and item ids. myFM {version("myfm")} (compiled C++), the same matrix with a group for each block.

{markdown_table(["k", "fm, ms a sweep", "myFM, ms a sweep", "ratio"], rows)}

In each repeat both fit {SWEEPS} sweeps at each k, one after the other; a sweep is the median time between sweeps, so
that set-up counts for neither. Ratios are within repeats."""
    ks = np.array(list(sweeps))
    medians = np.array([[np.median(x) for x in pair] for pair in sweeps.values()]).T
    plot = Plot(
        "speed_sweep",
        "One Gibbs sweep on ua.base",
        "k",
        "seconds a sweep",
        {name: (ks, 1.0 * y) for name, y in zip(("fm", "myFM"), medians, strict=True)},
    )
    bars = (
        Bar(f"`gibbs`: sweep / myFM's, k = {k}", ours / theirs, high=BARS[k])
        for k, (ours, theirs) in sweeps.items()
    )
    return Section(TITLE, text, tuple(bars), (plot,))
