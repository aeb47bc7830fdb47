"""Races: our model and another one, fitted by turns in one process, and the bars on their times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.processes import in_new_process
from bench.studies.fits import Fit, configured, rows_of, warm_up, watched
from bench.studies.study import Bar, Context, Part, Section, Values, line_plot, spread
from bench.tables import MISSING, markdown_table

RACES: Mapping[str, Mapping[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("races.yaml").read_text("utf-8")
)
"""Study -> name of a race -> what it is, as `races.yaml` explains."""
LIMIT_SECONDS = 5400
"""For all turns of a race."""
PUBLISHED = 0.9140
"""The article's MSE for its FM."""
PASSES = 20
"""Of the article's FM."""
QUANTITIES: Mapping[str, tuple[str, Callable[[Fit, Fit], float]]] = {
    "epoch": ("epoch or sweep / theirs", lambda ours, theirs: ours.per_epoch / theirs.per_epoch),
    "to_published": (
        f"time to {PUBLISHED:.4f} / their {PASSES} passes",
        lambda ours, theirs: ours.reached(PUBLISHED) / (PASSES * theirs.per_epoch),
    ),
    "fit": (
        f"fit / their {PASSES} passes",
        lambda ours, theirs: ours.fit / (PASSES * theirs.per_epoch),
    ),
    "seconds_to_published": (
        f"seconds to {PUBLISHED:.4f}",
        lambda ours, _: ours.reached(PUBLISHED),
    ),
    "mse": ("test MSE", lambda ours, _: ours.mse[-1]),
    "difference": (
        "greatest difference of a prediction",
        lambda ours, theirs: np.abs(np.subtract(ours.predictions, theirs.predictions)).max(),
    ),
}
"""Name in `races.yaml` -> what a bar is about, and its value in a turn."""


def race(study: str, name: str, turns: int) -> list[tuple[Fit, ...]]:
    """Return the fits of both models, by turns."""
    given = RACES[study][name]
    rows = rows_of(*given["rows"], most=given.get("most"))
    models = [configured(model, **params) for model, params in given["models"]]
    for model in models:
        warm_up(model, rows)
    return [
        tuple(watched(model.set_params(random_state=turn), rows) for model in models)
        for turn in range(turns)
    ]


def measure_race(study: str, name: str, context: Context) -> list[tuple[Fit, ...]] | str:
    """Return the turns of a race in a process of its own, or why there are none."""
    turns = RACES[study][name].get("turns", context.repeats)
    return in_new_process(race, study, name, turns, limit=LIMIT_SECONDS)


def by_turns(study: str, values: Values) -> list[Section]:
    """Write what the bars on speed are about."""
    rows, bars, lines = [], [], {}
    for key, turns in values.items():
        name = key.removeprefix("race ")
        if isinstance(turns, str):
            rows.append([name, MISSING, MISSING, turns, MISSING, MISSING])
            continue
        ours, theirs = ([Fit(**fit) for fit in of] for of in zip(*turns, strict=True))
        pairs = list(zip(ours, theirs, strict=True))
        epochs = np.array([[1e3 * fit.per_epoch for fit in pair] for pair in pairs]).T
        errors = np.array([[fit.mse[-1] for fit in pair] for pair in pairs]).T
        rows.append([name, *map(spread, (*epochs, epochs[0] / epochs[1], *errors))])
        for quantity, bound in RACES[study][name]["bars"].items():
            what, value = QUANTITIES[quantity]
            low, high = bound if isinstance(bound, list) else (-np.inf, bound)
            bars.append(Bar(f"`{name}`: {what}", np.array([value(*p) for p in pairs]), low, high))
        if name.endswith(" / vw_rank"):
            lines[name.partition(" ")[0]] = ours[0].seconds, ours[0].mse
            lines.setdefault("vw_rank", ([PASSES * theirs[0].per_epoch], theirs[0].mse))
    header = ["ours / theirs", "ours, ms", "theirs, ms", "ratio", "test MSE, ours", "theirs"]
    text = f"""\
Ours and theirs in one process, a fit of each by turns. *ms* are of an epoch, sweep or pass (the
median between those that a program shows, else what those beyond the second take), *ratio* is of
each turn: set-up, files and evaluation count for none. Models are as in `conf/model`, but for what
`bench/studies/races.yaml` says.

{markdown_table(header, rows)}"""
    level = (f"published FM, {PUBLISHED:.4f}", PUBLISHED)
    axes = ("seconds of fit", "test MSE (clipped)")
    plot = line_plot(study, "Test error against time", *axes, lines, level, yscale="linear")
    return [Section("By turns", text, bars, (plot,) if study == "speed" and lines else ())]


def races_of(study: str) -> Part:
    """Return the races of a study, as a part of its page."""
    measures = {f"race {name}": partial(measure_race, study, name) for name in RACES[study]}
    return Part("By turns", measures, partial(by_turns, study))
