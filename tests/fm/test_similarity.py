"""Features like a given one."""

import numpy as np
import pytest
from scipy import sparse

from fm import Block, Design, FMRegressor, similar
from fm.draws import Draws
from fm.model import Coefficients


def machine(V):
    model = FMRegressor(solver="sgd")
    model.machine_ = Coefficients(0.0, np.zeros(len(V)), np.asarray(V, dtype=float))
    return model


def test_columns_by_cosine_and_inner_product():
    model = machine([[1, 0], [2, 2], [3, 0.1], [-1, 0], [0, 0]])
    assert [j for j, _ in similar(model, 0)] == [2, 1, 4, 3]
    np.testing.assert_allclose(
        [s for _, s in similar(model, 0)], [3 / np.hypot(3, 0.1), np.sqrt(0.5), 0, -1], rtol=1e-12
    )
    assert similar(model, 0, n=2, measure="inner") == [(2, 3.0), (1, 2.0)]


def test_levels_are_compared_within_their_block_with_their_side_features():
    items = Block(
        "item",
        [0],
        3,
        sparse.csr_array([[1.0], [1.0], [0.0]]),
        np.array(["a", "b", "c"]),
        ("genre",),
    )
    design = Design((Block("user", [0], 1), items))
    model = machine([[9, 9], [0.1, 0], [0, 0.1], [1, 0], [0, 1]])
    assert [name for name, _ in similar(model, "item=a", design=design, measure="inner")] == [
        "item=b",
        "item=c",
    ]
    assert similar(model, "item=a", 1, design=design, measure="inner")[0][1] == pytest.approx(
        0.1 * 0 + 1 * 1.1
    )


def test_draws_are_averaged_not_their_factors():
    """Two draws that differ by a rotation say the same; the mean of their factors would say
    nothing.
    """
    V = np.array([[1.0, 0], [1, 0.1], [0, 1]])
    model = FMRegressor()
    model.machine_ = Draws(
        np.zeros(2), np.zeros((2, 3)), np.stack([V, -V]), np.zeros((2, 0, 3)), np.ones(2), None
    )
    assert similar(model, 0, measure="inner") == [(1, pytest.approx(1.0)), (2, pytest.approx(0.0))]


def test_errors():
    model = machine([[1, 0], [2, 2]])
    design = Design((Block("user", [0], 1, labels=["Ann"]), Block("item", [0], 1)))
    with pytest.raises(KeyError, match="no feature 7; there are columns 0 to 1"):
        similar(model, 7)
    with pytest.raises(KeyError, match=r"no level 'user=Anne' .did you mean 'user=Ann'"):
        similar(model, "user=Anne", design=design)
    with pytest.raises(ValueError, match="n must be at least 1"):
        similar(model, 0, 0)
    with pytest.raises(ValueError, match="measure must be one of cosine, inner"):
        similar(model, 0, measure="euclid")
    with pytest.raises(ValueError, match="no factors"):
        similar(machine(np.empty((2, 0))), 0)
