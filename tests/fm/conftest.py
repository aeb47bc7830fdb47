"""Ratings, and every estimator with each of its solvers."""

import numpy as np
import pytest
from sklearn.base import clone

from tests.fm.data import ratings
from tests.fm.estimators import EVERY, NAMES


@pytest.fixture
def data():
    return ratings(np.random.default_rng(0))


@pytest.fixture(params=EVERY, ids=NAMES)
def estimator(request):
    return clone(request.param).set_params(random_state=0)
