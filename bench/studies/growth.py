"""How predictions grow with k and with the features of a row (Rendle 2010, Lemma 3.1).

How fits grow with the rows is part of the study `scale`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.seeds import derive_rng
from bench.studies.fits import seconds
from bench.studies.study import (
    Bar,
    Context,
    Part,
    Section,
    Values,
    by_size,
    line_plot,
    medians,
    slopes,
    spread,
)
from bench.tables import markdown_table
from fm.model import Coefficients, predict

N_FEATURES = 1000
ACTIVE = (10, 30, 100, 300, 1000)
FACTORS = (8, 16, 32, 64, 128)
K, M = 10, 100
"""Factors where features vary, features of a row where factors vary."""
WORK = 2_000_000
"""Nonzeros of a matrix that is predicted."""
TITLE = "Growth with factors and features"
Times = Mapping[int, NDArray[np.float64]]


def measure_predictions(context: Context, work: int = WORK) -> Mapping[str, Times]:
    """Return seconds a row by features of a row or by k; shorter rows come in larger matrices."""
    rng = derive_rng(0, "speed", "lemma")
    models = {k: _coefficients(rng, k) for k in {K, *FACTORS}}
    calls: dict[tuple[str, int], tuple[int, Callable[[], object]]] = {}
    for m in ACTIVE:
        X = sparse_rows(rng, work // m, m)
        calls["features", m] = X.shape[0], partial(predict, X, models[K])
    X = sparse_rows(rng, work // M, M)
    for k in FACTORS:
        calls["factors", k] = X.shape[0], partial(predict, X, models[k])
    times: dict[str, dict[int, NDArray]] = {}
    for repeat in range(-1, context.repeats):  # the first is to warm up
        for (kind, size), (n_rows, call) in calls.items():
            of = times.setdefault(kind, {}).setdefault(size, np.empty(context.repeats))
            took = seconds(call) / n_rows
            if repeat >= 0:
                of[repeat] = took
    return times


def sparse_rows(rng: np.random.Generator, n: int, m: int) -> sparse.csr_array:
    """Return (n, N_FEATURES), m nonzeros in each row: one in each of m equal ranges of columns."""
    width = N_FEATURES // m
    columns = np.arange(m, dtype=np.int32) * width
    columns = columns + rng.integers(width, size=(n, m), dtype=np.int32)
    starts = np.arange(0, n * m + 1, m, dtype=np.int32)
    return sparse.csr_array(
        (rng.standard_normal(n * m), columns.ravel(), starts), shape=(n, N_FEATURES)
    )


def _coefficients(rng: np.random.Generator, k: int) -> Coefficients:
    return Coefficients(0.0, rng.standard_normal(N_FEATURES), rng.standard_normal((N_FEATURES, k)))


def section(values: Values) -> list[Section]:
    """Write the section."""
    features, factors = (by_size(values["lemma"][kind]) for kind in ("features", "factors"))
    rows = [[str(m), spread(1e6 * t)] for m, t in features.items()]
    by_k = [[str(k), spread(1e6 * t)] for k, t in factors.items()]
    text = f"""\
Rows of a general sparse matrix (CSR, {N_FEATURES:,} columns, real values); microseconds a row.

{markdown_table(["features of a row", f"FM, k = {K}, predicted"], rows)}

{markdown_table(["k", f"FM, {M} features of a row, predicted"], by_k)}

Slopes are below 1 where a row or a nonzero costs something besides its factors."""
    kinds = {"in features": features, "in k": factors}
    plot = line_plot(
        "speed_growth",
        "Time of a prediction",
        "features of a row, or k",
        "seconds a row",
        {f"{kind}, slope {np.median(slopes(t)):.2f}": medians(t) for kind, t in kinds.items()},
    )
    bars = [
        Bar("predict: log-log slope in features of a row", slopes(features), high=1.05),
        Bar("predict: log-log slope in k", slopes(factors), high=1.05),
    ]
    return [Section(TITLE, text, bars, (plot,))]


PART = Part(TITLE, {"lemma": measure_predictions}, section)
