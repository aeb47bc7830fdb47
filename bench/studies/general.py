"""FMs on sparse features of many shapes, beside a tuned linear model and myFM."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression, Ridge

from bench.measure import Measured
from bench.studies.study import Bar, Context, Part, Section, Study, Values, mean_std, spread
from bench.tables import markdown_table
from fm import FMClassifier, FMRegressor

N_ROWS = 100_000
TEST = 0.2
SWEEPS = 30
"""Of Gibbs sampling."""
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Penalties of the linear model, of which one is chosen on a fifth of the training rows."""
SOLVERS = ("gibbs", "als", "sgd")
PAIRS = 0.4
"""Variance of what pairs of features add to the score."""


class Problem(NamedTuple):
    """Rows drawn from a known factorization machine; group sizes of the columns for myFM."""

    X: sparse.csr_array
    y: NDArray[np.float64]
    groups: list[int]
    k: int

    @property
    def of_classes(self) -> bool:
        return len(np.unique(self.y)) == 2


def _zipf(n_levels: int, n: int, rng: np.random.Generator, exponent: float) -> NDArray[np.intp]:
    p = 1 / np.arange(1, n_levels + 1) ** exponent
    return np.searchsorted(np.cumsum(p / p.sum())[:-1], rng.random(n))


def one_hot(
    n_fields: int, *, k: int = 4, classes: bool = True, shuffled: bool = False, seed: int = 0
) -> Problem:
    """Draw rows of fields whose levels, up to 5,000 of the first, occur by Zipf's law."""
    rng = np.random.default_rng(seed)
    levels = [5000, *(int(5000 * share) for share in rng.uniform(0.01, 1, n_fields - 1))]
    columns = np.stack([_zipf(n, N_ROWS, rng, 1.1) for n in levels], axis=1)
    columns += np.cumsum([0, *levels[:-1]])
    groups = levels
    if shuffled:
        columns, groups = rng.permutation(sum(levels))[columns], [sum(levels)]
    X = _ones(np.full(N_ROWS, n_fields), columns.ravel(), sum(levels))
    return _drawn(X, rng, 0.3, n_fields * (n_fields - 1) / 2, k, classes, groups)


def bags(n_levels: int, most: int, tfidf: bool, seed: int = 0) -> Problem:
    """Draw rows of 5 to `most` levels, as ones or weighted as words of a text are."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, most + 1, N_ROWS)
    columns = rng.permutation(n_levels)[_zipf(n_levels, sizes.sum(), rng, 1.0)]
    X = _ones(sizes, columns, n_levels)
    X.sum_duplicates()
    if tfidf:
        X = sparse.csr_array(TfidfTransformer(sublinear_tf=True).fit_transform(X))
        return _drawn(X, rng, 1.5, 0.5, 4, True, [n_levels])
    X.data[:] = 1
    return _drawn(X, rng, 0.3, (X.nnz / N_ROWS) ** 2 / 2, 4, True, [n_levels])


def dense(n_columns: int, seed: int = 0) -> Problem:
    """Draw rows of normal values."""
    rng = np.random.default_rng(seed)
    X = sparse.csr_array(rng.standard_normal((N_ROWS, n_columns)))
    return _drawn(X, rng, 0.2, n_columns * (n_columns - 1) / 2, 4, True, [n_columns])


def _ones(sizes: NDArray[np.intp], columns: NDArray[np.intp], n: int) -> sparse.csr_array:
    starts = np.concatenate([[0], np.cumsum(sizes)])
    X = sparse.csr_array((np.ones(len(columns)), columns, starts), shape=(len(sizes), n))
    X.sort_indices()
    return X


def _drawn(
    X: sparse.csr_array,
    rng: np.random.Generator,
    w_std: float,
    n_pairs: float,
    k: int,
    classes: bool,
    groups: list[int],
) -> Problem:
    """Draw coefficients and y."""
    w = rng.normal(0, w_std, X.shape[1])
    V = rng.normal(0, (PAIRS / (n_pairs * k)) ** 0.25, (X.shape[1], k))
    q = X @ V
    f = X @ w + (np.sum(q**2, axis=1) - X.power(2) @ np.sum(V**2, axis=1)) / 2
    if classes:
        return Problem(X, (rng.random(len(f)) < expit(f - 1)).astype(float), groups, k)
    return Problem(X, f + rng.standard_normal(len(f)), groups, k)


SHAPES: Mapping[str, tuple[Callable[[], Problem], float]] = {
    "2 fields": (partial(one_hot, 2), 1.0),
    "5 fields": (partial(one_hot, 5), 1.2),
    "9 fields": (partial(one_hot, 9), 1.2),
    "20 fields": (partial(one_hot, 20), 1.2),
    "40 fields": (partial(one_hot, 40), 1.2),
    "20 fields, k = 16": (partial(one_hot, 20, k=16), 1.2),
    "20 fields, columns shuffled": (partial(one_hot, 20, shuffled=True), 1.2),
    "20 fields, real target": (partial(one_hot, 20, classes=False), 1.2),
    "bags of 5 to 30 of 20,000": (partial(bags, 20_000, 30, False), 2.0),
    "tf-idf of 5 to 100 of 50,000 words": (partial(bags, 50_000, 100, True), 2.0),
    "30 dense columns": (partial(dense, 30), 0.8),
}
"""Name -> what draws the rows, and how long a Gibbs sweep may take at most, myFM's being 1."""


def measure_shape(name: str, context: Context) -> Mapping[str, Any]:
    """Return losses of all models, CPU seconds, and the ratios of sweeps by turns with myFM."""
    problem = SHAPES[name][0]()
    n = round((1 - TEST) * N_ROWS)
    train, test = slice(n), slice(n, None)
    loss = partial(_loss, problem, test)
    found: dict[str, Any] = {
        "shape": [*problem.X.shape, problem.X.nnz],
        "classes": problem.of_classes,
        "linear": loss(_linear(problem, n)),
    }
    for solver in SOLVERS:
        found[solver] = {"loss": [], "seconds": []}
    found["myfm"], found["sweep"], found["peer_sweep"] = {"loss": [], "seconds": []}, [], []
    peer = _peer()
    for seed in range(context.repeats):
        for solver in SOLVERS:
            model = _ours(problem, solver, seed)
            with Measured(threads=1) as cost, warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(problem.X[train], problem.y[train])
            found[solver]["loss"].append(loss(model))
            found[solver]["seconds"].append(cost.cpu_seconds)
            if solver == "gibbs":
                found["sweep"].append(np.diff(model.get_params()["callback"].at).mean())
        if peer is not None:
            one, _ = _time_peer(peer, problem, train, 1, seed)
            seconds, model = _time_peer(peer, problem, train, SWEEPS, seed)
            found["myfm"]["loss"].append(loss(model))
            found["myfm"]["seconds"].append(seconds)
            found["peer_sweep"].append((seconds - one) / (SWEEPS - 1))
    return found


class Stamps:
    """A callback that notes the CPU time after each sweep."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(self, *_: object) -> None:
        self.at.append(time.process_time())


def _ours(problem: Problem, solver: str, seed: int) -> FMClassifier | FMRegressor:
    model = FMClassifier if problem.of_classes else FMRegressor
    given: dict[str, Any] = {"n_iter": SWEEPS, "callback": Stamps()} if solver == "gibbs" else {}
    return model(k=problem.k, solver=solver, random_state=seed, **given)


def _peer() -> Any:
    """Return the module myfm, or None where it is not installed."""
    try:
        import myfm
    except ImportError:
        return None
    return myfm


def _time_peer(peer: Any, problem: Problem, train: slice, n_iter: int, seed: int) -> tuple:
    kind = peer.MyFMClassifier if problem.of_classes else peer.MyFMRegressor
    model = kind(rank=problem.k, random_seed=seed)
    X = sparse.csr_matrix(problem.X[train])
    with Measured(threads=1) as cost, redirect_stderr(io.StringIO()):  # its progress bar
        model.fit(X, problem.y[train], n_iter=n_iter, group_shapes=problem.groups)
    return cost.cpu_seconds, model


def _linear(problem: Problem, n: int) -> LogisticRegression | Ridge:
    """Fit the linear model to the first n rows, its penalty chosen on the last fifth of them."""

    def fitted(strength: float, rows: slice) -> LogisticRegression | Ridge:
        model = (
            LogisticRegression(C=1 / strength, max_iter=200)
            if problem.of_classes
            else Ridge(strength, solver="lsqr")
        )
        return model.fit(problem.X[rows], problem.y[rows])

    part = round(0.8 * n)
    losses = [_loss(problem, slice(part, n), fitted(s, slice(part))) for s in STRENGTHS]
    return fitted(STRENGTHS[int(np.argmin(losses))], slice(n))


def _loss(problem: Problem, rows: slice, model: Any) -> float:
    """Return log loss, or the root of the mean squared error."""
    X, y = sparse.csr_matrix(problem.X[rows]), problem.y[rows]
    if not problem.of_classes:
        return float(np.sqrt(np.mean((y - model.predict(X)) ** 2)))
    p = model.predict_proba(X)
    p = np.clip(p[:, 1] if np.ndim(p) == 2 else p, 1e-12, 1 - 1e-12)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


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


def shapes_section(values: Values) -> list[Section]:
    """Write the table of losses and that of sweeps."""
    losses, sweeps, bars = [], [], []
    for name, found in values.items():
        linear, models = found["linear"], {s: found[s]["loss"] for s in (*SOLVERS, "myfm")}
        cells = [mean_std(of) if len(of) else "–" for of in models.values()]
        losses.append([name, f"{linear:.4f}", *cells])
        for solver in SOLVERS:
            behind = np.array(models[solver]) - linear
            if not found["classes"]:
                behind = behind / linear
            limit = 0.005 if found["classes"] else 0.01
            what = "log loss above" if found["classes"] else "share of RMSE above"
            bars.append(Bar(f"{name}, {solver}: {what} the linear model's", behind, high=limit))
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
    missing = ", ".join(name for name in SHAPES if name not in values)
    n_rows = " or ".join(f"{n:,}" for n in sorted({found["shape"][0] for found in values.values()}))
    about = (
        f"{n_rows} rows of each shape. Log loss; RMSE of the real target."
        + f" Not measured: {missing}." * bool(missing)
    )
    return [
        Section("Loss on test rows", f"{about}\n\n{text}", bars),
        Section("CPU time", f"Of a sweep, and of whole fits.\n\n{times}"),
    ]


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
    f"the last {TEST:.0%} for test. Solvers have their defaults, but `gibbs` and myFM "
    f"{SWEEPS} sweeps; k is the planted one, 4 unless it is said. The linear model is logistic or "
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
        Part("Units", {"units": measure_units}, units_section),
    ),
    repeats=3,
)
