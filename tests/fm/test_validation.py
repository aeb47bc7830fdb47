"""What `fit` and `Block` refuse, in a sentence, and what they leave alone."""

import numpy as np
import pytest
from scipy import sparse

from fm import Block, FMRegressor

SOLVERS = ["sgd", "als", "gibbs"]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([0.7], r"must be whole numbers, got 0.7 in row 0"),
        ([0.0, np.nan], r"whole numbers, got nan in row 1"),
        (np.array([2**63], np.uint64), r"whole numbers, got 9223372036854775808"),
        ([1e30], "whole numbers, got 1e"),
        (["1"], r"must be whole numbers, got <U1: number the labels"),
        ([True], "whole numbers, got bool"),
    ],
)
def test_levels_are_never_rounded(levels, message):
    with pytest.raises(ValueError, match=f"block 'u': levels .*{message}"):
        Block("u", levels, 2)


def test_levels_of_any_whole_numbers():
    for dtype in (np.int8, np.uint64, np.float32):
        assert Block("u", np.array([0, 1], dtype), 2).levels.tolist() == [0, 1]
    assert Block("u", [], 2).levels.shape == (0,)


@pytest.mark.parametrize("solver", SOLVERS)
def test_numbers_whose_squares_overflow_are_refused(solver):
    X, y = np.random.default_rng(0).normal(size=(2, 30, 1))
    model = FMRegressor(solver=solver, n_iter=4)
    with pytest.raises(ValueError, match=r"y has the number .*e\+15.* choose a larger unit"):
        model.fit(X, y[:, 0] * 1e155)
    with pytest.raises(ValueError, match=r"X has the number .* choose a larger unit"):
        model.fit(sparse.csr_array(X * 1e155), y[:, 0])


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_matrix_is_left_as_it_is(solver):
    """Columns of a row in any order, some twice: these add up; nothing is moved in place."""
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 6, 120)
    given = sparse.csr_array(
        (rng.normal(size=120), indices, np.arange(0, 121, 4)), shape=(30, 6), copy=True
    )
    before = [part.copy() for part in (given.data, given.indices, given.indptr)]
    y = rng.normal(size=30)
    model = FMRegressor(solver=solver, n_iter=4, random_state=0).fit(given, y)
    after = given.data, given.indices, given.indptr
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    again = FMRegressor(solver=solver, n_iter=4, random_state=0).fit(given.toarray(), y)
    np.testing.assert_allclose(model.predict(given), again.predict(given.toarray()), atol=1e-8)
