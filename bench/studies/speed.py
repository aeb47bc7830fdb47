"""How fast `fm` is beside its peers, and how its time grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

from bench.measure import Measured
from bench.studies import growth
from bench.studies.fits import (
    SOLVERS,
    Fit,
    Rows,
    configured,
    rows_of,
    seconds,
    sweep_seconds,
    watched,
)
from bench.studies.study import (
    Bar,
    Context,
    Numbers,
    Part,
    Section,
    Study,
    Values,
    line_plot,
    spread,
)
from bench.tables import MISSING, markdown_table
from fm.design import Block, Design

UA = "data=ml100k"
"""All rows of ua.base and ua.test, user and item ids."""
PUBLISHED = 0.9140
"""The article's MSE for its FM."""
PASSES = 20
RATIOS = {"myFM": {8: 0.6, 10: 0.5, 16: 0.6, 32: 0.6, 64: 0.6}, "libFM": {10: 1.0}}
"""Sampler -> k -> our time of a sweep over its, at most."""
SWEEPS = 40
PREDICTED_ROWS = 4_000_000


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
    measured = values["vw"]
    fits = {name: [Fit(**fit) for fit in of] for name, of in measured["fits"].items()}
    epoch, target, end, mse = (
        {name: np.array([of(fit) for fit in fits[name]]) for name in fits}
        for of in (
            lambda fit: fit.epoch,
            lambda fit: fit.reached(PUBLISHED),
            lambda fit: fit.fit,
            lambda fit: fit.mse[-1],
        )
    )
    vw_pass = epoch.pop("vw")
    vw = PASSES * vw_pass
    vw_mse = fits.pop("vw")[0].mse[-1]
    rows = [["`vw_rank`", spread(1e3 * vw_pass), "1", MISSING, MISSING, spread(vw), "1"]]
    rows[0] += [f"{vw_mse:.4f}", MISSING]
    for solver in fits:
        chosen = measured["selection"][solver]
        times = [1e3 * epoch[solver], epoch[solver] / vw_pass, target[solver], target[solver] / vw]
        times += [end[solver], end[solver] / vw, mse[solver]]
        rows.append([f"`fm_{solver}`", *map(spread, times), spread(chosen) if any(chosen) else "–"])
    header = ["model", "ms a pass", "ratio", f"s to {PUBLISHED:.4f}", "ratio to VW's fit"]
    header += ["s of fit", "ratio", "test MSE", "s of choosing"]
    passes = f"VW's {PASSES} passes"
    bars = (
        Bar("`sgd`: epoch / VW pass", epoch["sgd"] / vw_pass, high=1 / 20),
        Bar(f"`sgd`: time to {PUBLISHED:.4f} / {passes}", target["sgd"] / vw, high=1 / 40),
        Bar(f"`als`: time to {PUBLISHED:.4f} / {passes}", target["als"] / vw, high=1 / 100),
        Bar(f"`als`: fit at its best on validation / {passes}", end["als"] / vw, high=1 / 30),
        Bar("`als`: test MSE at its best on validation", mse["als"], high=0.865),
        Bar(f"`gibbs`: seconds of fit to {PUBLISHED:.4f}", target["gibbs"], high=0.15),
        Bar("`gibbs`: test MSE after 200 sweeps", mse["gibbs"], high=0.836),
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
            of.append((sweep_seconds(ours, rows), watched(theirs, few).epoch))
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
    X = Design(
        tuple(
            Block(b.name, rng.integers(b.n_levels, size=PREDICTED_ROWS), b.n_levels) for b in rows.X
        )
    )
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
        growth.PART,
    ),
    repeats=7,
)
