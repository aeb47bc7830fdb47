import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from fm import rows as rows_module
from fm.als import als
from fm.block_kernel import BlockKernel
from fm.design import Block, Design
from fm.gibbs import gibbs
from fm.model import Coefficients, predict
from fm.row_kernel import RowKernel
from fm.rows import conflict_free_sets, rows_of
from tests.fm.data import random_design

pytestmark = pytest.mark.slow


def given_to(X, groups=None):
    return rows_of(X, None, groups, k=1, dtype=np.float64)


@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_sets_are_free_of_conflict_and_complete(X):
    sets = conflict_free_sets(sparse.csc_array(X.astype(float)))
    assert sorted(np.concatenate(sets)) == list(range(X.shape[1]))
    assert all(X[:, members].sum(axis=1).max() <= 1 for members in sets)


def fields(rng, n_rows=4000, n_fields=20, n_levels=60):
    """One-hot fields with long-tailed levels: (n_rows, n_fields) columns of a matrix."""
    levels = np.minimum(rng.zipf(1.5, (n_rows, n_fields)), n_levels) - 1
    return levels + n_levels * np.arange(n_fields)


def one_hot(columns, n_columns):
    n, f = columns.shape
    starts = np.arange(0, n * f + 1, f)
    return sparse.csr_array((np.ones(n * f), columns.ravel(), starts), shape=(n, n_columns))


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_fields_are_as_many_sets_of_every_row(seed):
    rng = np.random.default_rng(seed)
    X = one_hot(rng.permutation(20 * 60)[fields(rng)], 1200)
    sets = conflict_free_sets(sparse.csc_array(X))
    assert len(sets) == 20
    assert all((X[:, members].sum(axis=1) == 1).all() for members in sets)


@pytest.mark.parametrize("fit", [gibbs, als])
def test_shuffled_columns_go_on_from_where_they_stopped(fit):
    """Sets of columns lie together inside; what is kept is in the order of the columns."""
    rng = np.random.default_rng(0)
    X = one_hot(rng.permutation(10 * 9)[fields(rng, 60, 10, 9)], 90)
    y = rng.normal(size=60)
    options = {"l2": 1.0, "l2_w": 1.0} if fit is als else {}
    first = fit(X, y, k=2, n_iter=2, rng=np.random.default_rng(1), **options)
    start = first.state if fit is gibbs else first
    other = fit(X, y, k=2, n_iter=1, rng=np.random.default_rng(2), start=start, **options)
    whole = fit(X, y, k=2, n_iter=3, rng=np.random.default_rng(1), **options)
    last = (lambda f: f.draws.V[-1]) if fit is gibbs else (lambda f: f.coefficients.V)
    np.testing.assert_array_equal(last(other), last(whole))


@pytest.mark.parametrize("max_blocks", [0, 4])
def test_a_design_and_its_matrix_have_the_same_draws(max_blocks, monkeypatch):
    """Fields are neighboring columns, however rare their levels; all have moves of the origin."""
    monkeypatch.setattr(rows_module, "MAX_BLOCKS", max_blocks)
    rng = np.random.default_rng(0)
    levels = np.minimum(rng.zipf(1.5, (60, 3)), [20, 9, 3]) - 1
    counts = levels.max(axis=0) + 1
    X = Design(Block(str(b), levels[:, b], n) for b, n in enumerate(counts))
    y = rng.normal(size=60)
    design, matrix = (
        gibbs(rows, y, k=2, n_iter=3, rng=np.random.default_rng(1)).draws
        for rows in (X, X.to_csr())
    )
    for own, other in zip(design[:3], matrix[:3], strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-8)


def test_fields_beside_other_columns_are_found():
    rng = np.random.default_rng(0)
    field = np.eye(7)[np.minimum(rng.zipf(1.5, 50), 7) - 1]
    X = np.column_stack([rng.random((50, 3)) < 0.5, field, rng.normal(size=50), field[:, ::-1]])
    sets = [list(members) for members in conflict_free_sets(sparse.csc_array(X))]
    assert [*range(3, 10)] in sets
    assert [*range(11, 18)] in sets


def test_more_sets_than_bits_of_a_word():
    X = sparse.csc_array(np.ones((3, 150)))
    assert len(conflict_free_sets(X)) == 150


def test_a_dense_matrix_is_one_column_at_a_time():
    assert [len(s) for s in conflict_free_sets(sparse.csc_array(np.ones((5, 4))))] == [1] * 4


def test_groups_of_a_matrix():
    """By default one-hot sets apart and the rest together; else as they are numbered."""
    rng = np.random.default_rng(0)
    design = random_design(rng, 40, side=False, unknown=False)
    X = sparse.hstack([design.to_csr(), sparse.csr_array(rng.normal(size=(40, 3)))], format="csr")
    rows = given_to(X)
    assert isinstance(rows.kernel, RowKernel)
    groups = rows.groups
    assert rows.is_field == [True, True, True, False]
    assert sorted([list(g) for g in groups]) == [
        [*range(5)],
        [*range(5, 12)],
        [*range(12, 16)],
        [16, 17, 18],
    ]
    groups = given_to(X, np.repeat([4, 9], [10, 9])).groups
    assert [list(g) for g in groups] == [[*range(10)], [*range(10, 19)]]


def test_sets_of_a_bag_are_no_fields():
    rng = np.random.default_rng(0)
    X = (rng.random((200, 40)) < 0.2).astype(float)
    X[:, :2] = np.eye(2)[rng.integers(0, 2, 200)]
    groups = given_to(sparse.csr_array(X)).groups
    assert [list(g) for g in groups] == [[0, 1], [*range(2, 40)]]


def test_which_kernel():
    design = random_design(np.random.default_rng(0))
    block = Design(design.blocks[1:2]).to_csr()
    real = sparse.csr_array(np.random.default_rng(0).normal(size=(30, 3)))
    assert isinstance(given_to(design).kernel, BlockKernel)
    assert isinstance(given_to(block).kernel, BlockKernel)
    assert isinstance(
        given_to(2 * block).kernel, BlockKernel
    )  # its values are 1 in their own units
    assert isinstance(given_to(real).kernel, RowKernel)
    many = Design(Block(str(b), np.zeros(4, int), 1) for b in range(rows_module.MAX_BLOCKS + 1))
    assert isinstance(given_to(many).kernel, RowKernel)


def test_units_of_columns():
    X = np.array([[3.0, 0, 1, 0], [4, -2, 0, 0], [0, 2, 0, 0]])
    units = given_to(sparse.csr_array(X)).units
    np.testing.assert_allclose(units, [np.sqrt(12.5), 2, 1, 1])


def test_a_weight_is_a_number_of_rows_for_units_too():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(6, 3)), np.array([2, 0, 1, 3, 0, 1])
    X[:, 1] = [0, 5, 0, 0, 7, 0]  # only in rows of weight 0
    weighted = rows_of(sparse.csr_array(X), weight.astype(float), None, k=1, dtype=np.float64)
    repeated = given_to(sparse.csr_array(np.repeat(X, weight, axis=0)))
    np.testing.assert_allclose(weighted.units, repeated.units)


def kernels_of_one_design(monkeypatch, solve):
    """What `solve` makes of one-hot data by the block kernel, then by the row kernel, twice."""
    rng = np.random.default_rng(0)
    blocks = [Block(name, rng.integers(0, n, 300), n) for name, n in (("a", 6), ("b", 9), ("c", 3))]
    X = Design(blocks)
    w = rng.normal(size=18)
    y = X.to_csr() @ w + rng.normal(scale=0.3, size=300)
    yield solve(X, y)
    monkeypatch.setattr(rows_module, "MAX_BLOCKS", 0)
    yield solve(X, y)
    yield solve(X.to_csr(), y)


@pytest.mark.parametrize(("k", "n_iter", "l2_w", "atol"), [(0, 5, 0.1, 1e-10), (3, 800, 5.0, 1e-8)])
def test_als_reaches_the_same_by_both_kernels(monkeypatch, k, n_iter, l2_w, atol):
    """After each sweep where k = 0, as then both are exact in each level, and else at the minimum.

    With factors one kernel solves for a level's coordinates jointly, the other one by one, so that
    they meet only where the penalty leaves one minimum to reach: with l2 = 0.5 they end in
    different ones.
    """

    def solve(X, y):
        given = {"k": k, "n_iter": n_iter, "l2": 5.0, "l2_w": l2_w}
        return als(X, y, rng=np.random.default_rng(1), **given).coefficients

    by_blocks, *by_rows = kernels_of_one_design(monkeypatch, solve)
    for found in by_rows:
        np.testing.assert_allclose(found.w0, by_blocks.w0, atol=atol)
        np.testing.assert_allclose(found.w, by_blocks.w, atol=atol)
        pairs = [c.V @ c.V.T for c in (by_blocks, found)]  # V itself is free to turn
        np.testing.assert_allclose(*pairs, atol=atol)


@pytest.mark.parametrize("max_blocks", [0, 4], ids=["row kernel", "block kernel"])
def test_design_and_matrix_are_the_same_to_a_kernel(monkeypatch, max_blocks):
    """Sweep by sweep and draw by draw, with rows that lack a level."""
    monkeypatch.setattr(rows_module, "MAX_BLOCKS", max_blocks)
    rng = np.random.default_rng(0)
    X = Design(
        [Block(name, rng.integers(-1, n, 60), n) for name, n in (("a", 6), ("b", 9), ("c", 3))]
    )
    y = rng.normal(size=60)
    given = {"k": 3, "n_iter": 5, "l2": 0.5, "l2_w": 0.1}
    design, matrix = (
        als(form, y, rng=np.random.default_rng(1), **given).coefficients for form in (X, X.to_csr())
    )
    for a, b in zip(design[:3], matrix[:3], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
    for likelihood, target in (("gaussian", y), ("probit", (y > 0).astype(float))):
        design, matrix = (
            gibbs(
                form, target, k=3, n_iter=4, rng=np.random.default_rng(1), likelihood=likelihood
            ).draws
            for form in (X, X.to_csr())
        )
        for name in ("w0", "w", "V"):
            np.testing.assert_allclose(getattr(design, name), getattr(matrix, name), atol=1e-8)


@pytest.mark.parametrize(("likelihood", "n_iter"), [("gaussian", 400), ("probit", 900)])
def test_gibbs_has_the_same_posterior_by_both_kernels(monkeypatch, likelihood, n_iter):
    """Means of the predictions within Monte-Carlo error; draw by draw they differ."""

    def solve(X, y):
        target = y if likelihood == "gaussian" else (y > 0).astype(float)
        fit = gibbs(
            X, target, k=2, n_iter=n_iter, burn_in=50, rng=np.random.default_rng(1),
            likelihood=likelihood, groups=None,
        )  # fmt: skip
        draws = [
            predict(X, Coefficients(*draw))
            for draw in zip(fit.draws.w0, fit.draws.w, fit.draws.V, strict=True)
        ]
        return np.mean(draws, axis=0), np.std(draws, axis=0)

    (mean, std), *others = kernels_of_one_design(monkeypatch, solve)
    for other, _ in others:
        assert np.sqrt(np.mean(((other - mean) / std) ** 2)) < 0.4


def test_fields_are_runs_of_columns_with_one_entry_in_each_row() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 5))
        one_hot = [np.eye(m)[rng.integers(0, m, n)] for m in rng.integers(1, 4, 3)]
        X = np.hstack([one_hot[0], rng.integers(0, 2, (n, 3)), *one_hot[1:]])
        expected, first = [], 0
        while first < X.shape[1]:
            ends = range(X.shape[1], first, -1)
            end = next((e for e in ends if (X[:, first:e].sum(axis=1) == 1).all()), None)
            expected += [] if end is None else [list(range(first, end))]
            first = first + 1 if end is None else end
        assert [field.tolist() for field in rows_module._fields(sparse.csc_array(X))] == expected


@pytest.mark.parametrize("words", [False, True])
def test_preparing_rows_takes_twice_the_memory_of_the_matrix(words, monkeypatch):
    monkeypatch.setattr("fm.rows.reuse_freed_memory", lambda: None)  # whose array is never touched
    rng, n, n_fields = np.random.default_rng(0), 30_000, 10
    columns = rng.integers(0, 5000 if words else 50, (n, n_fields))
    columns += 0 if words else 50 * np.arange(n_fields)
    values = rng.uniform(1, 2, n * n_fields) if words else np.ones(n * n_fields)
    starts = np.arange(n + 1, dtype=np.int32) * n_fields
    entries = values, columns.ravel().astype(np.int32), starts
    X = sparse.csr_array(entries, shape=(n, 5000 if words else 50 * n_fields))
    X.sum_duplicates()
    matrix = X.data.nbytes + X.indices.nbytes
    tracemalloc.start()
    rows_of(X, None, None, k=4, dtype=np.float64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.1 * matrix
