"""FMs on sparse features of many shapes, beside a tuned linear model and myFM."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from bench.measure import Measured
from bench.studies.equal_time import PEERS_PART
from bench.studies.growth import GROWTH_PART
from bench.studies.shapes import (
    SHAPES,
    TEST,
    Problem,
    bags,
    estimator,
    loss_of,
    one_hot,
    read_frappe,
)
from bench.studies.study import Bar, Context, Part, Section, Study, Values, mean_std, spread
from bench.tables import markdown_table
from fm import FMRegressor

SWEEPS = 30
"""Of Gibbs sampling beside myFM."""
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Penalties of the linear model, of which one is chosen on a fifth of the training rows."""
SOLVERS = ("gibbs", "als", "sgd")
DEFAULTS = ", gibbs"
"""Follows the name of the shape in that of a measurement of Gibbs sampling's defaults."""


STARTS: Mapping[str, tuple[Callable[[], Problem], Mapping[int, float]]] = {
    "first sweeps, 20 fields": (partial(one_hot, 20), {20: 0.551}),
    "first sweeps, text": (partial(bags, 50_000, 100, True), {30: 0.588}),
    "first sweeps, Frappe": (read_frappe, {20: 0.205, 40: 0.185}),
    "first sweeps, Frappe as a matrix": (partial(read_frappe, flat=True), {20: 0.205, 40: 0.185}),
}
"""Name -> what has the rows, and sweeps of Gibbs sampling -> log loss after them at most."""


def measure_shape(name: str, context: Context) -> Mapping[str, Any]:
    """Return losses of all models, CPU seconds, and those of a sweep by turns with myFM.

    Gibbs sampling and myFM take `SWEEPS` sweeps.
    """
    problem = SHAPES[name][0]()
    loss = partial(loss_of, *problem.test)
    found: dict[str, Any] = {
        "shape": list(problem.X.shape),
        "classes": problem.of_classes,
        "linear": loss(_linear(problem)),
    }
    for model in (*SOLVERS, "myfm"):
        found[model] = {"loss": [], "seconds": []}
    found["sweep"], found["peer_sweep"] = [], []
    peer = _peer()
    for seed in range(context.repeats):
        at: list[float] = []
        gibbs = {"n_iter": SWEEPS, "callback": lambda *_, at=at: at.append(time.process_time())}
        for solver in SOLVERS:
            given = gibbs if solver == "gibbs" else {}
            model = estimator(problem, solver=solver, random_state=seed, **given)
            with Measured(threads=1) as cost, warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(*problem.train)
            found[solver]["loss"].append(loss(model))
            found[solver]["seconds"].append(cost.cpu_seconds)
        found["sweep"].append(np.diff(at).mean())
        if peer is not None:
            one, _ = _time_peer(peer, problem, 1, seed)
            seconds, model = _time_peer(peer, problem, SWEEPS, seed)
            found["myfm"]["loss"].append(loss(model))
            found["myfm"]["seconds"].append(seconds)
            found["peer_sweep"].append((seconds - one) / (SWEEPS - 1))
    return found


def _peer() -> Any:
    """Return the module myfm, or None where it is not installed."""
    try:
        import myfm
    except ImportError:
        return None
    return myfm


def _time_peer(peer: Any, problem: Problem, n_iter: int, seed: int) -> tuple:
    kind = peer.MyFMClassifier if problem.of_classes else peer.MyFMRegressor
    model = kind(rank=problem.k, random_seed=seed)
    X, y = problem.train
    X = sparse.csr_matrix(X)
    with Measured(threads=1) as cost, redirect_stderr(io.StringIO()):  # its progress bar
        model.fit(X, y, n_iter=n_iter, group_shapes=problem.groups)
    return cost.cpu_seconds, model


def _linear(problem: Problem) -> LogisticRegression | Ridge:
    """Fit the linear model to the training rows, its penalty chosen on the last fifth of them."""

    def fitted(strength: float, n: int) -> LogisticRegression | Ridge:
        model = (
            LogisticRegression(C=1 / strength, max_iter=200)
            if problem.of_classes
            else Ridge(strength, solver="lsqr")
        )
        return model.fit(X[:n], y[:n])

    X, y = problem.train
    part = round(0.8 * len(y))
    losses = [loss_of(X[part:], y[part:], fitted(strength, part)) for strength in STRENGTHS]
    return fitted(STRENGTHS[int(np.argmin(losses))], len(y))


def measure_default(name: str, context: Context) -> Mapping[str, Any]:
    """Return losses and CPU seconds of Gibbs sampling with its defaults, and the linear loss."""
    problem = SHAPES[name][0]()
    losses, seconds = [], []
    for seed in range(context.repeats):
        model = estimator(problem, random_state=seed)
        with Measured(threads=1) as cost:
            model.fit(*problem.train)
        losses.append(loss_of(*problem.test, model))
        seconds.append(cost.cpu_seconds)
    known = {key: context.values[name][key] for key in ("classes", "linear")}
    return known | {"gibbs": {"loss": losses, "seconds": seconds}}


def measure_start(name: str, context: Context) -> Mapping[int, list[float]]:
    """Return sweeps -> log losses after so many of them."""
    draw, bars = STARTS[name]
    problem = draw()

    def loss(n_iter: int, seed: int) -> float:
        model = estimator(problem, n_iter=n_iter, random_state=seed)
        return loss_of(*problem.test, model.fit(*problem.train))

    return {n_iter: [loss(n_iter, seed) for seed in range(context.repeats)] for n_iter in bars}


def measure_units(context: Context) -> Mapping[str, list[float]]:
    """Return the largest change of R^2 of each solver when columns or y come in other units."""
    changes: dict[str, list[float]] = {solver: [] for solver in SOLVERS}
    for seed in range(context.repeats):
        rng = np.random.default_rng(seed)
        X, V = rng.standard_normal((2000, 10)), rng.normal(0, 0.4, (10, 2))
        f = X @ rng.standard_normal(10)
        f += (np.sum((X @ V) ** 2, axis=1) - X**2 @ np.sum(V**2, axis=1)) / 2
        y = f + rng.standard_normal(2000)
        others = [(X * 10.0 ** rng.uniform(-3, 3, 10), y), (X / 1e3, y), (X * 1e3, y)]
        others += [(X, y / 1e3), (X, y * 1e3)]
        for solver in SOLVERS:
            n_iter = SWEEPS if solver == "gibbs" else None
            model = FMRegressor(k=2, solver=solver, n_iter=n_iter, random_state=seed)
            first, *rest = (
                model.fit(A[:1000], b[:1000]).score(A[1000:], b[1000:])
                for A, b in [(X, y), *others]
            )
            changes[solver].append(max(abs(r - first) for r in rest))
    return changes


def _behind_linear(name: str, solver: str, found: Mapping[str, Any]) -> Bar:
    """Return the bar of a solver's loss above that of the linear model."""
    behind = np.array(found[solver]["loss"]) - found["linear"]
    if found["classes"]:
        return Bar(f"{name}, {solver}: log loss above the linear model's", behind, high=0.005)
    share = behind / found["linear"]
    return Bar(f"{name}, {solver}: share of RMSE above the linear model's", share, high=0.01)


def shapes_section(values: Values) -> list[Section]:
    """Write the table of losses and that of sweeps."""
    losses, sweeps, bars = [], [], []
    for name, found in values.items():
        models = {s: found[s]["loss"] for s in (*SOLVERS, "myfm")}
        cells = [mean_std(of) if len(of) else "–" for of in models.values()]
        losses.append([name, f"{found['linear']:.4f}", *cells])
        bars += [_behind_linear(name, solver, found) for solver in SOLVERS if solver != "gibbs"]
        seconds = [spread(found[s]["seconds"]) for s in SOLVERS]
        ratio: Any = "–"
        if found["peer_sweep"]:
            of_peer = np.array(found["sweep"]) / found["peer_sweep"]
            bars.append(Bar(f"{name}: Gibbs sweep over myFM's", of_peer, high=SHAPES[name][1]))
            ratio = spread(of_peer)
        sweeps.append([name, spread(1e3 * np.array(found["sweep"])), ratio, *seconds])
    header = ["rows", "linear, tuned", *(f"`{s}`" for s in SOLVERS), "myFM"]
    text = markdown_table(header, losses)
    times = markdown_table(
        ["rows", "Gibbs sweep, ms", "over myFM's", *(f"`{s}`, s" for s in SOLVERS)], sweeps
    )
    n_rows = " or ".join(f"{n:,}" for n in sorted({found["shape"][0] for found in values.values()}))
    about = (
        f"{n_rows} rows of each shape. Log loss; RMSE of the real target. "
        f"`gibbs` and myFM have taken {SWEEPS} sweeps."
    )
    return [
        Section("Loss on test rows", f"{about}\n\n{text}", bars),
        Section("CPU time", f"Of a sweep, and of whole fits.\n\n{times}"),
    ]


def defaults_section(values: Values) -> list[Section]:
    """Write the losses and times of Gibbs sampling with its defaults."""
    shown = {name.removesuffix(DEFAULTS): found for name, found in values.items()}
    rows = [
        [name, mean_std(found["gibbs"]["loss"]), spread(found["gibbs"]["seconds"])]
        for name, found in shown.items()
    ]
    text = markdown_table(["rows", "`gibbs`", "CPU seconds"], rows)
    bars = [_behind_linear(name, "gibbs", found) for name, found in shown.items()]
    return [Section("Gibbs sampling with its defaults", text, bars)]


def starts_section(values: Values) -> list[Section]:
    """Write the losses of short chains."""
    bars = [
        Bar(f"{name}: log loss after {sweeps} sweeps", np.array(found[str(sweeps)]), high=most)
        for name, found in values.items()
        if not isinstance(found, str)
        for sweeps, most in STARTS[name][1].items()
    ]
    skipped = "".join(f" {n}: {why}." for n, why in values.items() if isinstance(why, str))
    text = "Log loss of short chains of `gibbs` on test rows is in the table of bars."
    return [Section("Gibbs sampling forgets its start", text + skipped, bars)]


def units_section(values: Values) -> list[Section]:
    """Write how far R^2 follows the units of columns and of y."""
    (changes,) = values.values()
    bars = [
        Bar(f"{s}: change of R² with the units", np.array(of), high=0.01)
        for s, of in changes.items()
    ]
    text = (
        "Columns are multiplied by 10⁻³, by 10³, or each by a number between, y by 10⁻³ and 10³: "
        "the largest change of R² on 1,000 test rows is in the table of bars."
    )
    return [Section("Units", text, bars)]


STUDY = Study(
    "general",
    "FMs on sparse features of many shapes",
    "every solver's defaults beside a tuned linear model and myFM, on eleven shapes of rows",
    "Rows are drawn from known factorization machines (data seed 0), "
    f"the last {TEST:.0%} for test. Solvers have their defaults, but beside myFM `gibbs` takes "
    f"{SWEEPS} sweeps as myFM does; its default number of sweeps is measured apart. "
    "k is the planted one, 4 unless it is said, and 8 on Frappe. The linear model is logistic or "
    "ridge regression with the best of five penalties on a fifth of the training rows. Losses are "
    "mean ± standard deviation over model seeds (ddof = 1). Times are CPU seconds of one thread, "
    "measured by turns in one process; a sweep of `gibbs` is the mean of all but the first, of "
    "which the first 20 move scales.",
    (
        Part(
            "Shapes of rows",
            {name: partial(measure_shape, name) for name in SHAPES},
            shapes_section,
        ),
        Part(
            "Gibbs sampling with its defaults",
            {name + DEFAULTS: partial(measure_default, name) for name in SHAPES},
            defaults_section,
        ),
        Part(
            "Gibbs sampling forgets its start",
            {name: partial(measure_start, name) for name in STARTS},
            starts_section,
        ),
        PEERS_PART,
        Part("Units", {"units": measure_units}, units_section),
        GROWTH_PART,
    ),
    repeats=3,
)
