"""Published figures, and those of the project's own table, on MovieLens-100K's split `ua`."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from baselines import (
    MatrixFactorization,
    NonNegativeMatrixFactorization,
    QuadraticRegression,
    RidgeRegression,
    VowpalWabbit,
)
from bench.data.dataset import Dataset
from bench.data.splits import published
from bench.features import build_design

pytestmark = pytest.mark.ml100k

LAST_PROGRESS_LINE = 8192
"""Test rows after which VW last shows its error: the greatest power of two in 9,430."""


@pytest.fixture(scope="module")
def squared_errors(ml100k: Dataset) -> Callable[[BaseEstimator], np.ndarray]:
    """Of a model fitted to all of ua.base, in file order, on ua.test; clipped to the rating scale
    or not.
    """
    split = published(ml100k, "ua", validation=0.0)
    X, y = build_design(ml100k, ("ids",), split.train), ml100k.rows["rating"].to_numpy(np.float64)

    def errors(model: BaseEstimator, *, clip: bool) -> np.ndarray:
        prediction = model.fit(X[split.train], y[split.train]).predict(X[split.test])
        return ((np.clip(prediction, 1, 5) if clip else prediction) - y[split.test]) ** 2

    return errors


RANK = {"q": "ui", "rank": 10, "l2": 0.001, "learning_rate": 0.015, "decay_learning_rate": 0.97}
RANK |= {"power_t": 0}
LRQ = {"lrq": "ui6", "l2": 1e-6, "learning_rate": 0.15}


@pytest.mark.parametrize(
    ("arguments", "first_rows", "all_rows", "tolerance"),
    [
        ({"q": "ui"}, 0.965295, 0.956119, 2e-4),
        (RANK, 0.914585, 0.905107, 2e-3),
        ({}, 0.946948, 0.937058, 2e-4),
    ],
)
def test_published_protocols_of_vw(
    squared_errors: Callable, arguments: dict, first_rows: float, all_rows: float, tolerance: float
) -> None:
    errors = squared_errors(VowpalWabbit(arguments, passes=20, holdout=True), clip=False)
    assert errors[:LAST_PROGRESS_LINE].mean() == pytest.approx(first_rows, abs=tolerance)
    assert errors.mean() == pytest.approx(all_rows, abs=tolerance)


def test_vw_linear_on_all_rows(squared_errors: Callable) -> None:
    assert squared_errors(VowpalWabbit(passes=20), clip=False).mean() == pytest.approx(
        0.929238, abs=2e-4
    )


def test_vw_lrq_needs_hashed_names(squared_errors: Callable) -> None:
    """Whole numbers for names put users' factors on their neighbours' biases."""
    collide, apart = (
        squared_errors(
            VowpalWabbit(LRQ | hashing, passes=15, bits=22),
            clip=True,
        ).mean()
        for hashing in ({}, {"hash": "all"})
    )
    assert apart < 0.910 and collide > apart + 0.005


def test_linear(squared_errors: Callable) -> None:
    assert squared_errors(RidgeRegression(l2=4), clip=True).mean() == pytest.approx(
        0.918550, abs=1e-5
    )


def test_quadratic_is_no_better_than_linear(squared_errors: Callable) -> None:
    """No pair of ua.test is in ua.base, so that W says nothing: the linear model with l2 = 3.2 (1 +
    1 / 4).
    """
    errors = squared_errors(QuadraticRegression(l2=3.2, l2_pairs=4), clip=True)
    np.testing.assert_allclose(errors, squared_errors(RidgeRegression(l2=4), clip=True), atol=1e-6)


def test_mf(squared_errors: Callable) -> None:
    model = MatrixFactorization(k=8, l2=12, l2_w=5, n_iter=30, random_state=0)
    assert squared_errors(model, clip=True).mean() < 0.870


def test_nmf(squared_errors: Callable) -> None:
    model = NonNegativeMatrixFactorization(k=4, l2=3, n_iter=400, random_state=0)
    assert 0.870 < squared_errors(model, clip=True).mean() < 0.930
