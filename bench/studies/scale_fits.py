"""The fits of the study `scale`: which models with which settings, one by one and by turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from sklearn.base import BaseEstimator

from bench.studies.fits import (
    Fit,
    Rows,
    configured,
    rows_of,
    warm_up,
    watched,
)
from bench.studies.isolated import in_new_process
from bench.studies.study import Context

K = 16
LOOKED_AT = 100_000
"""Test rows, at most, on which errors are measured."""
_KINDS = yaml.safe_load(Path(__file__).with_name("scale_models.yaml").read_text("utf-8"))
OURS: Mapping[str, Mapping[str, Any]] = _KINDS["ours"]
MODELS: Mapping[str, Mapping[str, Any]] = OURS | _KINDS["others"]
"""Model of `conf/model` -> what differs from it."""
SIZES = (100_000, 1_000_000, 10_000_000)
MOST_ROWS = 25_000_000
"""For our own models alone."""
SHARE = {10_000_000: 0.5, 25_000_000: 0.25}
"""Of the epochs, where there are so many ratings: fewer are enough, and take long."""
PASSES = {10_000_000: 4}
"""Of VW, else 10."""
LIMIT_SECONDS = 900
"""For set-up, fits and predictions of one model on one number of ratings."""

TWO_THREADS = "two threads"
"""As the other model of a race: our own again, with `n_jobs=2`."""
RACES = (("fm_gibbs", TWO_THREADS), ("fm_gibbs", "peer_myfm"), ("fm_sgd", "vw_rank"))
RACE_ROWS, TURNS, RACE_EPOCHS = 10_000_000, 3, 4


def settings(name: str, n_rows: int) -> dict[str, Any]:
    """Return what differs from `conf/model` for so many ratings."""
    given = dict(MODELS[name])
    if "n_iter" in given:
        given["n_iter"] = int(given["n_iter"] * SHARE.get(n_rows, 1))
    if name.startswith("vw_"):
        given["passes"] = PASSES.get(n_rows, 10)
    return given


def n_epochs(name: str, n_rows: int) -> int:
    """Return the epochs, sweeps or passes of a fit; 1 of a model that has none."""
    given = settings(name, n_rows)
    return given.get("n_iter") or given.get("passes") or 1


def epochs_of_fits(names: Iterable[str]) -> str:
    """Return those of up to a million ratings, for a page."""
    return ", ".join(f"{n} {MODELS[n]['n_iter']}" for n in names if "n_iter" in MODELS[n])


def simulated(n_rows: int, *overrides: str) -> Rows:
    """Return the rows of a simulated data set, at most `LOOKED_AT` of them held out."""
    where = ("data=planted", f"data.n_ratings={n_rows}", "split=random", "split.validation=0")
    return rows_of(*where, *overrides, most=LOOKED_AT)


def one_fit(name: str, n_rows: int) -> Fit:
    """Fit a model of the study on so many rows."""
    model, rows = configured(name, **settings(name, n_rows)), simulated(n_rows)
    warm_up(model, rows)
    return watched(model, rows)


def measure_fit(name: str, n_rows: int, context: Context) -> Fit | str:
    """Fit in a process of its own, unless a tenth of the rows says that it would take too long."""
    before = context.values.get(f"{name} {n_rows // 10}")
    if isinstance(before, str):
        return before
    if before is not None:
        tenth = Fit(**before)
        ratio = n_epochs(name, n_rows) / n_epochs(name, n_rows // 10)
        if 10 * tenth.fit * ratio > LIMIT_SECONDS:
            return f"not tried, since a tenth of them took {tenth.fit:.0f} s to fit"
    return in_new_process(one_fit, name, n_rows, limit=LIMIT_SECONDS)


def race(ours: str, theirs: str, n_rows: int) -> list[tuple[Fit, Fit]]:
    """Fit two models by turns: what is compared meets the same changes of the machine's speed."""
    second = (ours, {"n_jobs": 2}) if theirs == TWO_THREADS else (theirs, {})
    models = [_entrant(name, n_rows, given) for name, given in ((ours, {}), second)]
    rows = simulated(n_rows)
    for model in models:
        warm_up(model, rows)
    first, other = models
    return [(watched(first, rows), watched(other, rows)) for _ in range(TURNS)]


def _entrant(name: str, n_rows: int, given: Mapping[str, Any]) -> BaseEstimator:
    few = {} if name.startswith("vw_") else {"n_iter": RACE_EPOCHS}
    return configured(name, **(settings(name, n_rows) | few | dict(given)))


def measure_race(ours: str, theirs: str, _: Context) -> list[tuple[Fit, Fit]] | str:
    """Return the turns of a race, run in a process of its own."""
    return in_new_process(race, ours, theirs, RACE_ROWS, limit=2 * TURNS * LIMIT_SECONDS)
