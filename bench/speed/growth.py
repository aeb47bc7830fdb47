"""Time and memory from a hundred thousand to ten million ratings."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from bench.measure import Measured
from bench.seeds import derive_rng
from bench.speed.bars import Bar, Times, medians, slopes, spread
from bench.speed.machine import seconds
from bench.speed.page import Plot, Section
from bench.speed.setting import SOLVERS, configured, setting
from bench.tables import MISSING, markdown_table
from fm.design import Design

SHAPES = {100_000: (943, 1682), 1_000_000: (6040, 3706), 10_000_000: (69878, 10677)}
"""Ratings -> users and items: those of MovieLens 100K, 1M and 10M."""
EPOCHS = 3
BYTES_PER_ROW = 3 * 8
"""Two levels and a rating."""


@dataclass(frozen=True, eq=False)
class Cost:
    """Seconds of an epoch (a fit's share, set-up included) and of predicting all rows, one a repeat; peak memory of
    a fit in bytes, beyond that of the data, None where the system does not say."""

    epoch: NDArray[np.float64]
    predict: NDArray[np.float64]
    memory: int | None


@dataclass(frozen=True, eq=False)
class Growth:
    """solver -> rows -> cost, where users and items grow with the rows; predictions where they do not."""

    costs: dict[str, dict[int, Cost]]
    rows_alone: Times


def measure(repeats: int, max_rows: int) -> Growth:
    shapes = {rows: shape for rows, shape in SHAPES.items() if rows <= max_rows}
    costs: dict[str, dict[int, Cost]] = {solver: {} for solver in SOLVERS}
    for rows, shape in shapes.items():
        X, y = _planted(rows, *shape)
        for solver in SOLVERS:
            costs[solver][rows] = in_new_process(_model(solver), X, y, repeats)
    return Growth(costs, rows_alone(repeats, list(shapes)))


def _planted(rows: int, users: int, items: int) -> tuple[Design, NDArray[np.float64]]:
    sizes = f"data.n_users={users}", f"data.n_items={items}", f"data.n_ratings={rows}"
    data = setting("data=planted", *sizes)
    return data.X, data.y


def _model(solver: str) -> BaseEstimator:
    fixed = {} if solver == "gibbs" else {"early_stopping": None}
    return configured(f"fm_{solver}", n_iter=EPOCHS, **fixed)


def in_new_process(model: BaseEstimator, X: Design, y: NDArray, repeats: int) -> Cost:
    """`cost`, with a heap in which nothing large has been freed, so that all memory shows."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(cost, model, X, y, repeats).result()


def cost(model: BaseEstimator, X: Design, y: NDArray, repeats: int) -> Cost:
    model.fit(X[:1000], y[:1000])
    with Measured(threads=1) as first:
        model.fit(X, y)
    model.predict(X)
    fit, predict = np.empty((2, repeats))
    for repeat in range(repeats):
        with Measured(threads=1):
            model.fit(X, y)
        fit[repeat] = model.history_["seconds"][-1]
        predict[repeat] = seconds(lambda: model.predict(X))
    return Cost(fit / EPOCHS, predict, first.peak_memory)


def rows_alone(repeats: int, sizes: list[int]) -> Times:
    """Seconds of predicting rows drawn from the smallest data set, by one model."""
    X, y = _planted(sizes[0], *SHAPES[sizes[0]])
    model = _model("als").fit(X, y)
    rng = derive_rng(0, "speed", "growth")
    more = [X[rng.integers(len(X), size=n)] for n in sizes]
    times = [[seconds(lambda rows=rows: model.predict(rows)) for rows in more] for _ in range(1 + repeats)]
    return dict(zip(sizes, np.array(times[1:]).T, strict=True))


def section(growth: Growth) -> Section:
    table, bars = [], []
    epochs: dict[str, Times] = {}
    predictions: dict[str, Times] = {}
    for solver, costs in growth.costs.items():
        epochs[f"fm_{solver}"] = {rows: c.epoch for rows, c in costs.items()}
        predictions[f"fm_{solver}"] = {rows: c.predict for rows, c in costs.items()}
        for rows, c in costs.items():
            cells = [f"{rows:,}", spread(c.epoch), spread(c.predict), _multiple(rows, c)]
            table.append([f"`{solver}`", *cells])
        bars.append(_slope_bar(f"`{solver}`: fit", epochs[f"fm_{solver}"]))
        bars.append(_slope_bar(f"`{solver}`: predict, users and items grow too", predictions[f"fm_{solver}"]))
        rows, largest = max(costs.items())
        if largest.memory is not None:
            multiple = largest.memory / (BYTES_PER_ROW * rows)
            bars.append(Bar(f"`{solver}`: memory of fit / data, {rows:,} rows", np.array([multiple]), high=3))
    predictions["rows alone"] = growth.rows_alone
    bars.append(_slope_bar("predict, rows alone", growth.rows_alone))
    shapes = "; ".join(f"{r:,} of {u:,} and {i:,}" for r, (u, i) in SHAPES.items())
    text = f"""\
Simulated ratings (`data=planted`) of the shapes of MovieLens 100K, 1M and 10M, {EPOCHS} epochs or sweeps at k = 10.
Ratings, users and items: {shapes}.

As in life, users and items grow with the rows, and the tables in which they are looked up leave one cache after the
other. *Rows alone* grows differently: more rows of the smallest data set, predicted by its model.

{markdown_table(["solver", "rows", "s an epoch", "s to predict all", "memory / data"], table)}

An epoch is its share of a fit, set-up included. Memory is what a first fit in a new process needs at its peak
beyond the data, whose size is {BYTES_PER_ROW} bytes a row: two ids and a rating."""
    plots = (
        Plot("speed_growth_fit", "One epoch or sweep", "rows", "seconds", _lines(epochs)),
        Plot("speed_growth_predict", "Predicting all rows", "rows", "seconds", _lines(predictions)),
    )
    return Section("Growth", text, tuple(bars), plots)


def _multiple(rows: int, c: Cost) -> str:
    return MISSING if c.memory is None else f"{c.memory / (BYTES_PER_ROW * rows):.2f}"


def _slope_bar(what: str, times: Times) -> Bar:
    return Bar(f"{what}: log-log slope in rows", slopes(times), low=0.95, high=1.05)


def _lines(times: dict[str, Times]) -> dict[str, tuple[NDArray, NDArray]]:
    return {f"{name}, slope {np.median(slopes(t)):.2f}": medians(t) for name, t in times.items()}
