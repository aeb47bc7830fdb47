"""Rows and models of `conf` that studies fit, and fits with the errors of each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from bench.features import build_design
from bench.measure import Measured
from bench.metrics import squared_errors
from bench.run import Job
from bench.seeds import derive_rng
from bench.sweep import job_of, load_data, plan
from fm.design import Design
from fm.validation import BURN_IN

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
    return job_of(cfg, cfg.hydra.runtime.choices, load_data(cfg))


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


def warm_up(model: BaseEstimator, rows: Rows) -> None:
    """Fit a few rows, so that what is loaded once is not timed."""
    clone(model).fit(rows.X[:2000], rows.y[:2000])


def watched(model: BaseEstimator, rows: Rows) -> Fit:
    """Fit `model`, and evaluate the held-out rows outside the time; they decide nothing.

    Of a model without a callback, an epoch is what those beyond the first few take, so that
    set-up and files count for none.
    """
    if hasattr(model, "callback"):
        return _watch_epochs(model, rows)
    memory, took = _fitted(model, rows)
    fit = _ended(model, rows, getattr(model, "peak_memory_", memory), [took])
    for counted in COUNTED & model.get_params().keys():
        few = clone(model).set_params(**{counted: FEW_EPOCHS})
        more = getattr(model, counted) - FEW_EPOCHS
        return replace(fit, epoch=(took - _fitted(few, rows)[1]) / more)
    return fit


def _watch_epochs(model: BaseEstimator, rows: Rows) -> Fit:
    predictions: list[NDArray] = []
    model = clone(model).set_params(
        callback=lambda _, fitted: predictions.append(fitted.predict(rows.held_out))
    )
    memory, _ = _fitted(model, rows)
    if model.solver == "gibbs":
        predictions = means_of_draws(predictions)
    ends = [float(s) for s in model.history_["seconds"]]
    return _ended(model, rows, memory, ends, [rows.mse(p) for p in predictions])


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
