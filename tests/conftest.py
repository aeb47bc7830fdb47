from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.data import movielens
from bench.data.dataset import Dataset
from bench.errors import DataUnavailable


@pytest.fixture(scope="module", autouse=True)
def environment_as_it_was() -> Iterator[None]:
    """MLflow keeps the address of its store in the environment, where the next module's tests would
    find it.
    """
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def ml100k() -> Dataset:
    """The real MovieLens-100K; tests that ask for it are skipped where it cannot be had."""
    try:
        return movielens("ml100k")
    except DataUnavailable as error:
        pytest.skip(str(error))
