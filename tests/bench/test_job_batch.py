import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.sweep.job_batch import PER_PROCESS, read, shares, write
from bench.sweep.trials import Trial


def trial(number, combination="model=linear", limits=()):
    values = {
        "model.l2": 0.1 * number,
        "seed": number,
        "test": False,
        "features.names": ["ids", "day"],
    }
    return Trial((), (combination,), values, f"{number:064x}", "", "", "", "", limits)


@given(st.lists(st.sampled_from("ab"), max_size=60), st.integers(1, 8))
def test_every_run_is_in_one_share_with_others_of_its_combination(combinations, processes):
    trials = [trial(i, combination) for i, combination in enumerate(combinations)]
    parts = list(shares(trials, processes))
    assert [t for part in parts for t in part] == trials
    assert all(len({t.combination for t in part}) == 1 for part in parts)


@pytest.mark.parametrize("processes", [2, 3, 16])
def test_shares_get_smaller_and_end_with_single_runs(processes):
    sizes = [len(part) for part in shares([trial(i) for i in range(100)], processes)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 100 // (PER_PROCESS * processes)
    assert set(sizes[-processes:]) == {1}


def test_a_single_process_has_one_share():
    assert [len(part) for part in shares([trial(i) for i in range(100)], 1)] == [100]


def test_what_is_read_is_what_was_written(tmp_path):
    runs = [trial(0), trial(1, limits=((3, 0.1 + 0.2), (10, 1.5)))]
    (values, none), (others, limits) = read(tmp_path, write(tmp_path, runs))
    assert (values, none) == (runs[0].values, {})
    assert (others, limits) == (runs[1].values, {3: 0.1 + 0.2, 10: 1.5})
