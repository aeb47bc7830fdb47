"""Several chains: what each draws, in which order they run, and how far they agree."""

import numpy as np
import pytest

from fm import FMClassifier, FMOrdinal, FMRegressor
from fm.diagnostics import r_hats
from fm.gibbs import gibbs
from tests.fm.data import ratings

GIVEN = {"k": 2, "n_iter": 6, "burn_in": 2, "random_state": 0}


@pytest.fixture(name="data", scope="module")
def some_ratings():
    X, y, *_ = ratings(np.random.default_rng(1), 8, 7, 80)
    return X, y


def test_chains_are_those_of_spawned_generators(data):
    X, y = data
    model = FMRegressor(n_chains=3, **GIVEN).fit(X, y)
    chains = [
        gibbs(X, y, k=2, n_iter=6, burn_in=2, rng=rng).draws
        for rng in np.random.default_rng(0).spawn(3)
    ]
    for part, own in zip(model.draws_, zip(*chains, strict=True), strict=True):
        np.testing.assert_array_equal(part, np.concatenate(own))
    means = [chain.mean(X, lambda f, draw: f) for chain in chains]
    np.testing.assert_allclose(model.predict(X), np.mean(means, axis=0))
    assert not np.array_equal(chains[0].w, chains[1].w)


@pytest.mark.parametrize("cls", [FMRegressor, FMOrdinal, FMClassifier])
def test_neither_threads_nor_watching_change_chains(cls, data):
    X, y = data
    y = y > y.mean() if cls is FMClassifier else np.rint(y)
    alone = cls(n_chains=3, **GIVEN).fit(X, y)
    threads = cls(n_chains=3, n_jobs=2, **GIVEN).fit(X, y)
    sweeps = []
    watch = cls(n_chains=3, n_jobs=2, callback=lambda sweep, _: sweeps.append(sweep), **GIVEN)
    watch.fit(X, y, validation=(X, y))
    for model in (threads, watch):
        np.testing.assert_array_equal(model.draws_.w, alone.draws_.w)
    assert sweeps == [1, 2, 3, 4, 5, 6] * 3 and watch.n_iter_ == 6
    lengths = {len(values) for values in (*watch.history_.values(), *watch.trace_.values())}
    assert lengths == {18} and np.all(np.diff(watch.history_["seconds"]) > 0)
    loss = watch.history_[f"validation_{cls._loss_name}"][-1]  # of all draws together
    np.testing.assert_allclose(loss, watch._loss(watch._encode(y), watch._expect(X)))


def test_chains_go_on(data):
    X, y = data
    whole = FMRegressor(n_chains=2, **GIVEN).fit(X, y)
    steps = FMRegressor(n_chains=2, warm_start=True, **GIVEN).set_params(n_iter=3)
    steps.fit(X, y).fit(X, y)
    np.testing.assert_allclose(steps.predict(X), whole.predict(X))
    with pytest.raises(ValueError, match=r"'n_chains': 2.*'n_chains': 3"):
        steps.set_params(n_chains=3).fit(X, y)


def test_a_callback_ends_all_chains(data):
    sweeps = []

    def callback(sweep, _):
        sweeps.append(sweep)
        return len(sweeps) == 10

    model = FMRegressor(n_chains=3, callback=callback, **GIVEN).fit(*data)
    assert sweeps == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]
    assert len(model.draws_.w0) == 4 + 2 and model.r_hat_ == {}


def test_r_hat_tells_chains_that_agree_from_those_that_do_not():
    rng = np.random.default_rng(0)
    chains = [
        {"w0": x, "alpha": np.ones(400), "cut_points": np.empty((400, 0))}
        for x in rng.normal(size=(4, 400))
    ]
    assert list(r_hats(chains)) == ["w0"] and r_hats(chains)["w0"] < 1.01
    chains[0]["cut_points"] = np.column_stack([chains[0]["w0"], chains[0]["w0"] + 3])
    for chain in chains[1:]:
        chain["cut_points"] = np.column_stack([chain["w0"]] * 2)
    assert r_hats(chains)["cut_points"] > 1.2
    assert r_hats([{name: x[:7] for name, x in chain.items()} for chain in chains]) == {}


def test_n_chains_is_checked():
    with pytest.raises(ValueError, match="n_chains must be at least 1"):
        FMRegressor(n_chains=0).check_params()
    with pytest.raises(ValueError, match="n_chains=2 has no meaning for solver='als'"):
        FMRegressor(solver="als", n_chains=2).check_params()
