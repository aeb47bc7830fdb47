"""One run: fit on train, choose on validation, refit on both, read test once.

    split.train  --fit-->  model  --predict-->  validation metrics
                             |
                 refit (train + validation, in published order, with what early stopping settled)
                             |
    split.test   --predict-->  test metrics

With `refit=False`, or without a validation part, the first fit is the one that is tested; with
`test=False` nothing is, and the run ends with the validation metrics. Only `fit` and `predict` are
timed; encoding, evaluation and logging are outside.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import entr
from sklearn.base import BaseEstimator, clone

from bench.data.dataset import Dataset, Rows
from bench.data.splits import Split
from bench.errors import UserError
from bench.features import build_design
from bench.identity import code_version, job_digest
from bench.measure import Measured
from bench.metrics import TASKS, Task
from fm.design import Design

Matrix: TypeAlias = Design | sparse.csr_array
Watch: TypeAlias = Callable[[int, BaseEstimator], None]


@dataclass(frozen=True)
class Job:
    """What one run computes.

    `names` are the chosen data, split, features and model; `config` is
    everything resolved that can change the result, and nothing else. `first_rows` asks for the raw
    test MSE on that many first rows too: what a program shows that reports at powers of two.
    `limits` are validation errors by epoch: a model whose best so far is above one of them is given
    up. `shown` is called with the number of each epoch and the model. They, and where the `code` is
    from, are no part of what the job is.
    """

    names: dict[str, str]
    config: dict[str, object]
    dataset: Dataset
    split: Callable[[Dataset], Split]
    features: tuple[str, ...]
    model: BaseEstimator
    min_count: int = 1
    test: bool = True
    refit: bool = True
    threads: int = 1
    first_rows: int | None = None
    limits: Mapping[int, float] = field(default_factory=dict)
    shown: Watch | None = None
    code: Mapping[str, str] = field(default_factory=code_version)

    @property
    def digest(self) -> str:
        return job_digest(self.config, self.dataset.digest, self.code)


@dataclass(frozen=True)
class Result:
    """What came of a run.

    `metrics` are named `group/name`; `curves` hold one array a name, a value per epoch or sweep;
    `rows` and `prediction` are the test rows, in order, and what the model said of them;
    `row_statistics` what else is kept of each (see that function). `fitted`: the model, and the
    design of every row.
    """

    metrics: dict[str, float]
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    prediction: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    row_statistics: dict[str, NDArray] = field(default_factory=dict)
    fitted: tuple[BaseEstimator, Matrix] | None = None


class Pruned(Exception):
    """The fit was given up: `curve` is its validation error by epoch so far."""

    def __init__(self, curve: list[float]) -> None:
        super().__init__(f"given up after {len(curve)} epochs, worse than most others by then")
        self.curve = curve


def run(job: Job) -> Result:
    """Fit and evaluate copies of `job.model`; raise `Pruned` where it is above `job.limits`."""
    split = job.split(job.dataset)
    if not job.test and not len(split.validation):
        raise UserError(
            f"split {split.name} has no validation rows to choose by: set split.validation"
        )
    dataset, task = job.dataset, TASKS[job.dataset.task]
    y, scale = dataset.y, dataset.scale
    metrics: dict[str, float] = {}
    X, model, cost = _fit(job, job.model, split.train, split.validation, job.limits)
    curves = getattr(model, "history_", {})
    if len(split.validation):
        prediction = _predict(model, X[split.validation], task)
        metrics |= _grouped("validation", task.evaluate(y[split.validation], prediction, scale))
        metrics["time/selection_fit_seconds"] = cost.seconds
        if job.test and job.refit:
            settled = clone(model).set_params(**getattr(model, "refit_params_", {}))
            X, model, cost = _fit(job, settled, split.development, split.development[:0])

    metrics |= _costs(model, cost)
    if not job.test:
        return Result(metrics=metrics, curves=curves)

    X_test = X[split.test]
    with Measured(job.threads) as predicting:
        prediction = _predict(model, X_test, task)
    metrics |= _grouped("test", task.evaluate(y[split.test], prediction, scale))
    metrics |= _grouped("test", _bounds(dataset, task, split.test))
    if job.first_rows is not None and task.name != "binary":
        first = slice(job.first_rows)
        part = task.evaluate(y[split.test[first]], prediction[first], scale)
        metrics[f"test/mse_first_{job.first_rows}_rows"] = part["mse_raw"]
    metrics["time/predict_seconds"] = predicting.seconds
    metrics["time/predicted_rows_per_second"] = len(split.test) / max(predicting.seconds, 1e-9)
    extra = row_statistics(model, X_test, dataset, split)
    return Result(metrics, split.test, prediction, curves, extra, (model, X))


def _costs(model: BaseEstimator, cost: Measured) -> dict[str, float]:
    """Return the cost and the size of a fit, and how far its chains agree, if there are several."""
    costs = {"time/fit_seconds": cost.seconds, "time/fit_cpu_seconds": cost.cpu_seconds}
    if hasattr(model, "n_parameters_"):
        costs["size/parameters"] = float(model.n_parameters_)
    if getattr(model, "n_chains", None) and getattr(model, "r_hat_", None):
        costs["fit/r_hat"] = max(model.r_hat_.values())
    memory = getattr(model, "peak_memory_", cost.peak_memory)
    if memory is not None:
        costs["size/peak_memory_mib"] = memory / 2**20
    return costs


def _bounds(dataset: Dataset, task: Task, rows: Rows) -> dict[str, float]:
    """Return what no model can better but by luck, where it is known.

    The error of the true means, and its expectation.
    """
    if dataset.expected is None or dataset.variance is None:
        return {}
    expected = dataset.expected[rows]
    oracle = task.evaluate(dataset.y[rows], expected, dataset.scale)
    if task.name == "binary":
        entropy = entr(expected) + entr(1 - expected)
        return {"oracle_log_loss": oracle["log_loss"], "noise_floor": float(entropy.mean())}
    return {"oracle_mse": oracle["mse_raw"], "noise_floor": float(dataset.variance[rows].mean())}


def _predict(model: BaseEstimator, X: Matrix, task: Task) -> NDArray[np.float64]:
    """Predicted targets; of a binary task the probabilities of class 1."""
    if task.name != "binary":
        return np.asarray(model.predict(X), dtype=np.float64)
    if not hasattr(model, "predict_proba"):
        raise UserError(f"{type(model).__name__} predicts no probabilities, as a binary task needs")
    return np.asarray(model.predict_proba(X), dtype=np.float64)[:, -1]


def _fit(
    job: Job,
    model: BaseEstimator,
    rows: Rows,
    validation: Rows,
    limits: Mapping[int, float] | None = None,
) -> tuple[Matrix, BaseEstimator, Measured]:
    """Return the design, a copy of `model` that is fitted on `rows`, and its cost.

    It is given what it takes of sample weights, validation rows, and something to call after every
    epoch.
    """
    dataset = job.dataset
    X = build_design(dataset, job.features, rows, min_count=job.min_count)
    model = clone(model)
    taken = inspect.signature(model.fit).parameters
    given: dict[str, object] = {"X": X[rows], "y": dataset.y[rows]}
    if dataset.weight is not None and "sample_weight" in taken:
        given["sample_weight"] = dataset.rows[dataset.weight].to_numpy()[rows]
    if len(validation) and "validation" in taken:
        given["validation"] = (X[validation], dataset.y[validation])
    watch: list[Watch] = [job.shown] if job.shown else []
    if limits:
        watch.append(partial(_hold_to, limits, TASKS[dataset.task].validation_curve))
    if watch and "callback" in model.get_params():
        model.set_params(callback=partial(_watched, watch))
    with Measured(job.threads) as cost:
        model.fit(**given)
    return X, model, cost


def _watched(watch: Sequence[Watch], epoch: int, model: BaseEstimator) -> None:
    for look in watch:
        look(epoch, model)


def _hold_to(limits: Mapping[int, float], curve: str, epoch: int, model: BaseEstimator) -> None:
    """Raise `Pruned` when the best validation error so far is above the limit of this epoch."""
    errors = model.history_.get(curve, ())
    if epoch in limits and len(errors) and min(errors) > limits[epoch]:
        raise Pruned(list(errors))


def row_statistics(
    model: BaseEstimator, X_test: Matrix, dataset: Dataset, split: Split
) -> dict[str, NDArray]:
    """Return columns (n_test,) to be kept beside the predictions.

    `user_ratings` or `device_rows`, for each field: how many training rows the row's level has;
    `std`: the standard deviation of the rating given the data, where the model has one.
    """
    what = "ratings" if dataset.task == "rating" else "rows"
    columns = {f"{name}_{what}": _times(dataset, split, name) for name in dataset.fields}
    std = None if dataset.task == "binary" else _std(model, X_test)
    return columns if std is None else columns | {"std": std}


def _times(dataset: Dataset, split: Split, name: str) -> NDArray[np.int64]:
    levels = pd.factorize(dataset.rows[name])[0]
    counts = np.bincount(levels[split.development], minlength=levels.max() + 1)
    return counts[levels[split.test]]


def _std(model: BaseEstimator, X: Matrix) -> NDArray[np.float64] | None:
    if hasattr(model, "predict_proba") and hasattr(model, "classes_"):
        p = model.predict_proba(X)
        return np.sqrt(np.maximum(p @ model.classes_**2 - (p @ model.classes_) ** 2, 0))
    if "return_std" in inspect.signature(model.predict).parameters and hasattr(model, "draws_"):
        return model.predict(X, return_std=True)[1]
    return None


def _grouped(group: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": value for name, value in metrics.items()}
