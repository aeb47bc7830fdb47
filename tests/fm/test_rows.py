import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from fm import partition
from fm.als import als
from fm.blocks import Blocks
from fm.columns import Columns
from fm.design import Block, Design
from fm.gibbs import gibbs
from fm.rows import conflict_free_sets, rows_of
from tests.fm.data import random_design, ratings


def given_to(X, groups=None):
    return rows_of(X, None, groups, k=1, dtype=np.float64)


@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_sets_are_free_of_conflict_and_complete(X):
    sets = conflict_free_sets(sparse.csc_array(X.astype(float)))
    assert sorted(np.concatenate(sets)) == list(range(X.shape[1]))
    assert all(X[:, members].sum(axis=1).max() <= 1 for members in sets)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_one_hot_groups_side_by_side_are_found(seed):
    """With rows that lack a level, and levels that lack rows."""
    X = random_design(np.random.default_rng(seed), side=False).to_csr()
    assert len(conflict_free_sets(sparse.csc_array(X))) <= 3


def test_interleaved_one_hot_groups_are_few_sets():
    X = ratings(np.random.default_rng(0))[0].to_csr()
    shuffled = sparse.csc_array(X[:, np.random.default_rng(1).permutation(X.shape[1])])
    assert len(conflict_free_sets(shuffled)) < 14  # of 70 columns


def test_a_dense_matrix_is_one_column_at_a_time():
    assert [len(s) for s in conflict_free_sets(sparse.csc_array(np.ones((5, 4))))] == [1] * 4


def test_groups_of_a_matrix():
    """By default one-hot sets apart and the rest together; else as they are numbered."""
    rng = np.random.default_rng(0)
    design = random_design(rng, 40, side=False, unknown=False)
    X = sparse.hstack([design.to_csr(), sparse.csr_array(rng.normal(size=(40, 3)))], format="csr")
    rows, groups = given_to(X)
    assert isinstance(rows, Columns)
    assert [list(g) for g in groups] == [
        [*range(5)],
        [*range(5, 12)],
        [*range(12, 16)],
        [16, 17, 18],
    ]
    _, groups = given_to(X, np.repeat([4, 9], [10, 9]))
    assert [list(g) for g in groups] == [[*range(10)], [*range(10, 19)]]


def test_which_form_the_rows_take():
    design = random_design(np.random.default_rng(0))
    assert isinstance(given_to(design)[0], Blocks)
    assert isinstance(given_to(Design(design.blocks[1:2]).to_csr())[0], Blocks)
    assert isinstance(given_to(design.to_csr())[0], Columns)
    assert isinstance(given_to(2 * Design(design.blocks[1:2]).to_csr())[0], Columns)


def three_forms(monkeypatch, solve):
    """The same one-hot data as a design, as a matrix, and as a matrix not taken for one-hot."""
    rng = np.random.default_rng(0)
    blocks = [Block(name, rng.integers(-1, n, 60), n) for name, n in (("a", 6), ("b", 9), ("c", 3))]
    X, y = Design(blocks), rng.normal(size=60)
    yield solve(X, y)
    yield solve(X.to_csr(), y)
    monkeypatch.setattr(partition, "MAX_BLOCKS", 0)
    assert isinstance(given_to(X.to_csr())[0], Columns)
    yield solve(X.to_csr(), y)


def test_als_does_not_depend_on_the_form(monkeypatch):
    def solve(X, y):
        return als(X, y, k=3, n_iter=5, l2=0.5, l2_w=0.1, rng=np.random.default_rng(1)).coefficients

    design, *matrices = three_forms(monkeypatch, solve)
    for matrix in matrices:
        for a, b in zip(design[:3], matrix[:3], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("likelihood", ["gaussian", "probit"])
def test_gibbs_does_not_depend_on_the_form(monkeypatch, likelihood):
    def solve(X, y):
        y = y if likelihood == "gaussian" else (y > 0).astype(float)
        return gibbs(X, y, k=3, n_iter=4, rng=np.random.default_rng(1), likelihood=likelihood)

    design, *matrices = three_forms(monkeypatch, solve)
    for matrix in matrices:
        np.testing.assert_allclose(design.V, matrix.V, atol=1e-8)
        np.testing.assert_allclose(design.w, matrix.w, atol=1e-8)
        np.testing.assert_allclose(design.w0, matrix.w0, atol=1e-8)
