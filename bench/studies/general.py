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

from baselines.peers.myfm import MyFM
from bench.errors import DataUnavailable
from bench.measure import Measured
from bench.processes import in_new_process, memory_available
from bench.studies.equal_time import PEERS_PART
from bench.studies.races import cpu_seconds
from bench.studies.shapes import SHAPES, Problem, bags, one_hot, read_frappe
from bench.studies.study import (
    TEXTS,
    Bar,
    Context,
    Part,
    Section,
    Study,
    Values,
    mean_std,
    slopes,
    spread,
)
from bench.tables import MISSING, markdown_table
from fm import FMRegressor

PAGE = TEXTS["general"]
SWEEPS = 30
"""Of Gibbs sampling beside myFM."""
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Penalties of the linear model, of which one is chosen on a fifth of the training rows."""
SOLVERS = ("gibbs", "als", "sgd")
DEFAULTS = ", gibbs"
"""Follows the name of the shape in that of a measurement of Gibbs sampling's defaults."""
FEW_SWEEPS = {"gibbs": 3, "als": 3, "sgd": 2}
"""Solver -> sweeps or epochs of a fit."""
ROWS = (50_000, 100_000, 200_000, 400_000, 800_000)
"""Of 20 fields."""
FIELDS = (5, 10, 20, 40)
"""Of 100,000 rows."""
MANY_ROWS = 10_000_000
LIMIT_GIB = 20.0
NEEDED_GIB = 16.0
"""Memory without which very many rows are not tried."""
GROWTH, MANY = ", growth", ", very many rows"
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
    problem, peer = SHAPES[name][0](), _peer()
    found: dict[str, Any] = {
        "shape": list(problem.X.shape),
        "classes": problem.of_classes,
        "linear": problem.loss(_linear(problem)),
    }
    found |= {model: {"loss": [], "seconds": []} for model in (*SOLVERS, "myfm")}
    found |= {"sweep": [], "peer_sweep": []}

    def add(name: str, model: Any, seconds: float) -> None:
        found[name]["loss"].append(problem.loss(model))
        found[name]["seconds"].append(seconds)

    for seed in range(context.repeats):
        at: list[float] = []
        gibbs = {"n_iter": SWEEPS, "callback": lambda *_, at=at: at.append(time.process_time())}
        for solver in SOLVERS:
            given = gibbs if solver == "gibbs" else {}
            model = problem.model(solver=solver, random_state=seed, **given)
            add(solver, model, _seconds(model, *problem.train))
        found["sweep"].append(np.diff(at).mean())
        if peer is not None:
            one, _ = _time_peer(peer, problem, 1, seed)
            seconds, model = _time_peer(peer, problem, SWEEPS, seed)
            add("myfm", model, seconds)
            found["peer_sweep"].append((seconds - one) / (SWEEPS - 1))
    return found


def _seconds(model: Any, *rows: Any) -> float:
    """Fit; return the CPU seconds of one thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cpu_seconds(model.fit, *rows)


def _peer() -> Any:
    """Return the module myfm, or None where it is not installed."""
    return None if MyFM.unavailable() else MyFM.module()


def _time_peer(peer: Any, problem: Problem, n_iter: int, seed: int) -> tuple[float, Any]:
    kind = peer.MyFMClassifier if problem.of_classes else peer.MyFMRegressor
    model = kind(rank=problem.k, random_seed=seed)
    X, y = problem.train
    fit = partial(model.fit, n_iter=n_iter, group_shapes=problem.groups)
    with redirect_stderr(io.StringIO()):  # its progress bar
        return cpu_seconds(fit, sparse.csr_matrix(X), y), model


def _linear(problem: Problem) -> LogisticRegression | Ridge:
    """Fit the linear model to the training rows, its penalty chosen on the last fifth of them."""

    def fitted(strength: float, rows: Problem) -> LogisticRegression | Ridge:
        logistic = LogisticRegression(C=1 / strength, max_iter=200)
        model = logistic if problem.of_classes else Ridge(strength, solver="lsqr")
        return model.fit(*rows.train)

    inner = problem.inner()
    return fitted(min(STRENGTHS, key=lambda s: inner.loss(fitted(s, inner))), problem)


def measure_default(name: str, context: Context) -> Mapping[str, Any]:
    """Return losses and CPU seconds of Gibbs sampling with its defaults, and the linear loss."""
    problem = SHAPES[name][0]()
    models = [problem.model(random_state=seed) for seed in range(context.repeats)]
    seconds = [_seconds(model, *problem.train) for model in models]
    known = {key: context.values[name][key] for key in ("classes", "linear")}
    return known | {"gibbs": {"loss": [problem.loss(m) for m in models], "seconds": seconds}}


def measure_start(name: str, context: Context) -> Mapping[int, list[float]]:
    """Return sweeps -> log losses after so many of them."""
    draw, bars = STARTS[name]
    problem, seeds = draw(), range(context.repeats)
    models = {n: [problem.model(n_iter=n, random_state=seed) for seed in seeds] for n in bars}
    return {n: [problem.loss(m.fit(*problem.train)) for m in of] for n, of in models.items()}


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
        models = [found[model]["loss"] for model in (*SOLVERS, "myfm")]
        cells = [mean_std(of) if len(of) else MISSING for of in models]
        losses.append([name, f"{found['linear']:.4f}", *cells])
        bars += [_behind_linear(name, solver, found) for solver in SOLVERS if solver != "gibbs"]
        ratio = MISSING
        if found["peer_sweep"]:
            of_peer = np.array(found["sweep"]) / found["peer_sweep"]
            bars.append(Bar(f"{name}: Gibbs sweep over myFM's", of_peer, high=SHAPES[name][1]))
            ratio = spread(of_peer)
        seconds = [spread(found[solver]["seconds"]) for solver in SOLVERS]
        sweeps.append([name, spread(1e3 * np.array(found["sweep"])), ratio, *seconds])
    header = ["rows", "linear, tuned", *(f"`{s}`" for s in SOLVERS), "myFM"]
    times = ["rows", "Gibbs sweep, ms", "over myFM's", *(f"`{s}`, s" for s in SOLVERS)]
    n_rows = " or ".join(f"{n:,}" for n in sorted({found["shape"][0] for found in values.values()}))
    text = {"n_rows": n_rows, "sweeps": SWEEPS, "table": markdown_table(header, losses)}
    return [
        Section("Loss on test rows", PAGE["losses"].format(**text), bars),
        Section("CPU time", PAGE["times"].format(table=markdown_table(times, sweeps))),
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
    return [Section("Gibbs sampling forgets its start", PAGE["starts"] + skipped, bars)]


def units_section(values: Values) -> list[Section]:
    """Write how far R^2 follows the units of columns and of y."""
    bars = [
        Bar(f"{solver}: change of R² with the units", np.array(of), high=0.01)
        for solver, of in values["units"].items()
    ]
    return [Section("Units", PAGE["units"], bars)]


def fit(solver: str, n_rows: int, n_fields: int, seed: int) -> tuple[float, float]:
    """Return the CPU seconds of a fit, and its peak memory with the rows, in GiB."""
    problem = one_hot(n_fields, n_rows=n_rows)
    X, y = sparse.csr_array(problem.X), problem.y
    model = problem.model(solver=solver, n_iter=FEW_SWEEPS[solver], random_state=seed)
    with Measured(threads=1) as cost:
        model.fit(X, y)
    rows = sum(part.nbytes for part in (X.data, X.indices, X.indptr, y))
    return cost.cpu_seconds, ((cost.peak_memory or 0) + rows) / 2**30


def measure_growth(solver: str, context: Context) -> Mapping[str, Mapping[int, list[float]]]:
    """Return CPU seconds by rows and by fields, a fit of each size by turns."""
    rows: dict[int, list[float]] = {n: [] for n in ROWS}
    fields: dict[int, list[float]] = {n: [] for n in FIELDS}
    for seed in range(context.repeats):
        for n in rows:
            rows[n].append(fit(solver, n, 20, seed)[0])
        for n in fields:
            fields[n].append(fit(solver, 100_000, n, seed)[0])
    return {"rows": rows, "fields": fields}


def measure_many(solver: str, context: Context) -> Mapping[str, float]:
    """Return seconds and GiB of one fit to very many rows, in a process of its own."""
    free = (memory_available() or 0) / 2**30
    if free < NEEDED_GIB:
        raise DataUnavailable(f"{free:.0f} GiB of memory are free, and {NEEDED_GIB:.0f} needed")
    found = in_new_process(fit, solver, MANY_ROWS, 20, 0)
    if isinstance(found, str):
        raise DataUnavailable(found)
    return dict(zip(("seconds", "GiB"), found, strict=True))


def growth_section(values: Values) -> list[Section]:
    """Write the bars, and why something was not measured."""
    bars, text = [], PAGE["growth"]
    for name, found in values.items():
        solver, _, what = name.partition(", ")
        if isinstance(found, str):
            text += f" {name}: {found}."
        elif f", {what}" == MANY:
            what = f"{solver}: GiB of a fit to {MANY_ROWS:,} rows of 20 fields"
            bars.append(Bar(what, np.array([found["GiB"]]), high=LIMIT_GIB))
            text += f" {solver} took {found['seconds']:.0f} s for {MANY_ROWS:,} rows of 20 fields."
        else:
            rows, fields = (
                slopes({int(n): times for n, times in found[by].items()})
                for by in ("rows", "fields")
            )
            bars.append(Bar(f"{solver}: log-log slope of seconds over rows", rows, 0.95, 1.05))
            bars.append(Bar(f"{solver}: log-log slope of seconds over fields", fields, high=1.05))
    return [Section("Growth", text, bars)]


STUDY = Study(
    name="general",
    parts=(
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
        Part(
            "Growth",
            {solver + GROWTH: partial(measure_growth, solver) for solver in FEW_SWEEPS}
            | {solver + MANY: partial(measure_many, solver) for solver in ("gibbs", "sgd")},
            growth_section,
        ),
    ),
    repeats=3,
    **PAGE["study"],
)
