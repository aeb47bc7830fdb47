"""Lemma 3.1 of Rendle (2010): predictions in time linear in k and in the features of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from scipy import sparse

from baselines import QuadraticRegression
from bench.seeds import derive_rng
from bench.studies.fits import seconds
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
from fm.model import Coefficients, predict

N_FEATURES = 1000
ACTIVE = (10, 30, 100, 300, 1000)
FACTORS = (8, 16, 32, 64, 128)
K, M = 10, 100
"""Factors where features vary, features of a row where factors vary."""
WORK = 2_000_000
"""Nonzeros of a matrix for the FM, pairs of features in all rows for the explicit model."""


def measure(context: Context, work: int = WORK) -> Mapping[str, Mapping[int, Sequence[float]]]:
    """Return seconds a row, by its features or by k.

    Matrices have more rows where their rows are shorter, so that each call does enough to be timed.
    """
    rng = derive_rng(0, "speed", "lemma")
    models = {k: _coefficients(rng, k) for k in {K, *FACTORS}}
    explicit = explicit_model(rng)
    calls: dict[tuple[str, int], tuple[int, Callable[[], object]]] = {}
    for m in ACTIVE:
        X = sparse_rows(rng, work // m, m)
        calls["features", m] = X.shape[0], partial(predict, X, models[K])
        pairs = sparse_rows(rng, 2 * work // m**2, m)
        calls["explicit", m] = pairs.shape[0], partial(explicit.predict, pairs)
    X = sparse_rows(rng, work // M, M)
    for k in FACTORS:
        calls["factors", k] = X.shape[0], partial(predict, X, models[k])
    times: dict[str, dict[int, list[float]]] = {}
    for repeat in range(context.repeats + 1):  # the first is to warm up
        for (kind, size), (n_rows, call) in calls.items():
            of = times.setdefault(kind, {}).setdefault(size, [])
            took = seconds(call) / n_rows
            if repeat:
                of.append(took)
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


def explicit_model(rng: np.random.Generator) -> QuadraticRegression:
    """Return it as fitted where every pair occurs; a fit would only find other weights."""
    model = QuadraticRegression()
    model.coef_, model.intercept_ = rng.standard_normal(N_FEATURES), 0.0
    model.n_paired_ = N_FEATURES
    model.pairs_ = np.arange(N_FEATURES * (N_FEATURES - 1) // 2)
    model.pair_coef_ = rng.standard_normal(len(model.pairs_))
    return model


def section(values: Values) -> list[Section]:
    """Write the section."""
    features, factors, explicit = (
        by_size(values["lemma"][kind]) for kind in ("features", "factors", "explicit")
    )
    rows = [[str(m), spread(1e6 * t), spread(1e6 * explicit[m])] for m, t in features.items()]
    by_k = [[str(k), spread(1e6 * t)] for k, t in factors.items()]
    text = f"""\
Rows of a general sparse matrix (CSR, {N_FEATURES:,} columns, real values); microseconds a row.

{markdown_table(["features of a row", f"FM, k = {K}", "explicit pairs"], rows)}

{markdown_table(["k", f"FM, {M} features of a row"], by_k)}

Log-log slopes: FM in features {spread(slopes(features))}, in k {spread(slopes(factors))};
`baselines.QuadraticRegression`, which multiplies out every pair, in features
{spread(slopes(explicit))}. A nonzero costs something besides its factors, so that the slope in k
is below 1 where k is small."""
    kinds = {"FM in features": features, "FM in k": factors, "explicit pairs in features": explicit}
    plot = Plot(
        "speed_lemma",
        "Lemma 3.1: time of a prediction",
        "features of a row, or k",
        "seconds a row",
        {f"{kind}, slope {np.median(slopes(t)):.2f}": medians(t) for kind, t in kinds.items()},
    )
    bars = (
        Bar(
            "predict: log-log slope in features of a row, 10 to 1,000", slopes(features), high=1.05
        ),
        Bar("predict: log-log slope in k", slopes(factors), high=1.05),
    )
    return [Section("Lemma 3.1", text, bars, (plot,))]


PART = Part("Lemma 3.1", {"lemma": measure}, section)
