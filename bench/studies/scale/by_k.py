"""What of a Gibbs sweep grows as k, k^2 and k^3, and from where on that is most of it."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.measure import Measured
from bench.studies.speed.bars import slopes
from bench.studies.speed.page import Plot, Section
from bench.studies.speed.setting import configured, setting
from bench.tables import markdown_table
from fm.block_kernel import FACTORS

KS = (2, 4, 8, 16, 32, 64, 128)
ROWS = 1_000_000
SWEEPS = 3
PARTS = {
    "rows: regressors and products": ("conditional.py", "_gram"),
    "rows: predictions between parts": ("blocks.py", "prediction"),
    "levels: factorize and solve": ("conditional.py", "_solve"),
    "groups: mean and covariance": ("group.py", "draw"),
}
"""What is timed -> file and function of `fm` in which it happens, with all that is called from there."""

Seconds = Mapping[int, Mapping[str, float]]
"""k -> part -> seconds of a sweep; the part "all" is the whole."""


def measure() -> Seconds:
    data = setting("data=planted", f"data.n_ratings={ROWS}", "split=random")
    X, y = data.development
    found = {}
    for k in KS:
        model = configured("fm_gibbs", k=k, n_iter=SWEEPS)
        profile = cProfile.Profile()
        with Measured(threads=1):
            model.fit(X[:1000], y[:1000])
            profile.runcall(model.fit, X, y)
        found[k] = parts(pstats.Stats(profile)) | {
            "all": float(np.diff(model.history_["seconds"]).mean())
        }
    return found


def parts(stats: pstats.Stats) -> dict[str, float]:
    """Seconds a sweep in each of `PARTS`."""
    found = dict.fromkeys(PARTS, 0.0)
    for (file, _, function), (_, _, _, seconds, _) in stats.stats.items():
        for part, (name, of) in PARTS.items():
            if function == of and file.endswith(f"fm/{name}"):
                found[part] += seconds / SWEEPS
    return found


def section(found: Seconds) -> Section:
    ks = np.array(list(found))
    table = [
        [str(k), *(f"{1e3 * parts[name]:.4g}" for name in ("all", *PARTS))]
        for k, parts in found.items()
    ]
    growth = [
        [
            "slope, the last three k",
            *(f"{_slope(ks, [p[name] for p in found.values()]):.2f}" for name in ("all", *PARTS)),
        ]
    ]
    first = next((k for k, p in found.items() if _levels(p) > _rows(p)), None)
    text = f"""\
{ROWS:,} ratings of 6,040 users and 3,706 items, milliseconds of a Gibbs sweep on one thread, {SWEEPS} sweeps at each k:

{markdown_table(["k", "whole sweep", *PARTS], [*table, *growth])}

- A row costs O(k^2) up to k = {FACTORS}, a product of its regressors with themselves; beyond, factors are drawn in parts
  of {FACTORS}, and it costs O({FACTORS} k).
- A level costs O(k^3) up to k = {FACTORS}, and O({FACTORS}^2 k) beyond; it is {"more than its rows from k = " + str(first) + " on" if first else "less than its rows at every k here"}: there are {ROWS // (6040 + 3706)} rows to a level and block.
- A group costs O(k^3) once a sweep, and O(k^2) for each of its levels."""
    return Section("What grows how with k", text, (), (figure(found),))


def figure(found: Seconds) -> Plot:
    times = {name: np.array([p[name] for p in found.values()]) for name in ("all", *PARTS)}
    ks = np.array(list(found))
    lines = {name: (ks[t > 0], t[t > 0]) for name, t in times.items()}
    return Plot("scale_by_k", f"A Gibbs sweep over {ROWS:,} ratings", "k", "seconds", lines)


def _rows(parts: Mapping[str, float]) -> float:
    return sum(seconds for name, seconds in parts.items() if name.startswith("rows"))


def _levels(parts: Mapping[str, float]) -> float:
    return parts["levels: factorize and solve"]


def _slope(ks: NDArray, seconds: list[float]) -> float:
    if min(seconds[-3:]) <= 0:
        return np.nan
    return float(slopes(dict(zip(ks[-3:], seconds[-3:], strict=True))))
