"""One-hot blocks and their layout against the model equation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm.blocks import BATCH_LEVELS, Blocks, Layout, by_level, in_slots
from tests.oracles import fm_predict

SIZES = (5, 7, 3, 4)


def one_hot(levels, n):
    X = np.zeros((len(levels), n + 1))
    X[np.arange(len(levels)), levels] = 1
    return X[:, :n]


def example(n_blocks, weight=None, dtype=np.float64, k=2):
    """(rows, X, w0, theta): rows loaded with coefficients, and the matrix they stand for."""
    rng = np.random.default_rng(n_blocks)
    levels = [rng.integers(-1, n, 40) for n in SIZES[:n_blocks]]
    ends = np.cumsum(SIZES[:n_blocks])
    columns = [np.arange(end - n, end) for end, n in zip(ends, SIZES, strict=False)]
    X = np.hstack([one_hot(level, n) for level, n in zip(levels, SIZES, strict=False)])
    rows = Blocks(levels, columns, weight, k=k, dtype=dtype)
    w0, theta = 0.7, rng.normal(size=(ends[-1], k + 1))
    rows.load(w0, theta)
    return rows, X, w0, theta


CASES = [1, 2, 3, 4]


@pytest.mark.parametrize("n_blocks", CASES)
def test_prediction(n_blocks):
    rows, X, w0, theta = example(n_blocks)
    np.testing.assert_allclose(
        rows.prediction(), fm_predict(X, w0, theta[:, 0], theta[:, 1:]), atol=1e-12
    )


@pytest.mark.parametrize("n_blocks", CASES)
def test_prediction_after_a_set_was_updated(n_blocks):
    rows, X, w0, theta = example(n_blocks)
    for s, columns in enumerate(rows.columns):
        theta[columns] *= -1.5
        rows.absorb(s, theta[columns])
    np.testing.assert_allclose(
        rows.prediction(), fm_predict(X, w0, theta[:, 0], theta[:, 1:]), atol=1e-12
    )


@pytest.mark.parametrize("n_blocks", CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_regressors(n_blocks, weighted):
    """A row's are sqrt(weight) (x (1, q), r): with theta_j moved by d the prediction moves by x (1,
    q) d.
    """
    rng = np.random.default_rng(0)
    weight = rng.uniform(0, 2, 40) if weighted else None
    rows, X, w0, theta = example(n_blocks, weight)
    target = rng.normal(size=40)
    rows.explain(target)
    scale = np.ones(40) if weight is None else np.sqrt(weight)
    for s, columns in enumerate(rows.columns):
        seen = np.zeros(40, int)
        for batch in rows.layouts[s].batches:
            for slab in batch.slabs:
                slots, x = slab.chunks(rows.layouts[s].slots), rows.regressors(s, slab).copy()
                np.testing.assert_array_equal(x[slots == 40], 0)
                for chunk, level in enumerate(slab.owner):
                    mine = slots[chunk] < 40
                    row = slots[chunk, mine]
                    seen[row] += 1
                    without = theta.copy()
                    without[columns[level]] = 0
                    q = X[row] @ without[:, 1:]
                    h = X[row, columns[level]][:, None] * np.column_stack([np.ones(len(row)), q])
                    r = target[row] - fm_predict(X[row], w0, without[:, 0], without[:, 1:])
                    expected = scale[row, None] * np.column_stack([h, r])
                    np.testing.assert_allclose(x[chunk, mine], expected, atol=1e-12)
        np.testing.assert_array_equal(seen, np.any(X[:, columns] != 0, axis=1))


def test_whether_a_block_is_in_every_row():
    levels = [np.array([0, 1, 1]), np.array([0, -1, 1])]
    rows = Blocks(levels, [np.arange(2), np.arange(2, 4)], None, k=1, dtype=np.float64)
    assert rows.in_every_row(0) and not rows.in_every_row(1)


def test_regressors_are_in_the_given_precision():
    rows, *_ = example(2, np.ones(40), np.float32)
    rows.explain(np.zeros(40))
    assert rows.regressors(0, rows.layouts[0].batches[0].slabs[0]).dtype == np.float32


LEVELS = st.integers(1, 30).flatmap(
    lambda n: st.tuples(st.lists(st.integers(-1, n - 1), max_size=300), st.just(n))
)


def layout_of(levels, n_levels, slab):
    """Of rows by their levels, and the row in each slot, `len(levels)` where there is none."""
    rows, _, starts = by_level(levels, n_levels)
    layout = Layout.of_sorted(starts, slab)
    return layout, in_slots(rows[: starts[-1]], layout.slots, len(levels))


@given(LEVELS, st.sampled_from([128, 300]))
def test_every_row_has_one_slot_in_a_chunk_of_its_level(levels_and_n, slab):
    levels, n_levels = levels_and_n
    levels = np.array(levels, dtype=np.intp)
    layout, rows = layout_of(levels, n_levels, slab)
    assert sorted(rows[rows < len(levels)]) == list(np.flatnonzero(levels >= 0))
    np.testing.assert_array_equal(
        layout.counts, np.bincount(levels[levels >= 0], minlength=n_levels)
    )
    for batch in layout.batches:
        for each in batch.slabs:
            for chunk, level in zip(each.chunks(rows), each.owner, strict=True):
                assert np.all(levels[chunk[chunk < len(levels)]] == level)


@given(LEVELS)
def test_values_travel_with_their_rows(levels_and_n):
    levels, n_levels = levels_and_n
    values = np.arange(len(levels)) ** 2
    rows, carried, starts = by_level(np.array(levels, dtype=np.intp), n_levels, values)
    np.testing.assert_array_equal(carried, values[rows])
    known = np.array([level for level in levels if level >= 0], dtype=np.intp)
    np.testing.assert_array_equal(np.array(levels, np.intp)[rows[: starts[-1]]], np.sort(known))


@given(LEVELS)
def test_batches_add_up_the_chunks_of_each_level(levels_and_n):
    levels, n_levels = levels_and_n
    layout, rows = layout_of(np.array(levels, dtype=np.intp), n_levels, 128)
    full = rows < len(levels)
    total = np.zeros(n_levels)
    for batch in layout.batches:
        in_chunks = [slab.chunks(full).sum(axis=1) for slab in batch.slabs]
        total[batch.levels] = batch.add @ np.concatenate([[], *in_chunks])
    np.testing.assert_array_equal(total, layout.counts)


@given(LEVELS)
def test_every_level_is_in_one_batch_and_every_slot_in_one_slab(levels_and_n):
    levels, n_levels = levels_and_n
    layout, _ = layout_of(np.array(levels, dtype=np.intp), n_levels, 128)
    assert sorted(np.concatenate([batch.levels for batch in layout.batches])) == list(
        range(n_levels)
    )
    slabs = [slab.slots for batch in layout.batches for slab in batch.slabs]
    ends = [0, *(slots.stop for slots in slabs)]
    assert [slots.start for slots in slabs] == ends[:-1] and ends[-1] == len(layout.slots)


@pytest.mark.parametrize("rows_per_level", [1, 10, 50, 130, 1000])
def test_few_slots_stay_empty(rows_per_level):
    levels = np.repeat(np.arange(50), rows_per_level)
    assert len(layout_of(levels, 50, 1024)[1]) <= max(8 * 50, 1.6 * levels.size)


def test_memory_of_a_slab_and_a_batch_is_bounded():
    """However unevenly the rows lie: a level of 100,000 rows, and 10,000 levels of one."""
    levels = np.concatenate([np.zeros(100_000, np.intp), np.arange(10_000)])
    layout, _ = layout_of(levels, 10_000, 4096)
    for batch in layout.batches:
        assert len(batch.levels) <= BATCH_LEVELS
        assert all(slab.slots.stop - slab.slots.start <= 4096 for slab in batch.slabs)
