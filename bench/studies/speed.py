"""How fast `fm` is beside its peers, how its time grows, and what the machine allows."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

from baselines import VowpalWabbit
from baselines.vw import command_line
from bench.measure import Measured
from bench.studies import machine, speed_growth, speed_lemma, speed_limits
from bench.studies.fits import (
    FEW_PASSES,
    SOLVERS,
    Fit,
    Rows,
    configured,
    rows_of,
    seconds,
    sweep_seconds,
    watched,
)
from bench.studies.study import Bar, Context, Part, Plot, Section, Study, Values, spread
from bench.tables import MISSING, markdown_table
from fm.design import Block, Design
from fm.model import CHUNK, level_tables

UA = "data=ml100k"
"""All rows of ua.base and ua.test, user and item ids."""
PUBLISHED = 0.9140
"""The article's MSE for its FM."""
PASSES = 20
MYFM_BARS = {8: 0.6, 10: 0.5, 16: 0.6, 32: 0.6, 64: 0.6}
"""k -> our time over myFM's, at most."""
SWEEPS = 20
LIBFM_SWEEPS = (2, 42)
"""What the others take beyond the few is theirs, without files and set-up."""
PREDICTED_ROWS = 4_000_000
BYTES_PER_PREDICTION = 2 * 8 + 8
"""Two levels in, one prediction out: what has to come from memory or go there."""


def measure_vw(context: Context) -> Mapping[str, Any]:
    """Fit our solvers and Vowpal Wabbit by turns: seconds, errors and VW's own error."""
    rows = rows_of(UA)
    models = {solver: configured(f"fm_{solver}") for solver in SOLVERS}
    vw = configured("vw_rank", passes=PASSES)
    vw_mse = rows.mse(clone(vw).fit(rows.X, rows.y).predict(rows.held_out))
    for model in models.values():
        clone(model).set_params(n_iter=2, early_stopping=None).fit(rows.X, rows.y)
    measured: dict[str, Any] = {
        "vw_mse": vw_mse,
        "vw": [],
        "vw_pass": [],
        "fits": {solver: [] for solver in SOLVERS},
        "selection": {solver: [] for solver in SOLVERS},
    }
    with TemporaryDirectory() as folder:
        write_rows(rows, Path(folder, "rows.vw"))
        for seed in range(context.repeats):
            few, most = (vw_seconds(vw, folder, passes) for passes in (FEW_PASSES, PASSES))
            measured["vw"].append(most)
            measured["vw_pass"].append((most - few) / (PASSES - FEW_PASSES))
            for solver, model in models.items():
                settled, took = settle(clone(model).set_params(random_state=seed))
                measured["selection"][solver].append(took)
                measured["fits"][solver].append(watched(settled, rows))
    return measured


def settle(model: BaseEstimator, *overrides: str) -> tuple[BaseEstimator, float]:
    """Return `model` with the best epochs on validation rows, and the seconds of finding them."""
    if model.early_stopping is None:
        return model, 0.0
    rows = rows_of(*(overrides or (UA,)), parts=("train", "validation"))
    with Measured(threads=1):
        model.fit(rows.X, rows.y, validation=(rows.held_out, rows.truth))
    return clone(model).set_params(**model.refit_params_), float(model.history_["seconds"][-1])


def write_rows(rows: Rows, path: Path) -> None:
    """Write the training rows as VW's text."""
    user, item = (np.asarray(block.labels)[block.levels] for block in rows.X)
    np.savetxt(path, np.column_stack([rows.y, user, item]), fmt="%d |u %d |i %d")


def vw_seconds(model: VowpalWabbit, folder: str, passes: int) -> float:
    """Return the seconds of VW's process on rows.vw, its interpreter's start excluded."""
    command = [*command_line(model.arguments), f"--bit_precision={model.bits}"]
    command += [f"--passes={passes}", "--data=rows.vw", "--cache_file=cache", "--kill_cache"]
    command += ["--final_regressor=model", *([] if model.holdout else ["--holdout_off"])]
    _, start_up = _vw(["--version"], folder)
    output, took = _vw(command, folder)
    used = re.search(r"passes used = (\d+)", output)
    if used is None or int(used[1]) != passes:
        raise RuntimeError(f"Vowpal Wabbit was to make {passes} passes; its output:\n{output}")
    return took - start_up


def _vw(arguments: list[str], folder: str) -> tuple[str, float]:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "vowpalwabbit", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr + done.stdout, time.perf_counter() - began


def against_vw(values: Values) -> list[Section]:
    """Compare times to the published error, and of passes."""
    found = values["vw"]
    vw, vw_pass = np.array(found["vw"]), np.array(found["vw_pass"])
    fits = {solver: [Fit(**fit) for fit in of] for solver, of in found["fits"].items()}
    epoch, target, end, mse = (
        {solver: np.array([of(fit) for fit in fits[solver]]) for solver in fits}
        for of in (
            lambda fit: fit.epoch,
            lambda fit: fit.reached(PUBLISHED),
            lambda fit: fit.fit,
            lambda fit: fit.mse[-1],
        )
    )
    rows = [["`vw_rank`", spread(1e3 * vw_pass), "1", MISSING, MISSING, spread(vw), "1"]]
    rows[0] += [f"{found['vw_mse']:.4f}", MISSING]
    for solver in fits:
        chosen = found["selection"][solver]
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
VW is timed as a process, from text file to model, without the start of its interpreter; its pass
is what {PASSES - FEW_PASSES} further passes over its binary cache take. It may parse in a second
thread, and learns from nine rows of ten (`holdout`). Where the number of epochs is chosen on
validation rows, *s of fit* is of the fit on all rows with that number, *s of choosing* of the fit
before it. Test rows are evaluated after each epoch, outside the time; `gibbs` predicts there what
a fit of so many sweeps predicts."""
    lines = {f"fm_{solver}": (of[0].seconds, of[0].mse) for solver, of in fits.items()}
    plot = Plot(
        "speed",
        "Test error against time",
        "seconds of fit",
        "test MSE (clipped)",
        lines | {f"VW, {PASSES} passes": ([np.median(vw)], [found["vw_mse"]])},
        level=(f"published FM, {PUBLISHED:.4f}", PUBLISHED),
        yscale="linear",
    )
    return [Section("Against Vowpal Wabbit", text, bars, (plot,))]


def measure_myfm(context: Context) -> Mapping[int, Sequence[tuple[float, float | None]]]:
    """Return, for each k and repeat, the seconds of our Gibbs sweep and of myFM's."""
    theirs = configured("peer_myfm", n_iter=SWEEPS)
    ours, rows = configured("fm_gibbs", n_iter=SWEEPS), rows_of(UA)
    few = Rows(rows.X, rows.y, rows.held_out[:100], rows.truth[:100], rows.scale)
    pairs: dict[int, list[tuple[float, float | None]]] = {k: [] for k in MYFM_BARS}
    for seed in range(context.repeats + 1):  # the first is to warm up
        for k, of in pairs.items():
            for model in (ours, theirs):
                model.set_params(k=k, random_state=seed)
            of.append((sweep_seconds(ours, rows), watched(theirs, few).epoch))
    return {k: of[1:] for k, of in pairs.items()}


def against_myfm(values: Values) -> list[Section]:
    """Compare the times of a sweep."""
    times = {int(k): np.array(of).T for k, of in values["myfm"].items()}
    rows = [
        [str(k), spread(1e3 * ours), spread(1e3 * theirs), spread(ours / theirs)]
        for k, (ours, theirs) in times.items()
    ]
    text = f"""\
ua.base, user and item ids. myFM (compiled C++), the same matrix with a group for each block.

{markdown_table(["k", "fm, ms a sweep", "myFM, ms a sweep", "ratio"], rows)}

In each repeat both fit {SWEEPS} sweeps at each k, one after the other; a sweep is the median time
between sweeps, so that set-up counts for neither. Ratios are within repeats."""
    lines = {
        name: (list(times), [np.median(of[i]) for of in times.values()])
        for i, name in enumerate(("fm", "myFM"))
    }
    plot = Plot("speed_sweep", "One Gibbs sweep on ua.base", "k", "seconds a sweep", lines)
    bars = [
        Bar(f"`gibbs`: sweep / myFM's, k = {k}", ours / theirs, high=MYFM_BARS[k])
        for k, (ours, theirs) in times.items()
    ]
    return [Section("A Gibbs sweep against myFM", text, bars, (plot,))]


def measure_libfm(context: Context) -> Sequence[tuple[float, float]]:
    """Return, for each repeat, the seconds of our Gibbs sweep and of libFM's."""
    few, many = LIBFM_SWEEPS
    libfm = configured("peer_libfm")
    ours, rows = configured("fm_gibbs", n_iter=many), rows_of(UA)
    pairs = []
    for seed in range(context.repeats + 1):  # the first is to warm up
        took = [
            seconds(partial(model.fit, rows.X, rows.y))
            for model in (libfm.set_params(n_iter=n, random_state=seed) for n in (few, many))
        ]
        sweep = sweep_seconds(ours.set_params(random_state=seed), rows)
        pairs.append((sweep, (took[1] - took[0]) / (many - few)))
    return pairs[1:]


def against_libfm(values: Values) -> list[Section]:
    """Compare the times of a sweep."""
    ours, theirs = np.array(values["libfm"]).T
    row = [spread(1e3 * ours), spread(1e3 * theirs), spread(ours / theirs)]
    text = f"""\
ua.base, user and item ids, k = 10. libFM (compiled C++), MCMC, with a group for each block, as
the harness runs it.

{markdown_table(["fm, ms a sweep", "libFM, ms a sweep", "ratio"], [row], left=0)}

Of libFM, what sweeps {LIBFM_SWEEPS[0] + 1} to {LIBFM_SWEEPS[1]} take, so that reading and writing
files count for none; of `fm`, the median time between sweeps. Ratios are within repeats."""
    bar = Bar("`gibbs`: sweep / libFM's, k = 10", ours / theirs, high=1)
    return [Section("A Gibbs sweep against libFM", text, (bar,))]


def measure_predictions(context: Context) -> Mapping[str, Any]:
    """Return the seconds of predicting random pairs of ids, and the least that two limits allow."""
    rows = rows_of(UA)
    model = configured("fm_als", n_iter=2, early_stopping=None).fit(rows.X, rows.y)
    rng = np.random.default_rng(0)
    X = Design(
        tuple(
            Block(b.name, rng.integers(b.n_levels, size=PREDICTED_ROWS), b.n_levels) for b in rows.X
        )
    )
    tables = level_tables(X, model.coefficients_)
    model.predict(X)
    return {
        "rows": PREDICTED_ROWS,
        "seconds": [seconds(lambda: model.predict(X)) for _ in range(context.repeats)],
        "memory": PREDICTED_ROWS * BYTES_PER_PREDICTION / machine.bandwidth(machine.IN_MEMORY),
        "look-up": machine.gather_seconds(
            tables, [b.levels for b in X], CHUNK // tables[0].shape[1]
        ),
    }


def predictions(values: Values) -> list[Section]:
    """Compare the time of predictions with its limits."""
    found = values["predict"]
    took, limits = np.array(found["seconds"]), {name: found[name] for name in ("memory", "look-up")}
    speed = found["rows"] / took / 1e6
    rows = [["`predict`", spread(speed), "1"]]
    for name, least in limits.items():
        rows.append([f"{name} alone", f"{found['rows'] / least / 1e6:.4g}", spread(took / least)])
    text = f"""\
{found["rows"]:,} rows of two random ids, k = 10, the levels of MovieLens-100K.

{markdown_table(["", "million rows/s", "times as long"], rows)}

*Memory alone* is {BYTES_PER_PREDICTION} bytes a row at the speed of a copy in memory; *look-up
alone* takes a row of each of the two tables of factors, which lie in cache, and does nothing with
it. The limit that binds is {max(limits, key=limits.__getitem__)}."""
    bar = Bar("predict, two ids, k = 10: million rows/s", speed, low=10)
    return [Section("Predictions", text, (bar,))]


STUDY = Study(
    "speed",
    "How fast",
    "fm against VW, myFM and libFM; predictions; growth; Lemma 3.1; the machine's limits",
    "Everything on one thread, warm, and what is compared interleaved in one run.",
    (
        Part("Against Vowpal Wabbit", {"vw": measure_vw}, against_vw),
        Part("A Gibbs sweep against myFM", {"myfm": measure_myfm}, against_myfm),
        Part("A Gibbs sweep against libFM", {"libfm": measure_libfm}, against_libfm),
        Part("Predictions", {"predict": measure_predictions}, predictions),
        speed_growth.PART,
        speed_lemma.PART,
        speed_limits.PART,
    ),
    repeats=7,
)
