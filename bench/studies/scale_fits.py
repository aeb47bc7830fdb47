"""The fits of the study `scale`: which models with which settings, one by one and by turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sklearn.base import BaseEstimator

from bench.studies.fits import (
    Fit,
    Rows,
    configured,
    in_new_process,
    rows_of,
    warm_up,
    watched,
)
from bench.studies.study import Context

K = 16
LOOKED_AT = 100_000
"""Test rows, at most, on which errors are measured."""
OURS = {
    "fm_sgd": {"k": K, "n_iter": 30, "early_stopping": None, "dtype": "float32"},  # as VW's weights
    "fm_als": {"k": K, "n_iter": 15, "early_stopping": None},
    "fm_gibbs": {"k": K, "n_iter": 30},
    "fm_ordinal": {"k": K, "n_iter": 30},
}
OTHERS = {
    "linear": {},
    "mf": {"k": K, "n_iter": 10, "early_stopping": None},
    "nmf": {"k": K, "n_iter": 20, "early_stopping": None},
    "quadratic": {},
    "vw_linear": {"bits": 24},
    "vw_rank": {
        "arguments": {
            "q": "ui", "rank": K, "l2": 1e-3, "learning_rate": 0.015, "decay_learning_rate": 0.97, "power_t": 0
        },
        "bits": 20,
        "holdout": False,
    },
    "vw_lrq": {"arguments": {"hash": "all", "lrq": f"ui{K}", "l2": 1e-6, "learning_rate": 0.15}, "bits": 24},
    "peer_myfm": {"k": K, "n_iter": 20},
    "peer_surprise_svd": {"k": K, "n_iter": 10},
    "peer_sklearn_ridge": {},
    "peer_sklearn_boosting": {},
    "peer_libfm": {"k": K, "n_iter": 20},
    "peer_myfm_ordered": {"k": K, "n_iter": 20},
    "peer_surprise_baseline": {},
    "peer_surprise_nmf": {"k": K, "n_iter": 10},
    "peer_surprise_svdpp": {"k": K, "n_iter": 5},
    "peer_ffm": {},
    "vw_crossed": {"bits": 24, "holdout": False},
    "vw_lrq_dropout": {
        "arguments": {
            "hash": "all", "lrq": f"ui{K}", "lrqdropout": True, "learning_rate": 0.1, "power_t": 0.6
        },
        "bits": 24,
    },
}  # fmt: skip
MODELS: Mapping[str, Mapping[str, object]] = OURS | OTHERS
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


def settings(name: str, n_rows: int) -> dict[str, object]:
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
    where = ("data=planted", f"data.n_ratings={n_rows}", "split=random", "split.validation=0")
    return rows_of(*where, *overrides, most=LOOKED_AT)


def one_fit(name: str, n_rows: int) -> Fit:
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
    return [tuple(watched(model, rows) for model in models) for _ in range(TURNS)]


def _entrant(name: str, n_rows: int, given: Mapping[str, object]) -> BaseEstimator:
    few = {} if name.startswith("vw_") else {"n_iter": RACE_EPOCHS}
    return configured(name, **settings(name, n_rows) | few | given)


def measure_race(ours: str, theirs: str, _: Context) -> list[tuple[Fit, Fit]] | str:
    return in_new_process(race, ours, theirs, RACE_ROWS, limit=2 * TURNS * LIMIT_SECONDS)
