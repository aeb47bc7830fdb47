"""Test error against sweeps and against seconds, and the time of a sweep, with all features: ours and myFM's."""

from __future__ import annotations

import io
import time
from contextlib import redirect_stderr
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from bench.measure import Measured
from bench.studies.speed.bars import Bar, spread
from bench.studies.speed.page import Plot, Section
from bench.studies.speed.setting import Setting, configured, setting
from bench.tables import markdown_table

TITLE = "How fast, with all features?"
TARGET = 0.8817
"""RMSE on u1 that myFM reaches with these features."""
SHARED = "[ids,day,side,implicit,implicit_items]"
"""What myFM can be given too: sessions have no factors, which it doesn't know."""
OURS, WITH_SESSIONS, THEIRS = "fm, the same features", "fm, sessions too", "myFM"


@dataclass(frozen=True)
class Course:
    """Seconds since the fit began and test RMSE of the mean prediction so far, after each sweep."""

    seconds: NDArray[np.float64]
    rmse: NDArray[np.float64]

    @property
    def sweep(self) -> float:
        """Median seconds between sweeps."""
        return float(np.median(np.diff(self.seconds)))

    @property
    def to_target(self) -> float:
        """Seconds to the first mean at most `TARGET`, infinite if there was none."""
        reached = np.flatnonzero(self.rmse <= TARGET)
        return float(self.seconds[reached[0]]) if len(reached) else np.inf


def measure(repeats: int, sweeps: int) -> dict[str, list[Course]]:
    """Ordered probit, k = 10, split u1: one after the other in each repeat. Without myFM, ours alone."""
    data = {
        OURS: setting("data=ml100k", "split=u1", f"features.names={SHARED}"),
        WITH_SESSIONS: setting("data=ml100k", "split=u1", "features=all"),
    }
    model = configured("fm_ordinal", n_iter=sweeps, k=10)
    courses: dict[str, list[Course]] = {name: [] for name in (OURS, WITH_SESSIONS, THEIRS)}
    for seed in range(repeats):
        for name, given in data.items():
            courses[name].append(ours(model.set_params(random_state=seed), given))
        try:
            courses[THEIRS].append(theirs(data[OURS], sweeps, seed))
        except ImportError:
            continue
    return {name: of for name, of in courses.items() if of}


def ours(model: BaseEstimator, data: Setting) -> Course:
    """Test rows are looked at outside the time."""
    test = data.split.test
    with Measured(threads=1):
        model.fit(*data.development, validation=(data.X[test], data.y[test]))
    return Course(model.history_["seconds"], np.sqrt(model.history_["validation_mse"]))


def theirs(data: Setting, sweeps: int, seed: int) -> Course:
    """By myFM's own callback for test rows, its time taken off. ImportError where myFM is not installed."""
    from myfm import MyFMOrderedProbit
    from myfm.utils.callbacks import OrderedProbitCallback

    from baselines.peers.myfm import group_shapes, relations

    X, y = data.development
    relation = relations(data.X[data.split.test])
    truth = data.y[data.split.test] - 1
    watch = OrderedProbitCallback(sweeps, None, truth, 5, relation)
    ends, errors, paused = [], [], [0.0]

    def callback(*state: object) -> tuple[bool, None]:
        stopped = time.perf_counter()
        ends.append(stopped - began - paused[0])
        watch(*state)
        mean = watch.predictions / watch.n_samples
        errors.append(np.mean((mean @ np.arange(5) - truth) ** 2))
        paused[0] += time.perf_counter() - stopped
        return False, None

    with redirect_stderr(io.StringIO()), Measured(threads=1):  # its progress bar
        began = time.perf_counter()
        MyFMOrderedProbit(rank=10, random_seed=seed).fit(
            None,
            y.astype(int) - 1,
            X_rel=relations(X),
            n_iter=sweeps,
            n_kept_samples=1,
            group_shapes=group_shapes(X),
            callback=callback,
            callback_default_freq=1,
        )
    return Course(np.array(ends), np.sqrt(errors))


def section(courses: dict[str, list[Course]]) -> Section:
    rows, bars = [], []
    for name, of in courses.items():
        sweep = 1e3 * np.array([c.sweep for c in of])
        reached = np.array([c.to_target for c in of])
        last = np.array([c.rmse[-1] for c in of])
        rows.append([name, spread(sweep), spread(reached), spread(last)])
    if THEIRS in courses:
        for name, what, high in (
            (OURS, "sweep / myFM's, all features but sessions, k = 10", 0.6),
            (WITH_SESSIONS, f"time to RMSE {TARGET} on u1 / myFM's, sessions too", 1 / 3),
        ):
            measure = "sweep" if name == OURS else "to_target"
            pairs = zip(courses[name], courses[THEIRS], strict=True)
            ratios = np.array([getattr(a, measure) / getattr(b, measure) for a, b in pairs])
            bars.append(Bar(f"`fm_ordinal`: {what}", ratios, high=high))
    n, sweeps = len(courses[OURS]), len(courses[OURS][0].rmse)
    header = [
        "ordered probit, k = 10, u1",
        "ms a sweep",
        f"s to RMSE {TARGET}",
        f"RMSE after {sweeps} sweeps",
    ]
    text = f"""\
{markdown_table(header, rows)}

Medians (min–max) of {n} repeats, interleaved, one thread. The error is that of the posterior mean so far, all draws
but our first two, all of myFM's; test rows are looked at after each sweep, outside the time, and decide nothing."""
    lines = [
        {
            name: (x, np.median([c.rmse for c in of], axis=0)[2:])
            for name, of in courses.items()
            for x in [np.arange(3, sweeps + 1) if by == "sweeps" else _median_seconds(of)[2:]]
        }
        for by in ("sweeps", "seconds")
    ]
    level = (f"RMSE {TARGET}", TARGET)
    plots = [
        Plot(
            f"state_of_the_art_{by}",
            f"How good after so many {by}? (u1)",
            by,
            "test RMSE",
            drawn,
            level,
            "linear",
        )
        for by, drawn in zip(("sweeps", "seconds"), lines, strict=True)
    ]
    return Section(TITLE, text, tuple(bars), tuple(plots))


def _median_seconds(courses: list[Course]) -> NDArray[np.float64]:
    return np.median([c.seconds for c in courses], axis=0)
