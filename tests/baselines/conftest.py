"""Small designs with known answers."""

import numpy as np
import pytest

from fm.design import Block, Design


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def design(rng: np.random.Generator) -> Design:
    """400 rows of 30 users and 20 items, some pairs more than once; the last of each occurs
    nowhere.
    """
    return Design(
        (
            Block("user", rng.integers(29, size=400), 30),
            Block("item", rng.integers(19, size=400), 20),
        )
    )


@pytest.fixture
def y(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(1, 6, size=400).astype(np.float64)
