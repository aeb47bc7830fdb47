"""How the time of a prediction grows with the rows, and that of a fit with the nonzeros of a row.

How fits grow with the rows is the study `scale`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from bench.seeds import derive_rng
from bench.studies import machine
from bench.studies.fits import SOLVERS, configured, rows_of, seconds
from bench.studies.speed_lemma import sparse_rows
from bench.studies.study import (
    Bar,
    Context,
    Part,
    Plot,
    Section,
    Values,
    by_size,
    medians,
    slopes,
    spread,
)
from bench.tables import markdown_table
from fm.design import Block, Design
from fm.model import CHUNK

SHAPES = {100_000: (943, 1682), 1_000_000: (6040, 3706), 10_000_000: (69878, 10677)}
"""Ratings -> users and items: those of MovieLens 100K, 1M and 10M."""
NONZEROS = (50, 100, 200, 400)
"""Of a row, where they grow alone."""
SPARSE_ROWS = 4000
EPOCHS = 3
Times = Mapping[int, NDArray[np.float64]]


def measure_predictions(context: Context) -> Mapping[str, Times]:
    """Time looking up alone, and predicting, where tables grow with the rows and where they do not.

    All are short, and a machine's speed changes: each repeat goes through all sizes, so often that
    every size meets as many rows, and there are three times as many repeats.
    """
    repeats = 3 * context.repeats
    rows = rows_of("data=planted", f"data.n_ratings={min(SHAPES)}")
    model = configured("fm_als", n_iter=EPOCHS, early_stopping=None).fit(rows.X, rows.y)
    rng = derive_rng(0, "speed", "growth")
    width = model.k + 2
    times = {
        kind: {n: np.empty(repeats) for n in SHAPES}
        for kind in ("look-up alone", "predict", "rows alone")
    }
    cases = {n: (_drawn(rng, n), rows.X[rng.integers(len(rows.X), size=n)]) for n in SHAPES}
    models = {n: clone(model).fit(X[:1000], np.ones(1000)) for n, (X, _) in cases.items()}
    for repeat in range(repeats):
        for n, (X, same_levels) in cases.items():
            tables = [np.ones((block.n_levels + 1, width)) for block in X]
            levels = [block.levels for block in X]
            times["look-up alone"][n][repeat] = machine.gather_seconds(
                tables, levels, CHUNK // width, repeats=1
            )
            runs = max(SHAPES) // n
            for kind, predict, of in (
                ("predict", models[n].predict, X),
                ("rows alone", model.predict, same_levels),
            ):
                took = seconds(partial(_repeated, predict, of, runs))
                times[kind][n][repeat] = took / runs
    return times


def _drawn(rng: np.random.Generator, n: int) -> Design:
    sizes = zip(("user", "item"), SHAPES[n], strict=True)
    return Design(tuple(Block(name, rng.integers(m, size=n), m) for name, m in sizes))


def _repeated(call: Callable[[Design], object], X: Design, runs: int) -> None:
    for _ in range(runs):
        call(X)


def measure_nonzeros(context: Context) -> Mapping[str, Times]:
    """Time fits on a general sparse matrix, rows and columns staying as many."""
    rng = derive_rng(0, "speed", "nonzeros")
    y = rng.standard_normal(SPARSE_ROWS)
    matrices = {m: sparse_rows(rng, SPARSE_ROWS, m) for m in NONZEROS}
    models = {s: configured(f"fm_{s}", n_iter=EPOCHS) for s in SOLVERS}
    models["sgd"].set_params(learning_rate=0.01, early_stopping=None)  # small enough for these
    models["als"].set_params(early_stopping=None)
    times = {s: {m: np.empty(context.repeats) for m in NONZEROS} for s in SOLVERS}
    for repeat in range(context.repeats):
        for solver, model in models.items():
            for m, X in matrices.items():
                times[solver][m][repeat] = seconds(partial(model.fit, X, y))
    return times


def section(values: Values) -> list[Section]:
    """Write the section."""
    times = {kind: by_size(of) for kind, of in values.get("growth", {}).items()}
    sparse = {solver: by_size(of) for solver, of in values.get("nonzeros", {}).items()}
    bars = [
        Bar(f"`{s}`: fit: log-log slope in nonzeros of a row", slopes(of), high=1.05)
        for s, of in sparse.items()
    ]
    if times:
        bars.append(Bar("predict: log-log slope in rows", slopes(times["rows alone"]), 0.95, 1.05))
    nanoseconds = [
        [f"{n:,}", *(spread(1e9 * of[n] / n) for of in times.values())]
        for n in next(iter(times.values()), ())
    ]
    by_nonzeros = [[str(m), *(spread(of[m]) for of in sparse.values())] for m in NONZEROS if sparse]
    shapes = "; ".join(f"{n:,} of {u:,} and {i:,}" for n, (u, i) in SHAPES.items())
    growing = ", ".join(f"{kind} {spread(slopes(of))}" for kind, of in times.items())
    text = f"""\
Ids drawn at random, k = 10; rows, users and items: {shapes}. Users and items grow with the rows,
and the tables in which they are looked up leave one cache after the other. Nanoseconds a row:

{markdown_table(["rows", *times], nanoseconds)}

*Look-up alone* takes a row of each of two tables as large and does nothing with it. *Rows alone*
predicts more rows of the smallest data set by its model, whose tables stay in cache, and is what
the bar is about: linear in rows. Log-log slopes: {growing}.

Seconds of a fit of {EPOCHS} epochs or sweeps on a general sparse matrix of {SPARSE_ROWS:,} rows
and 1,000 columns; what an epoch costs besides its nonzeros keeps slopes below 1:

{markdown_table(["nonzeros a row", *(f"`{solver}`" for solver in sparse)], by_nonzeros)}"""
    lines = {
        f"{kind}, slope {np.median(slopes(of)):.2f}": medians(of) for kind, of in times.items()
    }
    plot = Plot("speed_growth_predict", "Predicting all rows", "rows", "seconds", lines)
    return [Section("Growth", text, bars, (plot,) if times else ())]


PART = Part("Growth", {"growth": measure_predictions, "nonzeros": measure_nonzeros}, section)
