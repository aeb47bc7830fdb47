"""Races: fits of our model and another by turns, the errors of each epoch, and bars on times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from bench.features import build_design
from bench.measure import Measured
from bench.metrics import squared_errors
from bench.processes import in_new_process
from bench.run import Job
from bench.seeds import derive_rng
from bench.studies.study import TEXTS, Bar, Context, Part, Section, Values, line_plot, spread
from bench.sweep import composed_job, plan
from bench.tables import MISSING, markdown_table
from fm.design import Design
from fm.validation import BURN_IN

RACES: Mapping[str, Mapping[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("races.yaml").read_text("utf-8")
)
"""Study -> name of a race -> what it is, as `races.yaml` explains."""
LIMIT_SECONDS = 5400
"""For all turns of a race."""
PUBLISHED = 0.9140
"""The article's MSE for its FM."""
PASSES = 20
"""Of the article's FM."""
COUNTED = {"passes", "n_iter"}
"""Parameters that are a number of epochs."""
FEW_EPOCHS = 2
KEPT_PREDICTIONS = 20
"""Of a fit, by which those of different threads are compared."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What a model is fitted on and predicts; `expected` are true means of simulated ratings."""

    X: Design
    y: NDArray[np.float64]
    held_out: Design
    truth: NDArray[np.float64]
    scale: tuple[float, float]
    expected: NDArray[np.float64] | None = None

    def mse(self, prediction: NDArray) -> float:
        """Return the mean squared error on the held-out rows, clipped to the scale."""
        return float(squared_errors(self.truth, prediction, self.scale).mean())


@dataclass(frozen=True)
class Fit:
    """A fit, looked at after each epoch where its program allows it, else at its end alone.

    Attributes
    ----------
    seconds : of fitting so far, evaluation excluded.
    mse : clipped test MSE of a fit that had ended then.
    epoch : seconds of an epoch, sweep or pass, set-up excluded; None of a model that has none.
    predict : seconds of predicting the held-out rows.
    memory : bytes of the fit at its peak, beyond the data; None where the system does not say.
    oracle : MSE of the ratings' true means, of simulated ratings.
    predictions : of some held-out rows.
    """

    seconds: Sequence[float]
    mse: Sequence[float]
    epoch: float | None = None
    predict: float | None = None
    memory: int | None = None
    oracle: float = np.nan
    predictions: Sequence[float] = field(default_factory=list)

    @property
    def fit(self) -> float:
        return self.seconds[-1]

    @property
    def per_epoch(self) -> float:
        """Seconds of an epoch; NaN of a model that has none."""
        return np.nan if self.epoch is None else self.epoch

    @property
    def above(self) -> float:
        """By how many per cent the last error is above the noise floor."""
        return 100 * (self.mse[-1] / self.oracle - 1)

    def reached(self, error: float) -> float:
        """Return the seconds until the error was at most `error`; inf if it never was."""
        pairs = zip(self.seconds, self.mse, strict=True)
        return next((seconds for seconds, mse in pairs if mse <= error), np.inf)


def job(*overrides: str) -> Job:
    """Return what `python -m bench OVERRIDES` would run."""
    cfg = plan(list(overrides), multirun=False).jobs[0]
    return composed_job(cfg)


def rows_of(*overrides: str, most: int | None = None) -> Rows:
    """Return the rows of that command, at most so many of them held out."""
    asked = job(*overrides)
    split = asked.split(asked.dataset)
    train, held_out = split.development, split.test
    if most is not None:
        held_out = derive_rng(0, "scale").permutation(held_out)[:most]
    X = build_design(asked.dataset, asked.features, train)
    y = asked.dataset.y
    expected = asked.dataset.expected
    expected = None if expected is None else expected[held_out]
    return Rows(X[train], y[train], X[held_out], y[held_out], asked.dataset.scale, expected)


def configured(name: str, *overrides: str, **params: object) -> BaseEstimator:
    """Return the model `name` of `conf/model`; raise ImportError where it is not installed."""
    model = job("data=planted", f"model={name}", *overrides).model.set_params(**params)
    reason = getattr(model, "unavailable", lambda: None)()
    if reason is not None:
        raise ImportError(reason)
    return model


def cpu_seconds(call: Callable[..., object], *given: object) -> float:
    """Return the CPU seconds of a call on one thread, its child processes included."""
    with Measured(threads=1) as cost:
        call(*given)
    return cost.cpu_seconds


def warm_up(model: BaseEstimator, rows: Rows) -> None:
    """Fit a few rows, so that what is loaded once is not timed."""
    clone(model).fit(rows.X[:2000], rows.y[:2000])


def watched(model: BaseEstimator, rows: Rows) -> Fit:
    """Fit `model`, and evaluate the held-out rows outside the time; they decide nothing.

    Of a model without a callback, an epoch is what those beyond the first few take, so that
    set-up and files count for none.
    """
    if hasattr(model, "callback"):
        predictions: list[NDArray] = []
        model = clone(model).set_params(
            callback=lambda _, fitted: predictions.append(fitted.predict(rows.held_out))
        )
        memory, _ = _fitted(model, rows)
        if model.solver == "gibbs":
            predictions = means_of_draws(predictions)
        ends = [float(s) for s in model.history_["seconds"]]
        return _ended(model, rows, memory, ends, [rows.mse(p) for p in predictions])
    memory, took = _fitted(model, rows)
    fit = _ended(model, rows, getattr(model, "peak_memory_", memory), [took])
    for counted in COUNTED & model.get_params().keys():
        few = clone(model).set_params(**{counted: FEW_EPOCHS})
        more = getattr(model, counted) - FEW_EPOCHS
        return replace(fit, epoch=(took - _fitted(few, rows)[1]) / more)
    return fit


def means_of_draws(draws: Sequence[NDArray]) -> list[NDArray]:
    """Return what a Gibbs fit that had ended after each sweep would predict."""
    total = np.vstack([np.zeros(len(draws[0])), np.cumsum(draws, axis=0)])
    ends = range(1, len(draws) + 1)
    return [(total[n] - total[b]) / (n - b) for n in ends for b in [min(BURN_IN, n // 2)]]


def _fitted(model: BaseEstimator, rows: Rows) -> tuple[int | None, float]:
    with Measured(threads=1) as cost:
        model.fit(rows.X, rows.y)
    return cost.peak_memory, cost.seconds


def _ended(
    model: BaseEstimator,
    rows: Rows,
    memory: int | None,
    ends: Sequence[float],
    mse: Sequence[float] | None = None,
) -> Fit:
    with Measured(threads=1) as predicting:
        prediction = model.predict(rows.held_out)
    epoch = float(np.median(np.diff(ends))) if len(ends) > 1 else None
    mse = [rows.mse(prediction)] if mse is None else mse
    some = [float(p) for p in prediction[:KEPT_PREDICTIONS]]
    oracle = np.nan if rows.expected is None else rows.mse(rows.expected)
    return Fit(ends, mse, epoch, predicting.seconds, memory, oracle, some)


QUANTITIES: Mapping[str, tuple[str, Callable[[Fit, Fit], float]]] = {
    "epoch": ("epoch or sweep / theirs", lambda ours, theirs: ours.per_epoch / theirs.per_epoch),
    "to_published": (
        f"time to {PUBLISHED:.4f} / their {PASSES} passes",
        lambda ours, theirs: ours.reached(PUBLISHED) / (PASSES * theirs.per_epoch),
    ),
    "fit": (
        f"fit / their {PASSES} passes",
        lambda ours, theirs: ours.fit / (PASSES * theirs.per_epoch),
    ),
    "seconds_to_published": (
        f"seconds to {PUBLISHED:.4f}",
        lambda ours, _: ours.reached(PUBLISHED),
    ),
    "mse": ("test MSE", lambda ours, _: ours.mse[-1]),
    "difference": (
        "greatest difference of a prediction",
        lambda ours, theirs: np.abs(np.subtract(ours.predictions, theirs.predictions)).max(),
    ),
}
"""Name in `races.yaml` -> what a bar is about, and its value in a turn."""


def race(study: str, name: str, turns: int) -> list[tuple[Fit, ...]]:
    """Return the fits of both models, by turns."""
    given = RACES[study][name]
    rows = rows_of(*given["rows"], most=given.get("most"))
    models = [configured(model, **params) for model, params in given["models"]]
    for model in models:
        warm_up(model, rows)
    return [
        tuple(watched(model.set_params(random_state=turn), rows) for model in models)
        for turn in range(turns)
    ]


def by_turns(study: str, values: Values) -> list[Section]:
    """Write what the bars on speed are about."""
    rows, bars, lines = [], [], {}
    for key, turns in values.items():
        name = key.removeprefix("race ")
        if isinstance(turns, str):
            rows.append([name, MISSING, MISSING, turns, MISSING, MISSING])
            continue
        ours, theirs = ([Fit(**fit) for fit in of] for of in zip(*turns, strict=True))
        pairs = list(zip(ours, theirs, strict=True))
        epochs = np.array([[1e3 * fit.per_epoch for fit in pair] for pair in pairs]).T
        errors = np.array([[fit.mse[-1] for fit in pair] for pair in pairs]).T
        rows.append([name, *map(spread, (*epochs, epochs[0] / epochs[1], *errors))])
        for quantity, bound in RACES[study][name]["bars"].items():
            what, value = QUANTITIES[quantity]
            low, high = bound if isinstance(bound, list) else (-np.inf, bound)
            bars.append(Bar(f"`{name}`: {what}", np.array([value(*p) for p in pairs]), low, high))
        if name.endswith(" / vw_rank"):
            lines[name.partition(" ")[0]] = ours[0].seconds, ours[0].mse
            lines.setdefault("vw_rank", ([PASSES * theirs[0].per_epoch], theirs[0].mse))
    header = ["ours / theirs", "ours, ms", "theirs, ms", "ratio", "test MSE, ours", "theirs"]
    text = TEXTS["races"].format(table=markdown_table(header, rows))
    level = (f"published FM, {PUBLISHED:.4f}", PUBLISHED)
    axes = ("seconds of fit", "test MSE (clipped)")
    plot = line_plot(study, "Test error against time", *axes, lines, level, yscale="linear")
    return [Section("By turns", text, bars, (plot,) if study == "speed" and lines else ())]


def races_of(study: str) -> Part:
    """Return the races of a study, as a part of its page; each is in a process of its own."""

    def measure(name: str, context: Context) -> list[tuple[Fit, ...]] | str:
        turns = RACES[study][name].get("turns", context.repeats)
        return in_new_process(race, study, name, turns, limit=LIMIT_SECONDS)

    measures = {f"race {name}": partial(measure, name) for name in RACES[study]}
    return Part("By turns", measures, partial(by_turns, study))
