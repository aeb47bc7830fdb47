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
from bench.studies.races import Fit, configured, races_of, rows_of, warm_up, watched
from bench.studies.study import TEXTS, Bar, Context, Part, Section, Study, Values, line_plot, slopes
from bench.tables import MISSING, markdown_table, seconds

PAGE = TEXTS["scale"]
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
        given["passes"] = 4 if n_rows in EPOCHS_KEPT else 10
    return given


def n_epochs(name: str, n_rows: int) -> int:
    """Return the epochs, sweeps or passes of a fit; 1 of a model that has none."""
    given = settings(name, n_rows)
    return given.get("n_iter") or given.get("passes") or 1


def one_fit(name: str, n_rows: int) -> Fit:
    """Fit a model of the study on so many rows."""
    simulated = ("data=planted", f"data.n_ratings={n_rows}", "split=random", "split.validation=0")
    model = configured(name, **settings(name, n_rows))
    rows = rows_of(*simulated, most=EVALUATED_ROWS)
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


def beside_each_other(values: Values) -> list[Section]:
    """Write what each model took alone: times, memory, their growth, and errors."""
    fits = {
        (name, int(rows)): of if isinstance(of, str) else Fit(**of)
        for key, of in values.items()
        for name, rows in [key.split(" ")]
    }
    epoch = curves(fits, lambda _, fit: fit.epoch)
    per_epoch = curves(fits, lambda key, fit: fit.fit / n_epochs(*key))
    memory = curves(fits, lambda _, fit: fit.memory and fit.memory / 2**20)
    counted = ", ".join(f"{n} {of['n_iter']}" for n, of in MODELS.items() if "n_iter" in of)
    text = PAGE["costs"].format(
        epoch=_table(epoch, growing=epoch),
        fit=_table(curves(fits, lambda _, fit: fit.fit), growing=per_epoch),
        memory=_table(memory, growing=memory.where(memory >= 1), show="{:,.0f}".format),
        above=_table(curves(fits, lambda _, fit: fit.above), show="{:.1f}".format),
        counted=counted,
        evaluated=EVALUATED_ROWS,
    )
    failed = {
        name: f"- {name}, {n:,} ratings: {reason}"
        for (name, n), reason in sorted(fits.items(), key=lambda item: -item[0][1])
        if isinstance(reason, str)
    }
    if failed:
        text += "\nNot measured, and at no larger size either:\n\n" + "\n".join(failed.values())
    lines = {model: (of.dropna().index, of.dropna()) for model, of in epoch.iterrows()}
    title = f"One epoch, sweep or pass, k = {K}"
    plot = line_plot("scale_epoch", title, "ratings", "seconds", lines)
    return [Section("Beside each other", text, list(_cost_bars(memory, per_epoch)), [plot])]


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
    name="scale",
    parts=(races_of("scale"), Part("Beside each other", SINGLE, beside_each_other)),
    **PAGE["study"],
)
