"""Against Vowpal Wabbit's `--rank 10`, on the whole of ua.test."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from baselines import VowpalWabbit
from baselines.vw import command_line
from bench.measure import Measured
from bench.metrics import squared_errors
from bench.studies.speed.bars import Bar, spread
from bench.studies.speed.page import Plot, Section
from bench.studies.speed.setting import SOLVERS, Setting, configured, setting
from bench.tables import markdown_table
from fm.validation import resolve_hyperparameters

PUBLISHED = 0.9140
"""The article's MSE for its FM."""
PASSES, FEW_PASSES = 20, 2


@dataclass(frozen=True, eq=False)
class Curve:
    """Fit time (evaluation excluded) and clipped test MSE of a fit that had ended after each epoch."""

    seconds: NDArray[np.float64]
    mse: NDArray[np.float64]

    @property
    def epoch(self) -> float:
        """Seconds of an epoch, set-up excluded."""
        return float(np.median(np.diff(self.seconds)))

    @property
    def to_target(self) -> float:
        """Seconds until the published error is reached; inf if it is not."""
        reached = self.seconds[self.mse <= PUBLISHED]
        return float(reached[0]) if len(reached) else np.inf


@dataclass
class Times:
    """One entry a repeat. VW: seconds of the process, start-up of its interpreter excluded."""

    vw: list[float] = field(default_factory=list)
    vw_pass: list[float] = field(default_factory=list)
    curves: dict[str, list[Curve]] = field(
        default_factory=lambda: {solver: [] for solver in SOLVERS}
    )
    selection: dict[str, list[float]] = field(
        default_factory=lambda: {solver: [] for solver in SOLVERS}
    )
    """Seconds of the fit that chose the number of epochs on validation rows; 0 where nothing is chosen."""


def measure(repeats: int) -> tuple[Times, float]:
    """The times, and VW's test MSE."""
    data = setting()
    models = {solver: configured(f"fm_{solver}") for solver in SOLVERS}
    vw = configured("vw_rank", passes=PASSES)
    vw_mse = _mse(data, clone(vw).fit(*data.development).predict(data.X[data.split.test]))
    for model in models.values():
        clone(model).set_params(n_iter=2, early_stopping=None).fit(*data.development)
    times = Times()
    with TemporaryDirectory() as folder:
        _write_rows(data, Path(folder, "rows.vw"))
        for repeat in range(repeats):
            few, all_passes = (vw_seconds(vw, folder, passes) for passes in (FEW_PASSES, PASSES))
            times.vw.append(all_passes)
            times.vw_pass.append((all_passes - few) / (PASSES - FEW_PASSES))
            for solver, model in models.items():
                settled, seconds = settle(clone(model).set_params(random_state=repeat), data)
                times.selection[solver].append(seconds)
                times.curves[solver].append(curve(settled, data))
    return times, vw_mse


def settle(model: BaseEstimator, data: Setting) -> tuple[BaseEstimator, float]:
    """`model` with the number of epochs that is best on validation rows, and the seconds of finding it."""
    if model.early_stopping is None:
        return model, 0.0
    train, validation = (
        (data.X[rows], data.y[rows]) for rows in (data.split.train, data.split.validation)
    )
    with Measured(threads=1):
        model.fit(*train, validation=validation)
    return clone(model).set_params(**model.refit_params_), float(model.history_["seconds"][-1])


def curve(model: BaseEstimator, data: Setting) -> Curve:
    """Fits on all development rows; the test rows are read after each epoch and decide nothing."""
    X_test = data.X[data.split.test]
    predictions: list[NDArray] = []
    model = clone(model).set_params(
        callback=lambda _, fitted: predictions.append(fitted.predict(X_test))
    )
    with Measured(threads=1):
        model.fit(*data.development)
    if model.solver == "gibbs":
        predictions = averages(model, np.array(predictions))
    return Curve(model.history_["seconds"], np.array([_mse(data, p) for p in predictions]))


def averages(model: BaseEstimator, draws: NDArray) -> list[NDArray]:
    """From what each sweep's draw predicts, what `model` predicts if it had ended after each sweep."""
    total = np.vstack([np.zeros(draws.shape[1]), np.cumsum(draws, axis=0)])
    ends = range(1, len(draws) + 1)
    burn_in = [
        resolve_hyperparameters({**model.get_params(), "solver": model.solver, "n_iter": n})[
            "burn_in"
        ]
        for n in ends
    ]
    return [(total[n] - total[b]) / (n - b) for n, b in zip(ends, burn_in, strict=True)]


def vw_seconds(model: VowpalWabbit, folder: str, passes: int) -> float:
    """Seconds of VW's process over `folder`/rows.vw with the arguments of `model`."""
    command = [
        *command_line(model.arguments),
        f"--bit_precision={model.bits}",
        f"--passes={passes}",
    ]
    command += ["--data=rows.vw", "--cache_file=cache", "--kill_cache", "--final_regressor=model"]
    command += [] if model.holdout else ["--holdout_off"]
    _, start_up = _vw(["--version"], folder)
    said, seconds = _vw(command, folder)
    used = re.search(r"passes used = (\d+)", said)
    if used is None or int(used[1]) != passes:
        raise RuntimeError(f"Vowpal Wabbit was to make {passes} passes; it said:\n{said}")
    return seconds - start_up


def _vw(arguments: list[str], folder: str) -> tuple[str, float]:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "vowpalwabbit", *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr, time.perf_counter() - began


def _write_rows(data: Setting, path: Path) -> None:
    X, y = data.development
    user, item = (block.labels[block.levels] for block in X)
    np.savetxt(path, np.column_stack([y, user, item]), fmt="%d |u %d |i %d")


def _mse(data: Setting, prediction: NDArray) -> float:
    return float(squared_errors(data.y[data.split.test], prediction, data.scale).mean())


def section(times: Times, vw_mse: float) -> Section:
    vw, vw_pass = np.array(times.vw), np.array(times.vw_pass)
    epoch, target, end, mse = ({} for _ in range(4))
    for solver, curves in times.curves.items():
        epoch[solver] = np.array([c.epoch for c in curves])
        target[solver] = np.array([c.to_target for c in curves])
        end[solver] = np.array([c.seconds[-1] for c in curves])
        mse[solver] = np.array([c.mse[-1] for c in curves])
    rows = [
        ["`vw_rank`", spread(1e3 * vw_pass), "1", "–", "–", spread(vw), "1", f"{vw_mse:.4f}", "–"]
    ]
    for solver in times.curves:
        chosen = times.selection[solver]
        rows.append(
            [
                f"`fm_{solver}`",
                spread(1e3 * epoch[solver]),
                spread(epoch[solver] / vw_pass),
                spread(target[solver]),
                spread(target[solver] / vw),
                spread(end[solver]),
                spread(end[solver] / vw),
                spread(mse[solver]),
                spread(chosen) if any(chosen) else "–",
            ]
        )
    header = [
        "model",
        "ms a pass",
        "ratio",
        f"s to {PUBLISHED:.4f}",
        "ratio to VW's fit",
        "s of fit",
        "ratio",
    ]
    bars = (
        Bar("`sgd`: epoch / VW pass", epoch["sgd"] / vw_pass, high=1 / 20),
        Bar(
            f"`sgd`: time to {PUBLISHED:.4f} / VW's {PASSES} passes",
            target["sgd"] / vw,
            high=1 / 40,
        ),
        Bar(
            f"`als`: time to {PUBLISHED:.4f} / VW's {PASSES} passes",
            target["als"] / vw,
            high=1 / 100,
        ),
        Bar(
            f"`als`: fit at its best on validation / VW's {PASSES} passes",
            end["als"] / vw,
            high=1 / 30,
        ),
        Bar("`als`: test MSE at its best on validation", mse["als"], high=0.865),
        Bar(f"`gibbs`: seconds of fit to {PUBLISHED:.4f}", target["gibbs"], high=0.15),
        Bar("`gibbs`: test MSE after 200 sweeps", mse["gibbs"], high=0.836),
    )
    text = f"""\
MovieLens-100K, all rows of ua.base and ua.test, k = 10, models as in `conf/model`, a seed a repeat.

{markdown_table([*header, "test MSE", "s of choosing"], rows)}

Medians (min–max) of {len(vw)} repeats; a pass is an epoch of `sgd`, a sweep of `als` and `gibbs`. VW is timed as a
process, from text file to model, without the start of its interpreter; its pass is what {PASSES - FEW_PASSES} further
passes over its binary cache take. It may parse in a second thread, and learns from nine rows of ten (`holdout`).
Where the number of epochs is chosen on validation rows, *s of fit* is of the fit on all rows with that number, *s of
choosing* of the fit before it. Test rows are looked at after each epoch, outside the time; `gibbs` predicts there
what a fit of so many sweeps predicts."""
    plot = Plot(
        "speed",
        "Test error against time",
        "seconds of fit",
        "test MSE (clipped)",
        {
            f"fm_{solver}": (curves[0].seconds, curves[0].mse)
            for solver, curves in times.curves.items()
        }
        | {f"VW, {PASSES} passes": (np.array([np.median(vw)]), np.array([vw_mse]))},
        level=(f"published FM, {PUBLISHED:.4f}", PUBLISHED),
        yscale="linear",
    )
    return Section("Against Vowpal Wabbit", text, bars, (plot,))
