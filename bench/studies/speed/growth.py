"""Time and memory from a hundred thousand to ten million ratings."""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from bench.measure import Measured
from bench.seeds import derive_rng
from bench.studies.speed import machine
from bench.studies.speed.bars import Bar, Times, medians, slopes, spread
from bench.studies.speed.lemma import sparse_rows
from bench.studies.speed.machine import seconds
from bench.studies.speed.page import Plot, Section
from bench.studies.speed.setting import SOLVERS, configured, setting
from bench.tables import MISSING, markdown_table
from fm.design import Design
from fm.model import CHUNK

SHAPES = {100_000: (943, 1682), 1_000_000: (6040, 3706), 10_000_000: (69878, 10677)}
"""Ratings -> users and items: those of MovieLens 100K, 1M and 10M."""
NONZEROS = (50, 100, 200, 400)
"""Of a row, where they grow alone."""
SPARSE_ROWS = 4000
EPOCHS = 3
BYTES_PER_ROW = 3 * 8
"""Two levels and a rating."""


Data = dict[int, tuple[Design, NDArray[np.float64]]]
"""Rows -> a data set of so many."""


@dataclass(frozen=True, eq=False)
class Growth:
    """By solver and rows, where users and items grow with the rows: seconds of an epoch (a fit's share, set-up
    included) and of predicting all rows; peak memory of a fit in bytes, beyond that of the data, None where the
    system does not say. `look_up`: of two tables as large, without anything done with what was found. `rows_alone`:
    of predicting where users and items stay as they are. `by_nonzeros`: of a fit, by solver and nonzeros a row."""

    epochs: dict[str, Times]
    predictions: dict[str, Times]
    memory: dict[str, dict[int, int | None]]
    look_up: Times
    rows_alone: Times
    by_nonzeros: dict[str, Times]


def measure(repeats: int, max_rows: int) -> Growth:
    data = {rows: _planted(rows, *shape) for rows, shape in SHAPES.items() if rows <= max_rows}
    memory = {
        solver: {rows: peak_memory(_model(solver), *every) for rows, every in data.items()}
        for solver in SOLVERS
    }
    return Growth(
        *interleaved({s: _model(s) for s in SOLVERS}, data, repeats),
        memory,
        *look_ups(data, repeats),
        nonzeros(repeats),
    )


def nonzeros(repeats: int) -> dict[str, Times]:
    """Seconds of a fit on a general sparse matrix, rows and columns staying as many."""
    rng = derive_rng(0, "speed", "nonzeros")
    y = rng.standard_normal(SPARSE_ROWS)
    matrices = {m: sparse_rows(rng, SPARSE_ROWS, m) for m in NONZEROS}
    models = {solver: _model(solver) for solver in SOLVERS}
    models["sgd"].set_params(learning_rate=0.01)  # small enough for these
    times = {solver: {m: np.empty(repeats) for m in NONZEROS} for solver in SOLVERS}
    for repeat in range(repeats):
        for solver, model in models.items():
            for m, X in matrices.items():
                times[solver][m][repeat] = seconds(lambda model=model, X=X: model.fit(X, y))
    return times


def _planted(rows: int, users: int, items: int) -> tuple[Design, NDArray[np.float64]]:
    sizes = f"data.n_users={users}", f"data.n_items={items}", f"data.n_ratings={rows}"
    data = setting("data=planted", *sizes)
    return data.X, data.y


def _model(solver: str) -> BaseEstimator:
    fixed = {} if solver == "gibbs" else {"early_stopping": None}
    return configured(f"fm_{solver}", n_iter=EPOCHS, **fixed)


def peak_memory(model: BaseEstimator, X: Design, y: NDArray) -> int | None:
    """Of a first fit in a new process, in whose heap nothing large has been freed, so that all memory shows."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_weighed, model, X, y).result()


def _weighed(model: BaseEstimator, X: Design, y: NDArray) -> int | None:
    model.fit(X[:1000], y[:1000])
    with Measured(threads=1) as cost:
        model.fit(X, y)
    return cost.peak_memory


def interleaved(
    models: dict[str, BaseEstimator], data: Data, repeats: int
) -> tuple[dict[str, Times], dict[str, Times]]:
    """Seconds of an epoch and of predicting. Each repeat goes through all sizes, so that a change of the machine's
    speed meets them all; what is short is the median of several."""
    for model in models.values():
        model.fit(*(part[:1000] for part in data[min(data)]))
    times: dict[tuple[str, int], list] = {(solver, rows): [] for solver in models for rows in data}
    for _ in range(repeats):
        for (solver, rows), measured in times.items():
            runs = [_once(models[solver], *data[rows]) for _ in range(_runs(rows, data))]
            measured.append(np.median(runs, axis=0))
    fit, predict = (
        {
            solver: {rows: np.array(times[solver, rows])[:, part] for rows in data}
            for solver in models
        }
        for part in (0, 1)
    )
    return fit, predict


def _once(model: BaseEstimator, X: Design, y: NDArray) -> tuple[float, float]:
    with Measured(threads=1):
        model.fit(X, y)
    return model.history_["seconds"][-1] / model.n_iter, seconds(lambda: model.predict(X))


def _runs(rows: int, data: Data) -> int:
    return math.isqrt(max(data) // rows)


def look_ups(data: Data, repeats: int) -> tuple[Times, Times]:
    """Seconds of looking up alone; and of predicting rows drawn from the smallest data set, by one model, of every
    size so often that the same number of rows, and as much of the machine's slower moments, is met by all. Both are
    short, and a machine's speed changes: there are three times as many repeats."""
    repeats *= 3
    X, y = data[min(data)]
    model = _model("als").fit(X, y)
    rng = derive_rng(0, "speed", "growth")
    more = {rows: X[rng.integers(len(X), size=rows)] for rows in data}
    width = model.k + 2
    found, predicted = ({rows: np.empty(repeats) for rows in data} for _ in range(2))
    for repeat in range(repeats):
        for rows, (X, _) in data.items():
            tables = [np.ones((block.n_levels + 1, width)) for block in X]
            levels = [block.levels for block in X]
            found[rows][repeat] = machine.gather_seconds(tables, levels, CHUNK // width, repeats=1)
            runs = max(data) // rows
            took = seconds(
                lambda rows=rows, runs=runs: [model.predict(more[rows]) for _ in range(runs)]
            )
            predicted[rows][repeat] = took / runs
    return found, predicted


def section(growth: Growth) -> Section:
    table, bars = [], []
    for solver, epochs in growth.epochs.items():
        predictions, memory = growth.predictions[solver], growth.memory[solver]
        for rows in epochs:
            cells = [
                f"{rows:,}",
                spread(epochs[rows]),
                spread(predictions[rows]),
                _multiple(rows, memory[rows]),
            ]
            table.append([f"`{solver}`", *cells])
        bars.append(_slope_bar(f"`{solver}`: fit", epochs))
        slope = slopes(growth.by_nonzeros[solver])
        bars.append(Bar(f"`{solver}`: fit: log-log slope in nonzeros of a row", slope, high=1.05))
        rows, largest = max(memory.items())
        if largest is not None:
            multiple = largest / (BYTES_PER_ROW * rows)
            bars.append(
                Bar(
                    f"`{solver}`: memory of fit / data, {rows:,} rows", np.array([multiple]), high=3
                )
            )
    bars.append(_slope_bar("predict", growth.rows_alone))
    growing = ", ".join(f"`{s}` {spread(slopes(times))}" for s, times in growth.predictions.items())
    sparse = [
        [f"{m}", *(spread(growth.by_nonzeros[solver][m]) for solver in growth.by_nonzeros)]
        for m in NONZEROS
    ]
    nanoseconds = [
        [f"{rows:,}", *(spread(1e9 * times[rows] / rows) for times in _a_row(growth).values())]
        for rows in growth.look_up
    ]
    shapes = "; ".join(f"{r:,} of {u:,} and {i:,}" for r, (u, i) in SHAPES.items())
    text = f"""\
Simulated ratings (`data=planted`) of the shapes of MovieLens 100K, 1M and 10M, {EPOCHS} epochs or sweeps at k = 10.
Ratings, users and items: {shapes}.

{markdown_table(["solver", "rows", "s an epoch", "s to predict all", "memory / data"], table)}

An epoch is its share of a fit, set-up included. Memory is what a first fit in a new process needs at its peak
beyond the data, whose size is {BYTES_PER_ROW} bytes a row: two ids and a rating. Each repeat measures all sizes, the
smaller ones several times.

As in life, users and items grow with the rows, and the tables in which they are looked up leave one cache after the
other. How much of a prediction that is, in nanoseconds a row:

{markdown_table(["rows", *_a_row(growth)], nanoseconds)}

*Look-up alone* takes a row of each of two tables as large and does nothing with it: log-log slope
{spread(slopes(growth.look_up))}. *Rows alone* predicts more rows of the smallest data set by its model, whose
tables stay in cache, and is what the bar for predictions is about: linear in rows. Where users and items grow too,
the slopes are {growing}: that of looking up, less what is added to it in proportion. `sgd` escapes in its fit, where it
may choose the order of the rows.

Seconds of a fit of {EPOCHS} epochs or sweeps on a general sparse matrix of {SPARSE_ROWS:,} rows and 1,000 columns; what an
epoch costs besides its nonzeros keeps slopes below 1:

{markdown_table(["nonzeros a row", *(f"`{solver}`" for solver in growth.by_nonzeros)], sparse)}"""
    epochs, predictions = (
        {f"fm_{solver}": times for solver, times in kind.items()}
        for kind in (growth.epochs, growth.predictions)
    )
    predictions |= {"look-up alone": growth.look_up, "rows alone": growth.rows_alone}
    plots = (
        Plot("speed_growth_fit", "One epoch or sweep", "rows", "seconds", _lines(epochs)),
        Plot("speed_growth_predict", "Predicting all rows", "rows", "seconds", _lines(predictions)),
    )
    return Section("Growth", text, tuple(bars), plots)


def _a_row(growth: Growth) -> dict[str, Times]:
    return {
        "`als` predicts": growth.predictions["als"],
        "look-up alone": growth.look_up,
        "rows alone": growth.rows_alone,
    }


def _multiple(rows: int, memory: int | None) -> str:
    return MISSING if memory is None else f"{memory / (BYTES_PER_ROW * rows):.2f}"


def _slope_bar(what: str, times: Times) -> Bar:
    return Bar(f"{what}: log-log slope in rows", slopes(times), low=0.95, high=1.05)


def _lines(times: dict[str, Times]) -> dict[str, tuple[NDArray, NDArray]]:
    return {f"{name}, slope {np.median(slopes(t)):.2f}": medians(t) for name, t in times.items()}
