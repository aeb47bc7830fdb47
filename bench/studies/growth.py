"""How the time of a fit grows with rows and fields, and the memory of fits to very many rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from scipy import sparse

from bench.errors import DataUnavailable
from bench.measure import Measured
from bench.processes import in_new_process, memory_available
from bench.studies.shapes import estimator, one_hot
from bench.studies.study import Bar, Context, Part, Section, Values, slopes

SWEEPS = {"gibbs": 3, "als": 3, "sgd": 2}
"""Solver -> sweeps or epochs of a fit."""
ROWS = (50_000, 100_000, 200_000, 400_000, 800_000)
"""Of 20 fields."""
FIELDS = (5, 10, 20, 40)
"""Of 100,000 rows."""
MANY_ROWS = 10_000_000
LIMIT_GIB = 20.0
NEEDED_GIB = 16.0
"""Memory without which very many rows are not tried."""
GROWTH, MANY = ", growth", ", very many rows"


def fit(solver: str, n_rows: int, n_fields: int, seed: int) -> tuple[float, float]:
    """Return the CPU seconds of a fit, and its peak memory with the rows, in GiB."""
    problem = one_hot(n_fields, n_rows=n_rows)
    X, y = sparse.csr_array(problem.X), problem.y
    model = estimator(problem, solver=solver, n_iter=SWEEPS[solver], random_state=seed)
    with Measured(threads=1) as cost:
        model.fit(X, y)
    rows = sum(part.nbytes for part in (X.data, X.indices, X.indptr, y))
    return cost.cpu_seconds, ((cost.peak_memory or 0) + rows) / 2**30


def measure_growth(solver: str, context: Context) -> Mapping[str, Mapping[int, list[float]]]:
    """Return CPU seconds by rows and by fields, a fit of each size by turns."""
    rows: dict[int, list[float]] = {n: [] for n in ROWS}
    fields: dict[int, list[float]] = {n: [] for n in FIELDS}
    for seed in range(context.repeats):
        for n in rows:
            rows[n].append(fit(solver, n, 20, seed)[0])
        for n in fields:
            fields[n].append(fit(solver, 100_000, n, seed)[0])
    return {"rows": rows, "fields": fields}


def measure_many(solver: str, context: Context) -> Mapping[str, float]:
    """Return seconds and GiB of one fit to very many rows, in a process of its own."""
    free = (memory_available() or 0) / 2**30
    if free < NEEDED_GIB:
        raise DataUnavailable(f"{free:.0f} GiB of memory are free, and {NEEDED_GIB:.0f} needed")
    found = in_new_process(fit, solver, MANY_ROWS, 20, 0)
    if isinstance(found, str):
        raise DataUnavailable(found)
    return dict(zip(("seconds", "GiB"), found, strict=True))


def section(values: Values) -> list[Section]:
    """Write the bars, and why something was not measured."""
    bars, text = [], "CPU seconds of whole fits of few sweeps or epochs, by rows and by fields."
    for name, found in values.items():
        solver, _, what = name.partition(", ")
        if isinstance(found, str):
            text += f" {name}: {found}."
        elif f", {what}" == MANY:
            what = f"{solver}: GiB of a fit to {MANY_ROWS:,} rows of 20 fields"
            bars.append(Bar(what, np.array([found["GiB"]]), high=LIMIT_GIB))
            text += f" {solver} took {found['seconds']:.0f} s for {MANY_ROWS:,} rows of 20 fields."
        else:
            rows, fields = (
                slopes({int(n): times for n, times in found[by].items()})
                for by in ("rows", "fields")
            )
            bars.append(Bar(f"{solver}: log-log slope of seconds over rows", rows, 0.95, 1.05))
            bars.append(Bar(f"{solver}: log-log slope of seconds over fields", fields, high=1.05))
    return [Section("Growth", text, bars)]


GROWTH_PART = Part(
    "Growth",
    {solver + GROWTH: partial(measure_growth, solver) for solver in SWEEPS}
    | {solver + MANY: partial(measure_many, solver) for solver in ("gibbs", "sgd")},
    section,
)
