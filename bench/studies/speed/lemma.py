"""Lemma 3.1 of Rendle (2010): predictions in time linear in k and in the features of a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from baselines import QuadraticRegression
from bench.seeds import derive_rng
from bench.studies.speed.bars import Bar, Times, medians, slopes, spread
from bench.studies.speed.machine import seconds
from bench.studies.speed.page import Plot, Section
from bench.tables import markdown_table
from fm.model import Coefficients, predict

N_FEATURES = 1000
ACTIVE = (10, 30, 100, 300, 1000)
FACTORS = (8, 16, 32, 64, 128)
K, M = 10, 100
"""Factors where features vary, features of a row where factors vary."""
WORK = 2_000_000
"""Nonzeros of a matrix for the FM, pairs of features in all rows for the explicit model."""


@dataclass(frozen=True)
class Lemma:
    """Seconds a row, by the row's number of features or by k."""

    by_features: Times
    by_factors: Times
    explicit: Times


def measure(repeats: int, work: int = WORK) -> Lemma:
    """Matrices have more rows where their rows are shorter, so that each call does enough to be timed."""
    rng = derive_rng(0, "speed", "lemma")
    machines = {k: _machine(rng, k) for k in {K, *FACTORS}}
    explicit = _explicit(rng)
    calls = {}
    for m in ACTIVE:
        X = sparse_rows(rng, work // m, m)
        calls["by_features", m] = len(X.indptr) - 1, lambda X=X: predict(X, machines[K])
        pairs = sparse_rows(rng, 2 * work // m**2, m)
        calls["explicit", m] = len(pairs.indptr) - 1, lambda X=pairs: explicit.predict(X)
    X = sparse_rows(rng, work // M, M)
    for k in FACTORS:
        calls["by_factors", k] = len(X.indptr) - 1, lambda k=k: predict(X, machines[k])
    times = {key: [] for key in calls}
    for repeat in range(-1, repeats):
        for key, (n_rows, call) in calls.items():
            a_row = seconds(call) / n_rows
            if repeat >= 0:
                times[key].append(a_row)
    return Lemma(
        **{
            kind: {size: np.array(t) for (other, size), t in times.items() if other == kind}
            for kind in ("by_features", "by_factors", "explicit")
        }
    )


def sparse_rows(rng: np.random.Generator, n: int, m: int) -> sparse.csr_array:
    """(n, N_FEATURES), m nonzeros in each row: one in each of m equal ranges of columns."""
    width = N_FEATURES // m
    columns = np.arange(m, dtype=np.int32) * width + rng.integers(
        width, size=(n, m), dtype=np.int32
    )
    entries = (
        rng.standard_normal(n * m),
        columns.ravel(),
        np.arange(0, n * m + 1, m, dtype=np.int32),
    )
    return sparse.csr_array(entries, shape=(n, N_FEATURES))


def _machine(rng: np.random.Generator, k: int) -> Coefficients:
    return Coefficients(0.0, rng.standard_normal(N_FEATURES), rng.standard_normal((N_FEATURES, k)))


def _explicit(rng: np.random.Generator) -> QuadraticRegression:
    """As fitted where every pair occurs; a fit would only find other weights."""
    model = QuadraticRegression()
    model.coef_, model.intercept_ = rng.standard_normal(N_FEATURES), 0.0
    model.n_paired_ = N_FEATURES
    model.pairs_ = np.arange(N_FEATURES * (N_FEATURES - 1) // 2)
    model.pair_coef_ = rng.standard_normal(len(model.pairs_))
    return model


def section(measured: Lemma) -> Section:
    features, factors, explicit = map(
        slopes, (measured.by_features, measured.by_factors, measured.explicit)
    )
    rows = [
        [str(m), spread(1e6 * t), spread(1e6 * measured.explicit[m])]
        for m, t in measured.by_features.items()
    ]
    by_k = [[str(k), spread(1e6 * t)] for k, t in measured.by_factors.items()]
    text = f"""\
Rows of a general sparse matrix (CSR, {N_FEATURES:,} columns, real values); microseconds a row.

{markdown_table(["features of a row", f"FM, k = {K}", "explicit pairs"], rows)}

{markdown_table(["k", f"FM, {M} features of a row"], by_k)}

Log-log slopes: FM in features {spread(features)}, in k {spread(factors)}; `baselines.QuadraticRegression`, which
multiplies out every pair, in features {spread(explicit)}. A nonzero costs something besides its factors, so that
the slope in k is below 1 where k is small."""
    lines = {
        f"FM in features, slope {np.median(features):.2f}": measured.by_features,
        f"FM in k, slope {np.median(factors):.2f}": measured.by_factors,
        f"explicit pairs in features, slope {np.median(explicit):.2f}": measured.explicit,
    }
    plot = Plot(
        "speed_lemma",
        "Lemma 3.1: time of a prediction",
        "features of a row, or k",
        "seconds a row",
        {label: medians(t) for label, t in lines.items()},
    )
    bars = (
        Bar("predict: log-log slope in features of a row, 10 to 1,000", features, high=1.05),
        Bar("predict: log-log slope in k", factors, high=1.05),
    )
    return Section("Lemma 3.1", text, bars, (plot,))
