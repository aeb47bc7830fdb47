"""Side features of users and items nobody knows, on data that were drawn from them."""

from functools import partial

import numpy as np
import pytest

from bench.data import planted
from bench.data.dataset import Dataset
from bench.data.splits import by
from bench.studies import cold_start
from bench.studies.cold_start import measure, section
from fm import FMRegressor

MODEL = partial(FMRegressor, solver="gibbs", k=2, n_iter=30)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return planted(n_users=80, n_items=150, n_ratings=4000, seed=2)


def test_side_features_tell_of_new_items(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_start, "SEEDS", range(3))
    monkeypatch.setattr(cold_start, "MODELS", {"fm_gibbs": MODEL})
    by_ids, with_side = (
        np.concatenate(measure(dataset, partial(by, field="item"), features, MODEL))
        for features in (("ids",), ("ids", "side"))
    )
    assert with_side.mean() < by_ids.mean()
    table = section(dataset, "item", partial(by, field="item"))
    assert table.startswith("A seed holds out 15 items, on average with ")
    mean, ids, side = table.splitlines()[-3:]
    assert mean.startswith("| mean of all training ratings")
    assert ids.split("|")[2].strip() == "ids (prior mean)" and ids.split("|")[5].strip() == "–"
    assert f"| {by_ids.mean() - with_side.mean():+.4f} [" in side
