"""How fast `fm` is beside its peers, and how the time of its predictions grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from bench.seeds import derive_rng
from bench.studies.races import configured, races_of, rows_of
from bench.studies.study import (
    TEXTS,
    Bar,
    Context,
    Measure,
    Part,
    Section,
    Study,
    Values,
    slopes,
    spread,
)
from bench.tables import markdown_table
from fm.design import Block, Design
from fm.model import Coefficients, predict

PAGE = TEXTS["speed"]
PREDICTED_ROWS = 4_000_000
N_FEATURES = 1000
ACTIVE = (10, 30, 100, 300, 1000)
FACTORS = (8, 16, 32, 64, 128)
K, M = 10, 100
"""Factors where features vary, features of a row where factors vary."""
WORK = 2_000_000
"""Nonzeros of a matrix that is predicted."""


def process_seconds(call: Callable[..., object], *given: object) -> float:
    """Return the CPU seconds of a call on one thread, by a clock finer than that of `Measured`."""
    with threadpool_limits(1):
        began = time.process_time()
        call(*given)
        return time.process_time() - began


def measure_predictions(context: Context) -> Sequence[float]:
    """Return the million rows that are predicted in a second, of random pairs of ids."""
    rows = rows_of("data=ml100k")
    model = configured("fm_als", n_iter=2, early_stopping=None).fit(rows.X, rows.y)
    rng = np.random.default_rng(0)
    ids = [Block(b.name, rng.integers(b.n_levels, size=PREDICTED_ROWS), b.n_levels) for b in rows.X]
    X = Design(tuple(ids))
    took = [process_seconds(model.predict, X) for _ in range(1 + context.repeats)]
    return [PREDICTED_ROWS / 1e6 / seconds for seconds in took[1:]]  # the first is to warm up


def measure_growth(context: Context, work: int = WORK) -> Mapping[str, Mapping[int, list[float]]]:
    """Return seconds a row by features of a row and by k; shorter rows come in larger matrices."""
    rng = derive_rng(0, "speed", "lemma")
    calls = {}
    sizes = [("features", m, m, K) for m in ACTIVE] + [("factors", k, M, k) for k in FACTORS]
    for kind, size, m, k in sizes:
        X = sparse_rows(rng, work // m, m)
        w, V = rng.standard_normal(N_FEATURES), rng.standard_normal((N_FEATURES, k))
        calls[kind, size] = X.shape[0], X, Coefficients(0.0, w, V)
    times: dict[str, dict[int, list[float]]] = {"features": {}, "factors": {}}
    for repeat in range(-1, context.repeats):  # the first is to warm up
        for (kind, size), (n_rows, *given) in calls.items():
            took = process_seconds(predict, *given) / n_rows
            times[kind].setdefault(size, []).extend([took] * (repeat >= 0))
    return times


def sparse_rows(rng: np.random.Generator, n: int, m: int) -> sparse.csr_array:
    """Return (n, N_FEATURES), m nonzeros in each row: one in each of m equal ranges of columns."""
    width = N_FEATURES // m
    columns = np.arange(m) * width + rng.integers(width, size=(n, m))
    starts = np.arange(0, n * m + 1, m)
    return sparse.csr_array((rng.standard_normal(n * m), columns.ravel(), starts), (n, N_FEATURES))


def predictions(values: Values) -> list[Section]:
    """Write the speed of predictions, and how it grows with the features of a row and with k."""
    bars, parts = [], []
    if "predict" in values:
        speed = np.array(values["predict"])
        bars.append(Bar("predict, two ids, k = 10: million rows/s", speed, low=10))
        parts.append(PAGE["predict"].format(rows=PREDICTED_ROWS, speed=spread(speed)))
    if "lemma" in values:
        parts.append(PAGE["lemma"].format(columns=N_FEATURES))
        kinds = {"features": f"features of a row, k = {K}", "factors": f"k, {M} features of a row"}
        for kind, header in kinds.items():
            times = {int(size): np.array(of) for size, of in values["lemma"][kind].items()}
            rows = [[str(size), spread(1e6 * of)] for size, of in times.items()]
            parts.append(markdown_table([header, "predicted in µs"], rows))
            what = f"predict: log-log slope in {kind.replace('factors', 'k')}"
            bars.append(Bar(what, slopes(times), high=1.05))
    return [Section("Predictions", "\n\n".join(parts), bars)]


MEASURES: Mapping[str, Measure] = {"predict": measure_predictions, "lemma": measure_growth}
STUDY = Study(
    name="speed",
    parts=(races_of("speed"), Part("Predictions", MEASURES, predictions)),
    repeats=3,
    **PAGE["study"],
)
