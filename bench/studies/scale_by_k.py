"""What of a Gibbs sweep grows as k, k^2 and k^3, and from where on that is most of it."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Mapping

import numpy as np

from bench.measure import Measured
from bench.studies.fits import configured, rows_of
from bench.studies.study import Context, Part, Plot, Section, Values, slopes
from bench.tables import MISSING, markdown_table
from fm.block_kernel import FACTORS

TITLE = "What grows how with k"
KS = (2, 4, 8, 16, 32, 64, 128)
ROWS = 1_000_000
SWEEPS = 3
PARTS = {
    "rows: regressors and products": ("block_kernel.py", "_gram"),
    "rows: predictions between parts": ("blocks.py", "prediction"),
    "levels: factorize and solve": ("block_kernel.py", "_solve"),
    "groups: mean and covariance": ("priors.py", "draw"),
}
"""What is timed -> file and function of `fm`, with all that is called from there."""


def measure(_: Context) -> Mapping[int, Mapping[str, float]]:
    """Return, for each k, the seconds of a sweep in each of `PARTS`, and in all."""
    rows = rows_of("data=planted", f"data.n_ratings={ROWS}", "split=random")
    found = {}
    for k in KS:
        model = configured("fm_gibbs", k=k, n_iter=SWEEPS)
        profile = cProfile.Profile()
        with Measured(threads=1):
            model.fit(rows.X[:1000], rows.y[:1000])
            profile.runcall(model.fit, rows.X, rows.y)
        whole = float(np.diff(model.history_["seconds"]).mean())
        found[k] = seconds_by_part(pstats.Stats(profile)) | {"all": whole}
    return found


def seconds_by_part(stats: pstats.Stats) -> dict[str, float]:
    """Return the seconds a sweep in each of `PARTS`."""
    found = dict.fromkeys(PARTS, 0.0)
    for (file, _, function), (_, _, _, seconds, _) in vars(stats)["stats"].items():
        for part, (name, of) in PARTS.items():
            if function == of and file.endswith(f"fm/{name}"):
                # Of nested functions of that name the outermost, which has the others' time.
                found[part] = max(found[part], seconds / SWEEPS)
    return found


def section(values: Values) -> list[Section]:
    """Write the section."""
    found = {int(k): parts for k, parts in values["by k"].items()}
    columns = ("all", *PARTS)
    table = [[str(k), *(f"{1e3 * of[name]:.4g}" for name in columns)] for k, of in found.items()]
    last = list(found)[-3:]
    table.append(
        [
            "slope, the last three k",
            *(_slope({k: found[k][name] for k in last}) for name in columns),
        ]
    )
    levels = "levels: factorize and solve"
    more = [
        k
        for k, of in found.items()
        if of[levels] > sum(t for name, t in of.items() if name.startswith("rows"))
    ]
    compared = (
        f"more than its rows from k = {more[0]} on" if more else "less than its rows at every k"
    )
    text = f"""\
{ROWS:,} ratings of 6,040 users and 3,706 items, milliseconds of a Gibbs sweep on one thread,
{SWEEPS} sweeps at each k:

{markdown_table(["k", "whole sweep", *PARTS], table)}

- A row costs O(k^2) up to k = {FACTORS}, a product of its regressors with themselves; beyond,
factors are drawn in parts of {FACTORS}, and it costs O({FACTORS} k).
- A level costs O(k^3) up to k = {FACTORS}, and O({FACTORS}^2 k) beyond; it is {compared}: there
are {ROWS // (6040 + 3706)} rows to a level and block.
- A group costs O(k^3) once a sweep, and O(k^2) for each of its levels."""
    times = {name: {k: of[name] for k, of in found.items() if of[name] > 0} for name in columns}
    lines = {name: (list(of), list(of.values())) for name, of in times.items()}
    title = f"A Gibbs sweep over {ROWS:,} ratings"
    return [Section(TITLE, text, (), (Plot("scale_by_k", title, "k", "seconds", lines),))]


def _slope(times: Mapping[int, float]) -> str:
    return f"{slopes(times):.2f}" if min(times.values()) > 0 else MISSING


PART = Part(TITLE, {"by k": measure}, section)
