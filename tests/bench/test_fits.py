"""Fits that studies time: errors are measured outside the time, and are those of shorter fits."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bench.studies.races import (
    Fit,
    Rows,
    configured,
    rows_of,
    watched,
)
from fm import FMRegressor

pytestmark = pytest.mark.slow

SOLVERS = ("sgd", "als", "gibbs")
PLANTED = ("data=planted", "data.n_users=40", "data.n_items=60", "data.n_ratings=1000")


@pytest.fixture(scope="module")
def rows() -> Rows:
    return rows_of(*PLANTED)


def test_an_error_is_reached_in_the_first_epoch_that_has_it() -> None:
    fit = Fit([0.1, 0.3, 0.4, 0.6], [1.2, 0.9140, 0.92, 0.9], oracle=0.8)
    assert fit.reached(0.9140) == 0.3 and fit.reached(0.5) == np.inf and fit.fit == 0.6
    assert fit.above == pytest.approx(12.5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_watched_fit_has_the_errors_of_shorter_fits(solver: str, rows: Rows) -> None:
    model = FMRegressor(solver=solver, k=2, n_iter=6, random_state=3)
    fit = watched(model, rows)
    for n in (1, 3, 6):
        prediction = model.set_params(n_iter=n).fit(rows.X, rows.y).predict(rows.held_out)
        error = np.mean((np.clip(prediction, *rows.scale) - rows.truth) ** 2)
        assert_allclose(fit.mse[n - 1], error, rtol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
def test_looking_at_held_out_rows_takes_no_fit_time(solver: str, rows: Rows) -> None:
    began = time.perf_counter()
    asleep = 0.0

    def callback(*_: object) -> None:
        nonlocal asleep
        paused = time.perf_counter()
        time.sleep(0.05)
        asleep += time.perf_counter() - paused

    model = FMRegressor(solver=solver, k=2, n_iter=4, callback=callback).fit(rows.X, rows.y)
    assert asleep >= 0.2
    assert model.history_["seconds"][-1] <= time.perf_counter() - began - asleep


def test_a_model_without_epochs_is_looked_at_once(rows: Rows) -> None:
    fit = watched(configured("linear"), rows)
    assert len(fit.seconds) == len(fit.mse) == 1 and fit.epoch is None
    assert fit.oracle < fit.mse[0] < 2 * fit.oracle


def test_a_pass_of_vw_is_what_more_passes_take(rows: Rows) -> None:
    fit = watched(configured("vw_linear", passes=6), rows)
    assert len(fit.mse) == 1 and fit.epoch is not None


def test_a_share_of_held_out_rows(rows: Rows) -> None:
    few = rows_of(*PLANTED, most=10)
    assert len(few.held_out) == len(few.truth) == len(few.expected) == 10
    assert len(few.y) == len(rows.y)
