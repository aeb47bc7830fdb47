import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm.layout import Layout

LEVELS = st.integers(1, 30).flatmap(
    lambda n: st.tuples(st.lists(st.integers(-1, n - 1), max_size=300), st.just(n))
)


@given(LEVELS, st.sampled_from([64, 128]))
def test_every_row_has_one_slot_in_a_chunk_of_its_level(levels_and_n, slab):
    levels, n_levels = levels_and_n
    levels = np.array(levels, dtype=np.intp)
    layout = Layout.of_levels(levels, n_levels, slab)
    full = layout.slots < len(levels)
    assert sorted(layout.slots[full]) == list(np.flatnonzero(levels >= 0))
    np.testing.assert_array_equal(layout.counts, np.bincount(levels[levels >= 0], minlength=n_levels))
    owner = np.concatenate([[], *(slab.owner for batch in layout.batches for slab in batch.slabs)])
    for slots, level in zip(layout.slots, owner, strict=True):
        assert np.all(levels[slots[slots < len(levels)]] == level)


@given(LEVELS)
def test_slabs_add_up_the_chunks_of_each_level(levels_and_n):
    levels, n_levels = levels_and_n
    layout = Layout.of_levels(np.array(levels, dtype=np.intp), n_levels, 64)
    rows = np.sum(layout.slots < len(levels), axis=1)
    total = np.zeros(n_levels)
    for batch in layout.batches:
        for slab in batch.slabs:
            assert batch.levels.start <= slab.levels.start and slab.levels.stop <= batch.levels.stop
            total[slab.levels] += slab.add @ rows[slab.chunks]
    np.testing.assert_array_equal(total, layout.counts)


@pytest.mark.parametrize("rows_per_level", [1, 10, 1000])
def test_few_slots_stay_empty(rows_per_level):
    levels = np.repeat(np.arange(50), rows_per_level)
    assert Layout.of_levels(levels, 50, 1024).slots.size <= max(4 * 50, 1.7 * levels.size)


def test_memory_of_a_slab_and_a_batch_is_bounded():
    """However unevenly the rows lie: a level of 100,000 rows, and 10,000 levels of one."""
    levels = np.concatenate([np.zeros(100_000, np.intp), np.arange(10_000)])
    layout = Layout.of_levels(levels, 10_000, 4096)
    length = layout.slots.shape[1]
    for batch in layout.batches:
        assert batch.levels.stop - batch.levels.start <= 512
        assert all((slab.chunks.stop - slab.chunks.start) * length <= 4096 for slab in batch.slabs)
