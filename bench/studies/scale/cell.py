"""One model on one number of simulated ratings, in a process of its own: times, memory, errors.

python -m bench.studies.scale.cell MODEL ROWS        prints JSON
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from baselines import VowpalWabbit
from baselines.peers.myfm import MyFM
from bench.measure import Measured
from bench.seeds import derive_rng
from bench.studies.speed.against_vw import averages
from bench.studies.speed.setting import Rows, job
from fm.validation import BURN_IN

K = 16
LOOKED_AT = 100_000
"""Test rows, at most, on which errors are measured."""
PREDICTIONS = 20
"""Of the last fit, told so that those of different threads can be compared."""
OURS = {
    "fm_sgd": {"k": K, "n_iter": 30, "early_stopping": None, "dtype": "float32"},  # as VW's weights
    "fm_als": {"k": K, "n_iter": 15, "early_stopping": None},
    "fm_gibbs": {"k": K, "n_iter": 30},
    "fm_ordinal": {"k": K, "n_iter": 30},
}
OTHERS = {
    "linear": {},
    "mf": {"k": K, "n_iter": 10, "early_stopping": None},
    "nmf": {"k": K, "n_iter": 20, "early_stopping": None},
    "quadratic": {},
    "vw_linear": {"bits": 24},
    "vw_rank": {
        "arguments": {
            "q": "ui", "rank": K, "l2": 1e-3, "learning_rate": 0.015, "decay_learning_rate": 0.97, "power_t": 0
        },
        "bits": 20,
        "holdout": False,
    },
    "vw_lrq": {"arguments": {"hash": "all", "lrq": f"ui{K}", "l2": 1e-6, "learning_rate": 0.15}, "bits": 24},
    "peer_myfm": {"k": K, "n_iter": 20},
    "peer_surprise_svd": {"k": K, "n_iter": 10},
    "peer_sklearn_ridge": {},
    "peer_sklearn_boosting": {},
    "peer_libfm": {"k": K, "n_iter": 20},
    "peer_myfm_ordered": {"k": K, "n_iter": 20},
    "peer_surprise_baseline": {},
    "peer_surprise_nmf": {"k": K, "n_iter": 10},
    "peer_surprise_svdpp": {"k": K, "n_iter": 5},
    "peer_ffm": {},
    "vw_crossed": {"bits": 24, "holdout": False},
    "vw_lrq_dropout": {
        "arguments": {
            "hash": "all", "lrq": f"ui{K}", "lrqdropout": True, "learning_rate": 0.1, "power_t": 0.6
        },
        "bits": 24,
    },
}  # fmt: skip
MODELS = OURS | OTHERS
"""Model of `conf/model` -> what differs from it."""
SHARE = {10_000_000: 0.5, 25_000_000: 0.25}
"""Of the epochs, where there are so many ratings: fewer are enough, and take long."""
FEW_PASSES = 2
WITHIN = 1.01
"""Of an error, that counts as having reached it."""
PASSES = {10_000_000: 4}
"""Of VW, else 10: the difference to few passes is what passes cost, reading and writing files excluded."""


@dataclass(frozen=True)
class Cell:
    """epoch : seconds of an epoch, sweep or pass, set-up excluded; None where a model has none, or only one.
    seconds, mse : of fitting so far, and clipped test MSE of a fit that had ended then; after each epoch where
        the model lets itself be watched, else of the whole fit alone.
    fit, predict : seconds in all; predicted are the test rows that are looked at.
    memory : bytes of the fit at its peak, beyond the data; None where the system does not say.
    oracle : MSE of the ratings' true means on the same test rows.
    predictions : of some test rows.
    """

    epoch: float | None
    seconds: list[float]
    mse: list[float]
    fit: float
    predict: float | None
    memory: int | None
    oracle: float
    predictions: list[float]

    @property
    def above(self) -> float:
        """By how many per cent the error of the whole fit is above the noise floor."""
        return 100 * (self.mse[-1] / self.oracle - 1)

    def reached(self, error: float) -> float | None:
        """Seconds until the error was within 1 % of this one; None if it never was."""
        pairs = zip(self.seconds, self.mse, strict=True)
        return next((seconds for seconds, mse in pairs if mse <= WITHIN * error), None)


@dataclass(frozen=True, eq=False)
class LookedAt(Rows):
    """Train rows, and the test rows that are looked at; `expected` are the true means of these."""

    expected: NDArray[np.float64]

    def mse(self, prediction: NDArray) -> float:
        return float(self.squared_errors(prediction).mean())

    @property
    def oracle(self) -> float:
        return self.mse(self.expected)


def measure(name: str, n_rows: int) -> Cell:
    """ImportError where the model is not installed."""
    model, rows = model_of(name, n_rows), rows_of(n_rows)
    warm_up(model, rows)
    return watched(model, rows)


def model_of(name: str, n_rows: int, *overrides: str, **given: object) -> BaseEstimator:
    """ImportError where it is not installed."""
    model = job("data=planted", f"model={name}", *overrides).model.set_params(
        **settings(name, n_rows) | given
    )
    reason = getattr(model, "unavailable", lambda: None)()
    if reason is not None:
        raise ImportError(reason)
    return model


def warm_up(model: BaseEstimator, rows: LookedAt) -> None:
    clone(model).fit(rows.X[:2000], rows.y[:2000])


def watched(model: BaseEstimator, rows: LookedAt) -> Cell:
    """A fit of `model`, looked at after each epoch where that can be done."""
    watch = {MyFM: _watched_myfm, VowpalWabbit: _passes}.get(type(model))
    if watch is None:
        watch = _watched if hasattr(model, "callback") else _plain
    return watch(model, rows)


def settings(name: str, n_rows: int) -> dict[str, object]:
    """What differs from `conf/model` for so many ratings."""
    given = dict(MODELS[name])
    if "n_iter" in given:
        given["n_iter"] = int(given["n_iter"] * SHARE.get(n_rows, 1))
    if name.startswith("vw_"):
        given["passes"] = PASSES.get(n_rows, 10)
    return given


def n_epochs(name: str, n_rows: int) -> int:
    """Epochs, sweeps or passes of a fit; 1 of a model that has none."""
    given = settings(name, n_rows)
    return given.get("n_iter") or given.get("passes") or 1


def epochs_of_fits(names: Iterable[str]) -> str:
    """Of up to a million ratings, as a page says it."""
    return ", ".join(
        f"{name} {MODELS[name]['n_iter']}" for name in names if "n_iter" in MODELS[name]
    )


def rows_of(n_rows: int, *overrides: str) -> LookedAt:
    asked = job(
        "data=planted", f"data.n_ratings={n_rows}", "split=random", "split.validation=0", *overrides
    )
    split = asked.split(asked.dataset)
    test = derive_rng(0, "scale").permutation(split.test)[:LOOKED_AT]
    rows = Rows.of(asked, split.development, test)
    return LookedAt(**vars(rows), expected=asked.dataset.expected[test])


def _watched(model: BaseEstimator, rows: LookedAt) -> Cell:
    """Predictions after each epoch are outside the time."""
    predictions: list[NDArray] = []

    def look(_: int, fitted: BaseEstimator) -> None:
        predictions.append(fitted.predict(rows.held_out))

    fitted, cost = _fitted(clone(model).set_params(callback=look), rows)
    seconds = fitted.history_["seconds"]
    if fitted.solver == "gibbs":
        predictions = averages(fitted, np.array(predictions))
    return _cell(fitted, rows, cost.peak_memory, seconds, [rows.mse(p) for p in predictions])


def _plain(model: BaseEstimator, rows: LookedAt) -> Cell:
    fitted, cost = _fitted(model, rows)
    return _cell(fitted, rows, cost.peak_memory, [cost.seconds])


def _passes(model: VowpalWabbit, rows: LookedAt) -> Cell:
    few, more = (
        _fitted(clone(model).set_params(passes=n), rows) for n in (FEW_PASSES, model.passes)
    )
    epoch = (more[1].seconds - few[1].seconds) / (model.passes - FEW_PASSES)
    memory = more[0].peak_memory_
    return replace(_cell(more[0], rows, memory, [more[1].seconds]), epoch=epoch)


def _watched_myfm(model: MyFM, rows: LookedAt) -> Cell:
    """By its own callback, whose time is taken off. As many first draws are left out as of ours."""
    X_test = rows.held_out.to_csr()
    ends: list[float] = []
    predictions: list[NDArray] = []
    paused = 0.0

    def look(_: int, machine: object, *__: object) -> tuple[bool, None]:
        nonlocal paused
        stopped = time.perf_counter()
        ends.append(stopped - began - paused)
        predictions.append(machine.predict_score(X_test, []))
        paused += time.perf_counter() - stopped
        return False, None

    with contextlib.redirect_stderr(io.StringIO()), Measured(threads=1) as cost:  # its progress bar
        began = time.perf_counter()
        MyFM.module().MyFMGibbsRegressor(rank=model.k, random_seed=model.random_state).fit(
            rows.X.to_csr(), rows.y, n_iter=model.n_iter, n_kept_samples=1, callback=look,
            group_shapes=[block.n_levels for block in rows.X],
        )  # fmt: skip
    mse = [
        rows.mse(np.mean(predictions[min(BURN_IN, n // 2) : n], axis=0))
        for n in range(1, len(ends) + 1)
    ]
    return Cell(
        float(np.median(np.diff(ends))),
        ends,
        mse,
        ends[-1],
        None,
        cost.peak_memory,
        rows.oracle,
        [],
    )


def _fitted(model: BaseEstimator, rows: LookedAt) -> tuple[BaseEstimator, Measured]:
    with Measured(threads=1) as cost:
        model.fit(rows.X, rows.y)
    return model, cost


def _cell(
    model: BaseEstimator,
    rows: LookedAt,
    memory: int | None,
    seconds: list[float],
    mse: list[float] | None = None,
) -> Cell:
    seconds = [float(s) for s in seconds]
    with Measured(threads=1) as predicting:
        prediction = model.predict(rows.held_out)
    epoch = float(np.median(np.diff(seconds))) if len(seconds) > 1 else None
    mse = [rows.mse(prediction)] if mse is None else mse
    some = [float(p) for p in prediction[:PREDICTIONS]]
    return Cell(epoch, seconds, mse, seconds[-1], predicting.seconds, memory, rows.oracle, some)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], int(sys.argv[2])))))
