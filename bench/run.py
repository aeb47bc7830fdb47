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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from bench.data.dataset import Dataset
from bench.data.splits import Split
from bench.errors import UserError
from bench.features import encode
from bench.identity import code_version, job_digest
from bench.measure import Measured
from bench.metrics import evaluate
from bench.row_statistics import row_statistics
from fm.design import Design


@dataclass(frozen=True)
class Job:
    """What one run computes. `names` are the chosen data, split, features and model; `config` is
    everything resolved that can change the result, and nothing else. `first_rows` asks for the raw
    test MSE on that many first rows too: what a program shows that reports at powers of two.
    `limits` are validation MSEs by epoch: a model whose best so far is above one of them is given up.
    They, and where the `code` is from, are no part of what the job is."""

    names: dict[str, str]
    config: dict[str, object]
    dataset: Dataset
    split: Callable[[Dataset], Split]
    features: tuple[str, ...]
    model: BaseEstimator
    test: bool = True
    refit: bool = True
    threads: int = 1
    first_rows: int | None = None
    limits: Mapping[int, float] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=code_version)

    @property
    def digest(self) -> str:
        return job_digest(self.config, self.dataset.digest, self.code)


@dataclass(frozen=True)
class Result:
    """`metrics` are named `group/name`; `curves` hold one array a name, a value per epoch or sweep;
    `rows` and `prediction` are the test rows, in order, and what the model said of them; `row_statistics` what else is
    kept of each (`bench.row_statistics`). `fitted`: the model, and the design of every rating."""

    metrics: dict[str, float]
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    prediction: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    row_statistics: dict[str, NDArray] = field(default_factory=dict)
    fitted: tuple[BaseEstimator, Design] | None = None


class Pruned(Exception):
    """The fit was given up: `curve` is its validation error by epoch so far."""

    def __init__(self, curve: list[float]) -> None:
        super().__init__(f"given up after {len(curve)} epochs, worse than most others by then")
        self.curve = curve


def run(job: Job) -> Result:
    """Fits and evaluates copies of `job.model`; the job itself is left as it was.

    Raises
    ------
    Pruned : the model is above `job.limits`.
    """
    split = job.split(job.dataset)
    if not job.test and not len(split.validation):
        raise UserError(
            f"split {split.name} has no validation rows to choose by: set split.validation"
        )
    y = job.dataset.ratings["rating"].to_numpy(np.float64)
    scale = job.dataset.scale
    metrics: dict[str, float] = {}

    X = encode(job.dataset, job.features, split.train)
    model, cost = _fit(job.model, X, y, split.train, split.validation, job.threads, job.limits)
    curves = getattr(model, "history_", {})
    if len(split.validation):
        prediction = model.predict(X[split.validation])
        metrics |= _grouped("validation", evaluate(y[split.validation], prediction, scale))
        metrics["time/selection_fit_seconds"] = cost.seconds
        if job.test and job.refit:
            X = encode(job.dataset, job.features, split.development)
            settled = clone(model).set_params(**getattr(model, "refit_params_", {}))
            model, cost = _fit(settled, X, y, split.development, split.development[:0], job.threads)

    metrics["time/fit_seconds"] = cost.seconds
    if hasattr(model, "n_parameters_"):
        metrics["size/parameters"] = float(model.n_parameters_)
    memory = getattr(model, "peak_memory_", cost.peak_memory)
    if memory is not None:
        metrics["size/peak_memory_mib"] = memory / 2**20
    if not job.test:
        return Result(metrics=metrics, curves=curves)

    X_test = X[split.test]
    with Measured(job.threads) as predicting:
        prediction = np.asarray(model.predict(X_test), dtype=np.float64)
    metrics |= _grouped("test", evaluate(y[split.test], prediction, scale))
    if job.first_rows is not None:
        first = slice(job.first_rows)
        part = evaluate(y[split.test[first]], prediction[first], scale)
        metrics[f"test/mse_first_{job.first_rows}_rows"] = part["mse_raw"]
    if job.dataset.expected is not None:
        oracle = evaluate(y[split.test], job.dataset.expected[split.test], scale)
        metrics["test/oracle_mse"] = oracle["mse_raw"]
        metrics["test/noise_floor"] = float(job.dataset.variance[split.test].mean())
    metrics["time/predict_seconds"] = predicting.seconds
    extra = row_statistics(model, X_test, job.dataset, split)
    return Result(metrics, split.test, prediction, curves, extra, (model, X))


def _fit(
    model: BaseEstimator,
    X: Design,
    y: NDArray[np.float64],
    rows: NDArray[np.int64],
    validation: NDArray[np.int64],
    threads: int,
    limits: Mapping[int, float] = MappingProxyType({}),
) -> tuple[BaseEstimator, Measured]:
    """A copy of `model` fitted on `rows`, and its cost; iterative ones are shown `validation`, and held to
    `limits` where they let themselves be watched."""
    model = clone(model)
    if limits and "callback" in model.get_params():
        model.set_params(callback=partial(_held_to, limits))
    shown = {}
    if len(validation) and "validation" in inspect.signature(model.fit).parameters:
        shown = {"validation": (X[validation], y[validation])}
    X_fit, y_fit = X[rows], y[rows]
    with Measured(threads) as cost:
        model.fit(X_fit, y_fit, **shown)
    return model, cost


def _held_to(limits: Mapping[int, float], epoch: int, model: BaseEstimator) -> None:
    """Raises `Pruned` when the best validation error so far is above the limit of this epoch."""
    curve = model.history_.get("validation_mse", ())
    if epoch in limits and len(curve) and min(curve) > limits[epoch]:
        raise Pruned(list(curve))


def _grouped(group: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": value for name, value in metrics.items()}
