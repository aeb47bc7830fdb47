import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.sweep.job import PER_PROCESS, batches
from bench.sweep.trials import Trial


def trial(number, overrides="model=linear", limits=None):
    values = {
        "model.l2": 0.1 * number,
        "seed": number,
        "test": False,
        "features.names": ["ids", "day"],
    }
    names = {"model": "linear"}
    code = {"source": "s"}
    return Trial((overrides,), values, names, "d", code, f"{number:064x}", "", "", "", limits or {})


@given(st.lists(st.sampled_from("ab"), max_size=60), st.integers(1, 8))
def test_every_trial_is_in_one_batch_with_others_of_its_combination(overrides, processes):
    trials = [trial(i, text) for i, text in enumerate(overrides)]
    parts = list(batches(trials, processes))
    assert [trial for part in parts for trial in part] == trials
    assert all(len({trial.overrides for trial in part}) == 1 for part in parts)


@pytest.mark.parametrize("processes", [2, 3, 16])
def test_batches_get_smaller_and_end_with_single_trials(processes):
    sizes = [len(part) for part in batches([trial(i) for i in range(100)], processes)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 100 // (PER_PROCESS * processes)
    assert set(sizes[-processes:]) == {1}


def test_where_nobody_knows_how_many_processes_work_a_batch_is_one_trial():
    assert [len(part) for part in batches([trial(i) for i in range(9)], None)] == [1] * 9


def test_a_batch_is_the_same_in_another_process():
    (batch,) = batches([trial(1, limits={3: 0.1 + 0.2, 10: 1.5})], 1)
    assert pickle.loads(pickle.dumps(batch)) == batch
