"""How fast `fm` is beside its peers, and how its time grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, clone

from bench.measure import Measured
from bench.seeds import derive_rng
from bench.studies.fits import SOLVERS, Fit, Rows, configured, rows_of, seconds, watched
from bench.studies.study import (
    Bar,
    Context,
    Numbers,
    Part,
    Section,
    Study,
    Values,
    line_plot,
    slopes,
    spread,
)
from bench.tables import MISSING, markdown_table
from fm.design import Block, Design
from fm.model import Coefficients, predict

UA = "data=ml100k"
"""All rows of ua.base and ua.test, user and item ids."""
PUBLISHED = 0.9140
"""The article's MSE for its FM."""
PASSES = 20
RATIOS = {"myFM": {8: 0.6, 10: 0.5, 16: 0.6, 32: 0.6, 64: 0.6}, "libFM": {10: 1.0}}
"""Sampler -> k -> our time of a sweep over its, at most."""
SWEEPS = 40
PREDICTED_ROWS = 4_000_000
N_FEATURES = 1000
ACTIVE = (10, 30, 100, 300, 1000)
FACTORS = (8, 16, 32, 64, 128)
K, M = 10, 100
"""Factors where features vary, features of a row where factors vary."""
WORK = 2_000_000
"""Nonzeros of a matrix that is predicted."""
GROWTH = "Growth with factors and features"


def measure_vw(context: Context) -> Mapping[str, Any]:
    """Return fits by our solvers and by Vowpal Wabbit in turn, and the seconds of choosing."""
    rows = rows_of(UA)
    models = {solver: configured(f"fm_{solver}") for solver in SOLVERS}
    vw = configured("vw_rank", passes=PASSES)
    for model in models.values():
        clone(model).set_params(n_iter=2, early_stopping=None).fit(rows.X, rows.y)
    fits: dict[str, list[Fit]] = {name: [] for name in ("vw", *SOLVERS)}
    selection: dict[str, list[float]] = {solver: [] for solver in SOLVERS}
    for seed in range(context.repeats):
        fits["vw"].append(watched(vw, rows))
        for solver, model in models.items():
            settled, took = settle(clone(model).set_params(random_state=seed))
            selection[solver].append(took)
            fits[solver].append(watched(settled, rows))
    return {"fits": fits, "selection": selection}


def settle(model: BaseEstimator, *overrides: str) -> tuple[BaseEstimator, float]:
    """Return `model` with the best epochs on validation rows, and the seconds of finding them."""
    if model.early_stopping is None:
        return model, 0.0
    rows = rows_of(*(overrides or (UA,)), parts=("train", "validation"))
    with Measured(threads=1):
        model.fit(rows.X, rows.y, validation=(rows.held_out, rows.truth))
    return clone(model).set_params(**model.refit_params_), float(model.history_["seconds"][-1])


def against_vw(values: Values) -> list[Section]:
    """Compare times to the published error, and of passes."""
    chosen = values["vw"]["selection"]
    fits = {name: [Fit(**fit) for fit in of] for name, of in values["vw"]["fits"].items()}
    theirs = fits.pop("vw")
    vw_pass = np.array([fit.epoch for fit in theirs])
    vw, vw_mse = PASSES * vw_pass, theirs[0].mse[-1]
    rows = [["`vw_rank`", spread(1e3 * vw_pass), "1", MISSING, MISSING, spread(vw), "1"]]
    rows[0] += [f"{vw_mse:.4f}", MISSING]
    of: dict[str, dict[str, NDArray]] = {}
    for solver, ours in fits.items():
        epoch, target, end, mse = np.array(
            [(fit.epoch, fit.reached(PUBLISHED), fit.fit, fit.mse[-1]) for fit in ours]
        ).T
        times = [1e3 * epoch, epoch / vw_pass, target, target / vw, end, end / vw, mse]
        took = spread(chosen[solver]) if any(chosen[solver]) else MISSING
        rows.append([f"`fm_{solver}`", *map(spread, times), took])
        of[solver] = {
            "epoch": times[1],
            "s": target,
            "target": times[3],
            "end": times[5],
            "mse": mse,
        }
    header = ["model", "ms a pass", "ratio", f"s to {PUBLISHED:.4f}", "ratio to VW's fit"]
    header += ["s of fit", "ratio", "test MSE", "s of choosing"]
    passes = f"VW's {PASSES} passes"
    bars = (
        Bar("`sgd`: epoch / VW pass", of["sgd"]["epoch"], high=1 / 20),
        Bar(f"`sgd`: time to {PUBLISHED:.4f} / {passes}", of["sgd"]["target"], high=1 / 40),
        Bar(f"`als`: time to {PUBLISHED:.4f} / {passes}", of["als"]["target"], high=1 / 100),
        Bar(f"`als`: fit at its best on validation / {passes}", of["als"]["end"], high=1 / 30),
        Bar("`als`: test MSE at its best on validation", of["als"]["mse"], high=0.865),
        Bar(f"`gibbs`: seconds of fit to {PUBLISHED:.4f}", of["gibbs"]["s"], high=0.15),
        Bar("`gibbs`: test MSE after 200 sweeps", of["gibbs"]["mse"], high=0.836),
    )
    text = f"""\
MovieLens-100K, all rows of ua.base and ua.test, k = 10, models as in `conf/model`, a seed a repeat.

{markdown_table(header, rows)}

Medians (min–max) of {len(vw)} repeats; a pass is an epoch of `sgd`, a sweep of `als` and `gibbs`.
A pass of VW is what further passes over its binary cache take, and its fit {PASSES} times that: its
start, its text files and its parsing are left out. It learns from nine rows of ten (`holdout`).
Where the number of epochs is chosen on validation rows, *s of fit* is of the fit on all rows with
that number, *s of choosing* of the fit before it. Test rows are evaluated after each epoch,
outside the time; `gibbs` predicts there what a fit of so many sweeps predicts."""
    lines = {f"fm_{solver}": (of[0].seconds, of[0].mse) for solver, of in fits.items()}
    plot = line_plot(
        "speed",
        "Test error against time",
        "seconds of fit",
        "test MSE (clipped)",
        lines | {f"VW, {PASSES} passes": ([np.median(vw)], [vw_mse])},
        level=(f"published FM, {PUBLISHED:.4f}", PUBLISHED),
        yscale="linear",
    )
    return [Section("Against Vowpal Wabbit", text, bars, (plot,))]


def measure_sampler(
    name: str, context: Context
) -> Mapping[int, Sequence[tuple[float, float | None]]]:
    """Return, for each k and repeat, the seconds of our Gibbs sweep and of the other sampler's."""
    theirs = configured(f"peer_{name.lower()}", n_iter=SWEEPS)
    ours, rows = configured("fm_gibbs", n_iter=SWEEPS), rows_of(UA)
    few = Rows(rows.X, rows.y, rows.held_out[:100], rows.truth[:100], rows.scale)
    pairs: dict[int, list[tuple[float, float | None]]] = {k: [] for k in RATIOS[name]}
    for seed in range(context.repeats + 1):  # the first is to warm up
        for k, of in pairs.items():
            for model in (ours, theirs):
                model.set_params(k=k, random_state=seed)
            with Measured(threads=1):
                ours.fit(rows.X, rows.y)
            sweep = float(np.median(np.diff(ours.history_["seconds"])))
            of.append((sweep, watched(theirs, few).epoch))
    return {k: of[1:] for k, of in pairs.items()}


def against_samplers(values: Values) -> list[Section]:
    """Compare the times of a sweep."""
    rows, bars = [], []
    lines: dict[str, tuple[Numbers, Numbers]] = {}
    missing = [of for of in values.values() if isinstance(of, str)]
    for name, of in values.items():
        if isinstance(of, str):
            continue
        times = {int(k): np.array(pairs).T for k, pairs in of.items()}
        for k, (ours, theirs) in times.items():
            ratios = ours / theirs
            rows.append([name, str(k), spread(1e3 * ours), spread(1e3 * theirs), spread(ratios)])
            bars.append(Bar(f"`gibbs`: sweep / {name}'s, k = {k}", ratios, high=RATIOS[name][k]))
        for label, i in (("fm", 0), (name, 1)):
            lines.setdefault(label, (list(times), [np.median(of[i]) for of in times.values()]))
    text = f"""\
ua.base, user and item ids; compiled C++ (libFM: MCMC) with a group for each block, as the harness
runs them. {" ".join(f"Skipped: {reason}." for reason in missing)}

{markdown_table(["sampler", "k", "fm, ms a sweep", "sampler, ms", "ratio"], rows)}

In each repeat both fit at each k, one after the other. A sweep is the median time between sweeps,
of theirs what sweeps beyond the second take, so that files and set-up count for none. Ratios are
within repeats."""
    plot = line_plot("speed_sweep", "One Gibbs sweep on ua.base", "k", "seconds a sweep", lines)
    return [Section("A Gibbs sweep against compiled samplers", text, bars, (plot,))]


def measure_predictions(context: Context) -> Sequence[float]:
    """Return the million rows that are predicted in a second, of random pairs of ids."""
    rows = rows_of(UA)
    model = configured("fm_als", n_iter=2, early_stopping=None).fit(rows.X, rows.y)
    rng = np.random.default_rng(0)
    ids = [Block(b.name, rng.integers(b.n_levels, size=PREDICTED_ROWS), b.n_levels) for b in rows.X]
    X = Design(tuple(ids))
    model.predict(X)
    took = [seconds(lambda: model.predict(X)) for _ in range(context.repeats)]
    return [PREDICTED_ROWS / 1e6 / of for of in took]


def predictions(values: Values) -> list[Section]:
    """Write the speed of predictions."""
    speed = np.array(values["predict"])
    text = f"""\
{PREDICTED_ROWS:,} rows of two random ids, k = 10, the levels of MovieLens-100K: {spread(speed)}
million rows a second."""
    bar = Bar("predict, two ids, k = 10: million rows/s", speed, low=10)
    return [Section("Predictions", text, (bar,))]


def measure_growth(context: Context, work: int = WORK) -> Mapping[str, Mapping[int, list[float]]]:
    """Return seconds a row by features of a row and by k; shorter rows come in larger matrices."""
    rng = derive_rng(0, "speed", "lemma")
    calls = {}
    for kind, size, m, k in (
        *(("features", m, m, K) for m in ACTIVE),
        *(("factors", k, M, k) for k in FACTORS),
    ):
        X = sparse_rows(rng, work // m, m)
        w, V = rng.standard_normal(N_FEATURES), rng.standard_normal((N_FEATURES, k))
        calls[kind, size] = X.shape[0], partial(predict, X, Coefficients(0.0, w, V))
    times: dict[str, dict[int, list[float]]] = {"features": {}, "factors": {}}
    for repeat in range(-1, context.repeats):  # the first is to warm up
        for (kind, size), (n_rows, call) in calls.items():
            took = seconds(call) / n_rows
            times[kind].setdefault(size, []).extend([took] * (repeat >= 0))
    return times


def sparse_rows(rng: np.random.Generator, n: int, m: int) -> sparse.csr_array:
    """Return (n, N_FEATURES), m nonzeros in each row: one in each of m equal ranges of columns."""
    width = N_FEATURES // m
    columns = np.arange(m) * width + rng.integers(width, size=(n, m))
    starts = np.arange(0, n * m + 1, m)
    return sparse.csr_array((rng.standard_normal(n * m), columns.ravel(), starts), (n, N_FEATURES))


def growth(values: Values) -> list[Section]:
    """Write how predictions grow with the features of a row and with k."""
    features, factors = (
        {int(size): np.array(times) for size, times in values["lemma"][kind].items()}
        for kind in ("features", "factors")
    )
    rows = [[str(m), spread(1e6 * t)] for m, t in features.items()]
    by_k = [[str(k), spread(1e6 * t)] for k, t in factors.items()]
    text = f"""\
Rows of a general sparse matrix (CSR, {N_FEATURES:,} columns, real values); microseconds a row
(Rendle 2010, Lemma 3.1). How fits grow with the rows is part of the study `scale`.

{markdown_table(["features of a row", f"FM, k = {K}, predicted"], rows)}

{markdown_table(["k", f"FM, {M} features of a row, predicted"], by_k)}

Slopes are below 1 where a row or a nonzero costs something besides its factors."""
    kinds = {"in features": features, "in k": factors}
    plot = line_plot(
        "speed_growth",
        "Time of a prediction",
        "features of a row, or k",
        "seconds a row",
        {
            f"{kind}, slope {np.median(slopes(t)):.2f}": (list(t), np.median([*t.values()], axis=1))
            for kind, t in kinds.items()
        },
    )
    bars = [
        Bar("predict: log-log slope in features of a row", slopes(features), high=1.05),
        Bar("predict: log-log slope in k", slopes(factors), high=1.05),
    ]
    return [Section(GROWTH, text, bars, (plot,))]


STUDY = Study(
    "speed",
    "How fast",
    "fm against VW, myFM and libFM; predictions; growth with k and features (Lemma 3.1)",
    "Everything on one thread, warm, and what is compared interleaved in one run.",
    (
        Part("Against Vowpal Wabbit", {"vw": measure_vw}, against_vw),
        Part(
            "A Gibbs sweep against compiled samplers",
            {name: partial(measure_sampler, name) for name in RATIOS},
            against_samplers,
        ),
        Part("Predictions", {"predict": measure_predictions}, predictions),
        Part(GROWTH, {"lemma": measure_growth}, growth),
    ),
    repeats=7,
)
