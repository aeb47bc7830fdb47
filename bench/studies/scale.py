"""Own models and what people use instead, from 100,000 to 25 million simulated ratings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench.processes import in_new_process
from bench.studies.fits import WITHIN, Fit, Rows, configured, rows_of, warm_up, watched
from bench.studies.study import (
    Bar,
    Context,
    Part,
    Section,
    Study,
    Values,
    line_plot,
    slopes,
    spread,
)
from bench.tables import MISSING, markdown_table, seconds

K = 16
EVALUATED_ROWS = 100_000
"""Test rows, at most, on which errors are measured."""
_KINDS = yaml.safe_load(Path(__file__).with_name("scale_models.yaml").read_text("utf-8"))
OURS: Mapping[str, Mapping[str, Any]] = _KINDS["ours"]
MODELS: Mapping[str, Mapping[str, Any]] = OURS | _KINDS["others"]
"""Model of `conf/model` -> what differs from it."""
SIZES = (100_000, 1_000_000, 10_000_000)
MOST_ROWS = 25_000_000
"""For our own models alone."""
EPOCHS_KEPT = {10_000_000: 0.5, 25_000_000: 0.25}
"""Of the epochs, where there are so many ratings: fewer are enough, and take long."""
LIMIT_SECONDS = 900
"""For set-up, fits and predictions of one model on one number of ratings."""
TWO_THREADS = "two threads"
"""As the other model of a race: our own again, with `n_jobs=2`."""
RACES = {
    ("fm_gibbs", TWO_THREADS): ("speed-up by two threads", 1.6, np.inf),
    ("fm_gibbs", "peer_myfm"): ("sweep / myFM's", -np.inf, 0.5),
    ("fm_sgd", "vw_rank"): ("epoch / a pass of VW's --rank", -np.inf, 0.1),
}
"""(Our model, the other) -> what the ratio of their times is called, its least and its most."""
RACE_ROWS, TURNS, RACE_EPOCHS = 10_000_000, 3, 4
MEMORY_GIB = {10_000_000: 3, 25_000_000: 16}
"""Ratings -> the most memory that a fit by our models may take."""
GROWING = ("fm_sgd", "fm_als", "fm_gibbs")
"""Models whose fit is to take time in proportion to the ratings."""
Fits = Mapping[tuple[str, int], Fit | str]
"""(Model, ratings) -> its fit, or why there is none."""


def settings(name: str, n_rows: int) -> dict[str, Any]:
    """Return what differs from `conf/model` for so many ratings."""
    given = dict(MODELS[name])
    if "n_iter" in given:
        given["n_iter"] = int(given["n_iter"] * EPOCHS_KEPT.get(n_rows, 1))
    if name.startswith("vw_"):
        given["passes"] = 4 if n_rows == RACE_ROWS else 10
    return given


def n_epochs(name: str, n_rows: int) -> int:
    """Return the epochs, sweeps or passes of a fit; 1 of a model that has none."""
    given = settings(name, n_rows)
    return given.get("n_iter") or given.get("passes") or 1


def simulated(n_rows: int) -> Rows:
    """Return the rows of a simulated data set, at most `EVALUATED_ROWS` of them held out."""
    where = ("data=planted", f"data.n_ratings={n_rows}", "split=random", "split.validation=0")
    return rows_of(*where, most=EVALUATED_ROWS)


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
    given = settings(ours, n_rows) | {"n_iter": RACE_EPOCHS}
    first = configured(ours, **given)
    if theirs == TWO_THREADS:
        other = configured(ours, **given, n_jobs=2)
    else:
        few = {} if theirs.startswith("vw_") else {"n_iter": RACE_EPOCHS}
        other = configured(theirs, **(settings(theirs, n_rows) | few))
    rows = simulated(n_rows)
    for model in (first, other):
        warm_up(model, rows)
    return [(watched(first, rows), watched(other, rows)) for _ in range(TURNS)]


def measure_race(ours: str, theirs: str, _: Context) -> list[tuple[Fit, Fit]] | str:
    """Return the turns of a race, run in a process of its own."""
    return in_new_process(race, ours, theirs, RACE_ROWS, limit=2 * TURNS * LIMIT_SECONDS)


def by_turns(values: Values) -> list[Section]:
    """Write what the bars on speed are about."""
    rows, bars = [], []
    for name, turns in values.items():
        ours, theirs = name.removeprefix("race ").split(" / ")
        if isinstance(turns, str):
            rows.append([ours, theirs, MISSING, MISSING, turns])
            continue
        fits = [[Fit(**fit) for fit in turn] for turn in turns]
        times = np.array([[fit.epoch for fit in turn] for turn in fits]).T
        ratios = times[0] / times[1]
        rows.append([ours, theirs, *map(spread, times), spread(ratios)])
        what, low, high = RACES[ours, theirs]
        bars.append(Bar(f"`{ours}`, {RACE_ROWS:,} ratings: {what}", ratios, low, high))
        if theirs == TWO_THREADS:
            apart = np.abs(np.diff([fit.predictions for fit in fits[-1]], axis=0)).max()
            what = "greatest difference of a prediction between one and two threads"
            bars.append(Bar(what, np.array([apart]), high=1e-8))
    text = f"""\
Ours and theirs in one process, a fit of each by turns, {TURNS} turns, at {RACE_ROWS:,} ratings:
seconds of an epoch, sweep or pass, each turn's median, and the ratio of each turn. *{TWO_THREADS}*
is our own model again, with `n_jobs=2`.

{markdown_table(["ours", "theirs", "ours, s", "theirs, s", "ours / theirs"], rows)}"""
    return [Section("By turns", text, bars)]


def beside_each_other(values: Values) -> list[Section]:
    """Write the sections of what each model took alone."""
    fits = {
        (name, int(rows)): of if isinstance(of, str) else Fit(**of)
        for key, of in values.items()
        for name, rows in [key.split(" ")]
    }
    return [costs(fits), errors(fits)]


def costs(fits: Fits) -> Section:
    """Write times, memory and their growth."""
    epoch = curves(fits, lambda _, fit: fit.epoch)
    whole = curves(fits, lambda _, fit: fit.fit)
    per_epoch = curves(fits, lambda key, fit: fit.fit / n_epochs(*key))
    memory = curves(fits, lambda _, fit: fit.memory and fit.memory / 2**20)
    measurable = memory.where(memory >= 1)
    counted = ", ".join(f"{n} {of['n_iter']}" for n, of in MODELS.items() if "n_iter" in of)
    text = f"""\
Seconds of an epoch, sweep or pass, set-up excluded (the median between epochs
that a program shows, else what epochs beyond the second take):

{_table(epoch, growing=epoch)}

Seconds of the whole fit, set-up and the writing of a program's files included. On up to a million
ratings that is
{counted}; VW 10 passes;
on 10 million half of that (VW 4 passes), on 25 million a quarter. The slope is of
seconds an epoch, of a model without epochs of the fit:

{_table(whole, growing=per_epoch)}

MiB of memory that the fit needs at its peak beyond the data (of VW, its process); slopes are of
sizes at which that is a MiB or more:

{_table(memory, growing=measurable, show="{:,.0f}".format)}

Seconds of predicting the test rows on which errors are measured, a tenth of the ratings and at
most {EVALUATED_ROWS:,}:

{_table(curves(fits, lambda _, fit: fit.predict))}
"""
    failed = {
        name: f"- {name}, {n:,} ratings: {reason}"
        for (name, n), reason in sorted(fits.items(), key=lambda item: -item[0][1])
        if isinstance(reason, str)
    }
    if failed:
        text += "\nNot measured, and at no larger size either:\n\n" + "\n".join(failed.values())
    plots = [
        line_plot(
            f"scale_{name}",
            f"{title}, k = {K}",
            "ratings",
            unit,
            {model: (of.dropna().index, of.dropna()) for model, of in frame.iterrows()},
        )
        for name, title, unit, frame in (
            ("epoch", "One epoch, sweep or pass", "seconds", epoch),
            ("fit", "A fit, set-up included", "seconds an epoch, or in all", per_epoch),
            ("memory", "Memory of a fit at its peak", "MiB beyond the data", measurable),
        )
    ]
    return Section("Beside each other", text, list(_cost_bars(memory, per_epoch)), plots)


def _cost_bars(memory: pd.DataFrame, per_epoch: pd.DataFrame) -> Iterable[Bar]:
    """Yield bars on our models' memory (MiB), and on the growth of the time of a fit."""
    for rows, high in MEMORY_GIB.items():
        of = memory[memory.index.isin(OURS)].get(rows, pd.Series(dtype=float)).dropna()
        if len(of):
            what = f"peak memory, {rows:,} ratings, GiB (the most: `{of.idxmax()}`)"
            yield Bar(what, np.array([of.max() / 1024]), high=high)
    for name, times in per_epoch[per_epoch.index.isin(GROWING)].iterrows():
        if len(of := dict(times.dropna())) > 1:
            what = f"`{name}`: fit: log-log slope in rows"
            yield Bar(what, np.array([slopes(of)]), 0.95, 1.05)


def errors(fits: Fits) -> Section:
    """Write how close to the best possible models come, and how soon."""
    last = curves(fits, lambda _, fit: min(fit.mse)).min()
    best = curves(fits, lambda key, fit: fit.reached(WITHIN * last[key[1]]))
    few = min(n for _, n in fits)
    unseen = [
        name for (name, n), f in fits.items() if n == few and isinstance(f, Fit) and len(f.mse) == 1
    ]
    text = f"""\
By how many per cent the test error of the whole fit is above that of the ratings' true means, the
noise floor:

{_table(curves(fits, lambda _, fit: fit.above), show="{:.1f}".format)}

A user of these data has about 110 to 150 ratings whatever their number, so that errors stay above
the floor by what her coefficients cannot be known: more ratings of more users do not close that
gap; more ratings of each user do (`data.n_users`, `data.n_ratings`, and the column *MSE − best
possible* of any report on simulated ratings).

Seconds of fit until the error was within 1 % of the best that any model here reached on as many
ratings:

{_table(best)}

Errors are measured outside the time, on at most {EVALUATED_ROWS:,} test rows, after each epoch; of
programs that do not show their epochs ({", ".join(unseen)}) after the whole fit. No
hyperparameter is chosen for these data: they are those of `conf/model`, but for what
`bench/studies/scale_models.yaml` says."""
    return Section("How close to the best possible, and how soon", text)


def curves(fits: Fits, of: Callable[[tuple[str, int], Fit], float | None]) -> pd.DataFrame:
    """Return a row a model, a column a size; NaN and no row where nothing has been measured."""
    values = {key: of(key, fit) if isinstance(fit, Fit) else None for key, fit in fits.items()}
    frame = pd.Series(values, dtype=np.float64).unstack(sort=False).sort_index(axis=1)
    return frame.replace(np.inf, np.nan).dropna(how="all")


def _table(
    frame: pd.DataFrame,
    *,
    growing: pd.DataFrame | None = None,
    show: Callable[[float], str] = seconds,
) -> str:
    cells = frame.map(lambda value: MISSING if np.isnan(value) else show(value))
    cells.columns = [f"{size:,}" for size in frame.columns]
    if growing is not None:
        curves = growing.reindex(frame.index).apply(lambda of: dict(of.dropna()), axis=1)
        cells["log-log slope"] = [f"{slopes(of):.2f}" if len(of) > 1 else MISSING for of in curves]
    return markdown_table(["", *cells], cells.reset_index().to_numpy().tolist())


SINGLE = {
    f"{name} {n}": partial(measure_fit, name, n)
    for name in MODELS
    for n in (*SIZES, *([MOST_ROWS] if name in OURS else []))
}
STUDY = Study(
    "scale",
    "From a hundred thousand ratings to 25 million",
    "every model from 100,000 to 25 million simulated ratings (1 h 45 min)",
    "Simulated ratings (`data=planted`) of the shapes of MovieLens 100K, 1M, 10M and 25M, each "
    f"model and size once, in a process of its own, on one thread unless stated; k = {K}. Numbers "
    "are of double precision, but for `fm_sgd`, which is compared with VW and has numbers of "
    "single precision, as VW has.",
    (
        Part(
            "By turns", {f"race {a} / {b}": partial(measure_race, a, b) for a, b in RACES}, by_turns
        ),
        Part("Beside each other", SINGLE, beside_each_other),
    ),
)
