import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm.layout import BATCH_LEVELS, Layout, by_level, in_slots

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
