"""Side features of users and items without training ratings, on data that were drawn from them."""

import numpy as np
import pytest

from bench.studies import cold_start


def test_side_features_tell_of_new_items(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = ("data.n_users=80", "data.n_items=150", "data.n_ratings=4000", "data.seed=2")
    model = ("model=fm_gibbs", "model.k=2", "model.n_iter=30")
    monkeypatch.setattr(cold_start, "SEEDS", range(3))
    monkeypatch.setattr(cold_start, "DATA", ("data=planted", *shape))
    monkeypatch.setattr(cold_start, "MODELS", {"fm_gibbs": model})
    found = cold_start.measure("item", None)
    by_ids, with_side = found["mse"]["fm_gibbs"].values()
    assert len(by_ids) == 3 and np.mean(with_side) < np.mean(by_ids)
    (section,) = cold_start.section("item", {"new items": found})
    assert section.text.startswith("A seed holds out 15 items, on average with ")
    _, ids, side = section.text.splitlines()[-3:]
    assert ids.split("|")[2].strip() == "ids (prior mean)" and ids.split("|")[5].strip() == "–"
    assert f"| {found['gain']['fm_gibbs'][0]:+.4f} [" in side and found["gain"]["fm_gibbs"][0] > 0
