"""Own models and what people use instead, from 100,000 to 25 million simulated ratings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.report.figures import Point, pareto
from bench.studies import scale_by_k
from bench.studies.fits import WITHIN, Fit
from bench.studies.scale_fits import (
    LOOKED_AT,
    MODELS,
    MOST_ROWS,
    OURS,
    RACE_ROWS,
    RACES,
    SIZES,
    TURNS,
    TWO_THREADS,
    K,
    epochs_of_fits,
    measure_fit,
    measure_race,
    n_epochs,
)
from bench.studies.study import Bar, Part, Plot, Section, Study, Values, slopes, spread
from bench.tables import MISSING, markdown_table, seconds

RACE_BARS = {
    ("fm_gibbs", "peer_myfm"): ("sweep / myFM's", 0.5),
    ("fm_sgd", "vw_rank"): ("epoch / a pass of VW's --rank", 0.1),
}
GIB = 2**30
Fits = Mapping[tuple[str, int], Fit | str]
"""(Model, ratings) -> its fit, or why there is none."""
Curves = dict[str, dict[int, float]]
"""Model -> ratings -> what was measured."""


def by_turns(values: Values) -> list[Section]:
    """Write what the bars on speed are about."""
    rows, bars = [], []
    for name, found in values.items():
        ours, theirs = name.removeprefix("race ").split(" / ")
        if isinstance(found, str):
            rows.append([ours, theirs, MISSING, MISSING, found])
            continue
        turns = [[Fit(**fit) for fit in turn] for turn in found]
        times = np.array([[fit.epoch for fit in turn] for turn in turns]).T
        ratios = times[0] / times[1]
        rows.append([ours, theirs, *map(spread, times), spread(ratios)])
        bars += _race_bars(ours, theirs, ratios, turns[-1])
    text = f"""\
Ours and theirs in one process, a fit of each by turns, {TURNS} turns, at {RACE_ROWS:,} ratings:
seconds of an epoch, sweep or pass, each turn's median, and the ratio of each turn. With
*{TWO_THREADS}* it is our own model, with `n_jobs=2`: batches of levels are shared out to threads,
random numbers are drawn before, sums are added up in one order, so that draws are the same.

{markdown_table(["ours", "theirs", "ours, s", "theirs, s", "ours / theirs"], rows)}"""
    return [Section("By turns", text, bars)]


def _race_bars(ours: str, theirs: str, ratios: np.ndarray, last: list[Fit]) -> list[Bar]:
    if theirs != TWO_THREADS:
        what, high = RACE_BARS[ours, theirs]
        return [Bar(f"`{ours}`, {RACE_ROWS:,} ratings: {what}", ratios, high=high)]
    apart = np.abs(np.diff([fit.predictions for fit in last], axis=0)).max()
    return [
        Bar(f"`{ours}`, {RACE_ROWS:,} ratings: speed-up by two threads", ratios, low=1.6),
        Bar(
            "greatest difference of a prediction between one and two threads",
            np.array([apart]),
            high=1e-8,
        ),
    ]


def beside_each_other(values: Values) -> list[Section]:
    """Write the sections of what each model took alone."""
    fits = {
        (name, int(rows)): found if isinstance(found, str) else Fit(**found)
        for key, found in values.items()
        for name, rows in [key.split(" ")]
    }
    return [side_by_side(fits), errors(fits)]


def side_by_side(fits: Fits) -> Section:
    """Write times, memory and their growth."""
    failed = {
        name: f"- {name}, {n:,} ratings: {found}"
        for (name, n), found in sorted(fits.items(), key=lambda item: -item[0][1])
        if isinstance(found, str)
    }
    epoch = curves(fits, lambda _, fit: fit.epoch)
    whole = curves(fits, lambda _, fit: fit.fit)
    share = curves(fits, lambda key, fit: fit.fit / n_epochs(*key))
    memory = curves(fits, lambda _, fit: fit.memory and fit.memory / 2**20)
    weighable = {name: {n: mib for n, mib in of.items() if mib >= 1} for name, of in memory.items()}
    predict = curves(fits, lambda _, fit: fit.predict)
    text = f"""\
Seconds of an epoch, sweep or pass, set-up excluded (the median; of VW, what passes beyond the
second take):

{_table(fits, epoch, growing=epoch)}

Seconds of the whole fit, set-up and the writing of a program's files included. On up to a million
ratings that is
{epochs_of_fits(MODELS)}; VW 10 passes;
on 10 million half of that (VW 4 passes), on 25 million a quarter. The slope is of
seconds an epoch, of a model without epochs of the fit:

{_table(fits, whole, growing=share)}

MiB of memory that the fit needs at its peak beyond the data (of VW, its process); slopes are of
sizes at which that is a MiB or more:

{_table(fits, memory, growing=weighable, show="{:,.0f}".format)}

Seconds of predicting the test rows on which errors are measured, a tenth of the ratings and at
most {LOOKED_AT:,}:

{_table(fits, predict)}
"""
    if failed:
        text += "\n" + "\n".join(
            ["Not measured, and at no larger size either:", "", *failed.values()]
        )
    lines = {
        name: {model: (list(of), list(of.values())) for model, of in found.items()}
        for name, found in (("epoch", epoch), ("fit", share), ("memory", weighable))
    }
    seconds_of_a_fit = "seconds an epoch, or in all where there are none"
    plots = [
        Plot(f"scale_{name}", f"{title}, k = {K}", "ratings", unit, lines[name])
        for name, title, unit in (
            ("epoch", "One epoch, sweep or pass", "seconds"),
            ("fit", "A fit, set-up included", seconds_of_a_fit),
            ("memory", "Memory of a fit at its peak", "MiB beyond the data"),
        )
    ]
    return Section("Beside each other", text, [*_memory_bars(fits), *_growth_bars(share)], plots)


def _memory_bars(fits: Fits) -> list[Bar]:
    bars = []
    for rows, high in ((10_000_000, 3), (25_000_000, 16)):
        weighed = {n: f.memory for n, f in at(fits, rows).items() if n in OURS and f.memory}
        if weighed:
            most = max(weighed, key=weighed.__getitem__)
            what = f"peak memory, {rows:,} ratings, GiB (the most: `{most}`)"
            bars.append(Bar(what, np.array([weighed[most] / GIB]), high=high))
    return bars


def _growth_bars(share: Curves) -> list[Bar]:
    """Time of a fit, set-up included, in proportion to the ratings."""
    return [
        Bar(f"`{name}`: fit: log-log slope in rows", np.array([slopes(share[name])]), 0.95, 1.05)
        for name in ("fm_sgd", "fm_als", "fm_gibbs")
        if len(share.get(name, ())) > 1
    ]


def errors(fits: Fits) -> Section:
    """How close to the best possible, and how soon."""
    sizes = sorted({rows for _, rows in fits})
    lowest = {n: min(min(f.mse) for f in of.values()) for n in sizes if (of := at(fits, n))}
    above = curves(fits, lambda _, fit: fit.above)
    floor = curves(fits, lambda _, fit: fit.reached(WITHIN * fit.oracle))
    best = curves(fits, lambda key, fit: fit.reached(WITHIN * lowest[key[1]]))
    unseen = [name for name, fit in at(fits, min(sizes)).items() if len(fit.mse) == 1]
    within = "No model came within 1 % of it, at any size."
    if floor:
        within = f"Seconds of fit until the error was within 1 % of it:\n\n{_table(fits, floor)}"
    text = f"""\
By how many per cent the test error of the whole fit is above that of the ratings' true means, the
noise floor:

{_table(fits, above, show="{:.1f}".format)}

{within}

A user of these data has about 110 to 150 ratings whatever their number, so that errors stay above
the floor by what her coefficients cannot be known: more ratings of more users do not close that
gap. How many of each user do: [noise_floor.md](noise_floor.md).

Seconds of fit until the error was within 1 % of the best that any model here reached on as many
ratings:

{_table(fits, best)}

Errors are measured outside the time, on at most {LOOKED_AT:,} test rows, after each epoch; of
programs that do not show their epochs ({", ".join(unseen)}) after the whole fit. No
hyperparameter is chosen for these data: they are those of `conf/model`, but for what
`bench/studies/scale_models.yaml` says."""
    size = max((n for n in sizes if set(at(fits, n)) - set(OURS)), default=0)
    points = {name: Point(fit.fit, fit.mse[-1]) for name, fit in at(fits, size).items()}
    plot = Pareto("scale_pareto", f"What does accuracy cost, at {size:,} ratings?", points)
    title = "How close to the best possible, and how soon"
    return Section(title, text, (), (plot,) if points else ())


@dataclass(frozen=True)
class Pareto:
    """Error against time of every model."""

    name: str
    title: str
    models: Mapping[str, Point]

    def draw(self, path: Path) -> None:
        pareto(self.models, path)


def at(fits: Fits, size: int) -> dict[str, Fit]:
    """Return the fits on so many rows."""
    return {n: fit for (n, rows), fit in fits.items() if rows == size and isinstance(fit, Fit)}


def curves(fits: Fits, of: Callable[[tuple[str, int], Fit], float | None]) -> Curves:
    """Return what has been measured, of the models of which something has."""
    found: Curves = {}
    for key, fit in sorted(fits.items(), key=lambda item: item[0][1]):
        value = of(key, fit) if isinstance(fit, Fit) else None
        if value is not None and np.isfinite(value):
            found.setdefault(key[0], {})[key[1]] = value
    return {name: found[name] for name in dict.fromkeys(n for n, _ in fits) if name in found}


def _table(
    fits: Fits,
    found: Curves,
    *,
    growing: Curves | None = None,
    show: Callable[[float], str] = seconds,
) -> str:
    sizes = sorted({rows for _, rows in fits})
    rows = [
        [name, *(show(of[size]) if size in of else MISSING for size in sizes)]
        for name, of in found.items()
    ]
    header = ["", *(f"{size:,}" for size in sizes)]
    if growing is not None:
        header.append("log-log slope")
        rows = [[*row, _slope(growing[row[0]])] for row in rows]
    return markdown_table(header, rows)


def _slope(curve: Mapping[int, float]) -> str:
    return MISSING if len(curve) < 2 else f"{slopes(curve):.2f}"


STUDY = Study(
    "scale",
    "From a hundred thousand ratings to 25 million",
    "every model from 100,000 to 25 million simulated ratings (1 h 45 min)",
    "Simulated ratings (`data=planted`) of the shapes of MovieLens 100K, 1M, 10M and 25M, each "
    f"model and size once, in a process of its own, on one thread unless said; k = {K}. Numbers "
    "are of double precision, but for `fm_sgd`, which is compared with VW and has numbers of "
    "single precision, as VW has.",
    (
        Part(
            "By turns",
            {f"race {a} / {b}": partial(measure_race, a, b) for a, b in RACES},
            by_turns,
        ),
        Part(
            "Beside each other",
            {
                f"{name} {n}": partial(measure_fit, name, n)
                for name in MODELS
                for n in (*SIZES, *([MOST_ROWS] if name in OURS else []))
            },
            beside_each_other,
        ),
        scale_by_k.PART,
    ),
)
