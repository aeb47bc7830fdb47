"""Where the time of a sweep goes, and how far it is from what the machine can do."""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.identity import ROOT
from bench.measure import Measured
from bench.studies.speed import machine
from bench.studies.speed.bars import spread
from bench.studies.speed.page import Section
from bench.studies.speed.setting import configured, setting
from bench.tables import markdown_table
from fm.design import Design

SWEEPS = 50
SHOWN = 8
PROFILED = ("gibbs", "als")


@dataclass(frozen=True)
class Work:
    """The least that a sweep over one-hot blocks has to do.

    flops : per row and block a Gram matrix of k + 1 regressors and the target; per level one Cholesky
        factorization of order k + 1 with the target beside it.
    bytes : per row and block the row's number and its other level (4 bytes each), its target, and
        k + 2 numbers three times: looked up, written as regressors, read for the product.
    """

    flops: float
    bytes: float

    @classmethod
    def of(cls, X: Design, k: int) -> Work:
        visits, levels = len(X) * len(X.blocks), sum(b.n_levels for b in X)
        return cls(
            flops=visits * 2 * (k + 1) * (k + 2) + levels * (k + 2) ** 3 / 3,
            bytes=visits * (2 * 4 + 8 + 3 * 8 * (k + 2)),
        )


@dataclass(frozen=True, eq=False)
class Limits:
    """Seconds of a sweep and shares of the time of a fit (function -> share) of each solver; the work of a
    sweep; what the machine does a second."""

    sweep: dict[str, NDArray[np.float64]]
    shares: dict[str, dict[str, float]]
    work: Work
    flops: float
    bandwidth: float


def measure(repeats: int) -> Limits:
    data = setting()
    X, y = data.development
    models = {s: configured(f"fm_{s}", n_iter=SWEEPS) for s in PROFILED}
    models["als"].set_params(early_stopping=None)
    times = {solver: [] for solver in models}
    for _ in range(1 + repeats):
        for solver, model in models.items():
            with Measured(threads=1):
                model.fit(X, y)
            times[solver].append(np.median(np.diff(model.history_["seconds"])))
    shares = {}
    for solver, model in models.items():
        profile = cProfile.Profile()
        with Measured(threads=1):
            profile.runcall(model.fit, X, y)
        shares[solver] = shares_of(pstats.Stats(profile))
    return Limits(
        {solver: np.array(t[1:]) for solver, t in times.items()},
        shares,
        Work.of(X, models["gibbs"].k),
        machine.flops(),
        machine.bandwidth(machine.IN_CACHE),
    )


def shares_of(stats: pstats.Stats) -> dict[str, float]:
    """Function -> its share of the time, what it calls excluded; largest first. What NumPy does for a
    function without calling another (products, sums) counts as the function's own."""
    own: Counter[str] = Counter()
    for (file, _, function), entry in stats.stats.items():
        own[_name(file, function)] += entry[2]
    return {name: t / own.total() for name, t in own.most_common()}


def _name(file: str, function: str) -> str:
    path = Path(file)
    if not path.is_absolute():
        return function
    return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{function}"


def section(measured: Limits) -> Section:
    work = measured.work
    arithmetic = f"arithmetic, {work.flops / 1e6:.1f} Mflop at {measured.flops / 1e9:.1f} Gflop/s"
    moving = f"moving, {work.bytes / 1e6:.1f} MB at {measured.bandwidth / 1e9:.1f} GB/s"
    least = {arithmetic: work.flops / measured.flops, moving: work.bytes / measured.bandwidth}
    rows = [
        [name, f"{1e3 * t:.3g}", *(spread(sweep / t) for sweep in measured.sweep.values())]
        for name, t in least.items()
    ]
    rows += [["a sweep", "", *(f"{spread(1e3 * sweep)} ms" for sweep in measured.sweep.values())]]
    header = ["", "least ms", *(f"`{s}`: times as long" for s in measured.sweep)]
    profiles = [
        markdown_table(
            [f"`{solver}`", "share"],
            [[f"`{name}`", f"{share:.1%}"] for name, share in list(shares.items())[:SHOWN]],
        )
        for solver, shares in measured.shares.items()
    ]
    binding = max(least, key=least.get).partition(",")[0]
    text = f"""\
A sweep over ua.base, k = 10, beside the least time in which this machine could do its arithmetic (at the speed of
a product of large matrices) and move its numbers (at the speed of a copy in cache).

{markdown_table(header, rows)}

Counted are, per row and block, one Gram matrix of the regressors and the target, per level one Cholesky
factorization, and each row's regressors looked up, written and read once. The nearer of the two limits is
{binding}.

Where the time of a fit of {SWEEPS} sweeps goes, by function, calls excluded:

{(chr(10) * 2).join(profiles)}"""
    return Section("Where the time goes", text)
