"""The metrics of each task, the ones that choose and are reported among them: defined here alone.

Every metric is global, over all rows at once (never a mean of per-user means), and unrounded.

==============  ==================  ============================================================
task            headline            besides
==============  ==================  ============================================================
`rating`        MSE, clipped        RMSE and MAE; each clipped to the rating scale, as recommender
                                    papers and Vowpal Wabbit report it, and raw, as predicted
`regression`    MSE                 the same; without a scale nothing is clipped
`binary`        log loss            AUC, Brier score, accuracy, calibration error, normalized
                                    entropy
==============  ==================  ============================================================

A configuration is chosen by the headline metric on validation rows (`Task.selection_metric`) and
reported by the same metric on test rows (`Task.headline_metric`). Of both, lower is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scale = tuple[float, float] | None
Losses = NDArray[np.float64]

UNBOUNDED = (-np.inf, np.inf)
CALIBRATION_BINS = 15
EPSILON = np.finfo(np.float64).eps
"""Probabilities nearer to 0 or 1 count as this near, as in scikit-learn's log loss."""


@dataclass(frozen=True)
class Metric:
    """A metric: its `name` in tracked runs, after `validation/` or `test/`, and its `label`."""

    name: str
    label: str
    higher_is_better: bool = False


@dataclass(frozen=True)
class Task:
    """What models are asked to predict, and what their predictions are held against.

    Attributes
    ----------
    name : str
        `rating`, `regression` or `binary`.
    metrics : tuple of Metric
        What reports show, the headline first.
    loss : str
        Name of the headline's loss in learning curves: `train_mse`, `validation_mse`.
    evaluate : callable
        `evaluate(y, prediction, scale)` returns every metric by name. `y` and `prediction` are
        (n_rows,): ratings, real numbers, or classes 0 and 1 with the probabilities of class 1.
        `scale` is the lowest and highest possible rating, or None. A metric without a value on
        these rows is left out.
    row_losses : callable
        `row_losses(y, prediction, scale)` returns the (n_rows,) losses whose mean is the headline.
    """

    name: str
    metrics: tuple[Metric, ...]
    loss: str
    evaluate: Callable[[ArrayLike, ArrayLike, Scale], dict[str, float]]
    row_losses: Callable[[ArrayLike, ArrayLike, Scale], Losses]

    @property
    def headline(self) -> Metric:
        """The metric that chooses and that is reported; lower is better."""
        return self.metrics[0]

    @property
    def selection_metric(self) -> str:
        """Name of the tracked metric that configurations are chosen by."""
        return f"validation/{self.headline.name}"

    @property
    def headline_metric(self) -> str:
        """Name of the tracked metric that is reported."""
        return f"test/{self.headline.name}"

    @property
    def validation_curve(self) -> str:
        """Name of the learning curve that stops, prunes and is drawn."""
        return f"validation_{self.loss}"


def squared_errors(y: ArrayLike, prediction: ArrayLike, scale: Scale) -> Losses:
    """Return the (n_rows,) squared errors of predictions clipped to `scale`."""
    return (np.asarray(y, dtype=np.float64) - np.clip(prediction, *(scale or UNBOUNDED))) ** 2


def log_losses(y: ArrayLike, probability: ArrayLike, scale: Scale = None) -> Losses:
    """Return the (n_rows,) negative log likelihoods, in nats, of classes 0 and 1.

    `probability` (n_rows,) is that of class 1; `scale` is ignored.
    """
    p = np.clip(np.asarray(probability, dtype=np.float64), EPSILON, 1 - EPSILON)
    return -np.log(np.where(np.asarray(y) == 1, p, 1 - p))


def evaluate(y: ArrayLike, prediction: ArrayLike, scale: Scale) -> dict[str, float]:
    """Return MSE, RMSE (rating units) and MAE of predictions, clipped to `scale` and raw.

    Without a `scale` nothing is clipped. ValueError if a prediction is missing or not finite, or
    there is no row.
    """
    y, prediction = _checked(y, prediction)
    result: dict[str, float] = {}
    for kind, limits in (("clipped", scale), ("raw", None)):
        squares = squared_errors(y, prediction, limits)
        mse, mae = float(squares.mean()), float(np.sqrt(squares).mean())
        result |= {f"mse_{kind}": mse, f"rmse_{kind}": mse**0.5, f"mae_{kind}": mae}
    return result


def evaluate_binary(y: ArrayLike, probability: ArrayLike, scale: Scale = None) -> dict[str, float]:
    """Return the metrics of predicted probabilities of class 1.

    Log loss is in nats, accuracy at 0.5, the calibration error the expected one over 15 bins of
    equally many rows; normalized entropy is log loss over the entropy of the rows' own base rate (1
    is no better than knowing the rate). With one class alone there is neither that nor an AUC.

    ValueError if a class is neither 0 nor 1, a prediction is no probability, or there is no row.

    References
    ----------
    He et al. (2014), *Practical lessons from predicting clicks on ads at Facebook*: normalized
    entropy. Guo et al. (2017), *On calibration of modern neural networks*: calibration error.
    """
    y, p = _checked(y, probability)
    if not np.isin(y, (0, 1)).all():
        row = np.flatnonzero(~np.isin(y, (0, 1)))[0]
        raise ValueError(f"classes are 0 and 1, row {row} is {y[row]:g}")
    if p.min() < 0 or p.max() > 1:
        row = np.flatnonzero((p < 0) | (p > 1))[0]
        raise ValueError(f"probabilities lie between 0 and 1, that of row {row} is {p[row]:g}")
    log_loss = float(log_losses(y, p).mean())
    result = {
        "log_loss": log_loss,
        "brier": float(np.mean((p - y) ** 2)),
        "accuracy": float(np.mean((p > 0.5) == (y == 1))),
        "calibration_error": calibration_error(y, p),
    }
    rate = y.mean()
    if 0 < rate < 1:
        from scipy.special import entr

        entropy = float(entr(rate) + entr(1 - rate))
        result |= {"auc": auc(y, p), "normalized_entropy": log_loss / entropy}
    return result


def auc(y: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve: how often a 1 scores above a 0, ties counting half.

    Both are (n_rows,); `y` holds zeros and ones, at least one of each.
    """
    n_ones = np.count_nonzero(y == 1)
    from scipy.stats import rankdata  # takes as long as all else that is imported here

    ranks = rankdata(score)[y == 1].sum()
    return float((ranks - n_ones * (n_ones + 1) / 2) / (n_ones * (len(y) - n_ones)))


def calibration_error(
    y: NDArray[np.float64], p: NDArray[np.float64], n_bins: int = CALIBRATION_BINS
) -> float:
    """Return the mean over rows of |mean prediction - share of ones| in the row's bin.

    Bins are between quantiles of `p` (n_rows,), equal predictions sharing one.
    """
    return float(np.abs(np.bincount(quantile_bins(p, n_bins), p - y)).sum() / len(y))


def quantile_bins(values: NDArray[np.float64], n_bins: int) -> NDArray[np.intp]:
    """Return the bin of each of (n_rows,) values, between their quantiles; equal ones share one."""
    edges = np.quantile(values, np.linspace(0, 1, n_bins + 1))[1:-1]
    return np.searchsorted(edges, values)


def _checked(y: ArrayLike, prediction: ArrayLike) -> tuple[Losses, Losses]:
    """Return both as finite float arrays of one shape (n_rows,), n_rows > 0."""
    y, prediction = np.asarray(y, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if y.shape != prediction.shape or y.ndim != 1 or not y.size:
        raise ValueError(f"{prediction.shape} predictions for {y.shape} rows")
    if not np.isfinite(prediction).all():
        bad = np.flatnonzero(~np.isfinite(prediction))
        raise ValueError(f"{bad.size} predictions are not finite, the first in row {bad[0]}")
    return y, prediction


REAL = (Metric("mse_clipped", "MSE"), Metric("rmse_clipped", "RMSE"))
TASKS: Mapping[str, Task] = {
    "rating": Task("rating", REAL, "mse", evaluate, squared_errors),
    "regression": Task("regression", REAL, "mse", evaluate, squared_errors),
    "binary": Task(
        "binary",
        (
            Metric("log_loss", "log loss"),
            Metric("auc", "AUC", higher_is_better=True),
            Metric("brier", "Brier"),
            Metric("calibration_error", "calibration error"),
        ),
        "log_loss",
        evaluate_binary,
        log_losses,
    ),
}
"""The registry of tasks by name."""


def task_of(tags: Mapping[str, object]) -> Task:
    """Return the task of a tracked run or experiment; those that name none predict ratings."""
    return TASKS[str(tags.get("task", "rating"))]
