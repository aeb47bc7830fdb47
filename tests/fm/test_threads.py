import threading

import numpy as np
import pytest

from fm import FMOrdinal, FMRegressor
from fm.arrays import mapping
from tests.fm.data import random_design


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_results_come_in_order(n_jobs):
    with mapping(n_jobs) as each:
        assert list(each(lambda x, y: x + y, range(20), range(20))) == [2 * i for i in range(20)]


def test_the_work_is_done_by_as_many_threads():
    meeting = threading.Barrier(3, timeout=10)  # none gets past it alone
    with mapping(3) as each:
        list(each(lambda _: meeting.wait(), range(6)))


@pytest.mark.parametrize("kind", ["design", "side", "weighted", "matrix", "ordered", "als"])
def test_threads_change_nothing(kind, monkeypatch):
    monkeypatch.setattr("fm.blocks.BATCH_LEVELS", 2)  # so that there is something to share out
    rng = np.random.default_rng(0)
    X = random_design(rng, 200, side=kind == "side")
    X = X.to_csr() * 0.5 if kind == "matrix" else X
    y = rng.integers(1, 5, 200).astype(float)
    weight = rng.uniform(0.5, 2, 200) if kind == "weighted" else None
    given = {"k": 3, "n_iter": 4, "random_state": 0}
    model = FMOrdinal(**given) if kind == "ordered" else FMRegressor(**given)
    if kind == "als":
        model.set_params(solver="als")
    alone, *several = (
        model.set_params(n_jobs=n)
        .fit(X, y, **({} if weight is None else {"sample_weight": weight}))
        .predict(X)
        for n in (1, 2, 5)
    )
    for prediction in several:
        np.testing.assert_array_equal(prediction, alone)
