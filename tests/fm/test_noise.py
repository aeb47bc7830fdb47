"""Noise whose precision differs between the levels of fields."""

from dataclasses import replace

import numpy as np
import pytest

from fm import Block, Design, FMClassifier, FMOrdinal, FMRegressor, load, save
from fm.recommendation import predict_pairs

pytestmark = pytest.mark.slow

N_USERS, N_ITEMS, N = 40, 25, 4000
SD = np.where(np.arange(N_USERS) % 2, 1.6, 0.4)
"""Of the noise in what each user says."""


@pytest.fixture(scope="module")
def rows():
    """A design, the mean of y in each row, and y."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, N_USERS, N), rng.integers(0, N_ITEMS, N)
    X = Design((Block("user", user, N_USERS), Block("item", item, N_ITEMS)))
    mean = rng.normal(size=N_USERS)[user] + rng.normal(size=N_ITEMS)[item]
    return X, mean, mean + SD[user] * rng.standard_normal(N)


@pytest.fixture(scope="module")
def model(rows):
    X, _, y = rows
    given = {"k": 0, "n_iter": 150, "burn_in": 30, "random_state": 0}
    return FMRegressor(noise_by="user", **given).fit(X, y)


def test_learns_the_noise_of_each_level(rows, model):
    X, mean, y = rows
    draws = model.draws_
    sd = np.sqrt(1 / (draws.alpha[:, None] * draws.noise)).mean(axis=0)
    assert draws.noise.shape == (120, N_USERS + 1)
    np.testing.assert_allclose(sd[:-1], SD, rtol=0.25)
    assert np.mean(np.log(sd[:-1] / SD)) == pytest.approx(0, abs=0.03)
    plain = FMRegressor(k=0, n_iter=150, burn_in=30, random_state=0).fit(X, y)
    errors = [np.mean((m.predict(X) - mean) ** 2) for m in (model, plain)]
    assert errors[0] < 0.7 * errors[1]
    assert model.history_["train_mse"][-1] == pytest.approx(np.mean((y - mean) ** 2), rel=0.05)


def test_predicts_the_spread_of_each_level(rows, model):
    X, _, y = rows
    user = np.array([0, 1, -1])
    some = Design((Block("user", user, N_USERS), Block("item", [0, 0, 0], N_ITEMS)))
    _, sd = model.predict(some, return_std=True)
    np.testing.assert_allclose(sd[:2], SD[:2], rtol=0.25)
    low, high = model.predict_quantiles(some, [0.1, 0.9]).T
    width = high - low
    np.testing.assert_allclose(width[:2] / sd[:2], 2.563, rtol=0.05)
    assert width[0] < width[2] < width[1]  # an unknown user may be of either kind
    low, high = model.predict_quantiles(X, [0.1, 0.9]).T
    inside = (y > low) & (y < high)
    for kind in (0, 1):
        chosen = X.blocks[0].levels % 2 == kind
        assert np.mean(inside[chosen]) == pytest.approx(0.8, abs=0.04)


def test_learns_the_noise_of_two_fields(rows, tmp_path):
    X, mean, _ = rows
    user, item = (block.levels for block in X)
    of_item = np.where(np.arange(N_ITEMS) % 3, 1.0, 2.0)
    sd = SD[user] * of_item[item]
    y = mean + sd * np.random.default_rng(3).standard_normal(N)
    given = {"k": 0, "n_iter": 150, "burn_in": 30, "random_state": 0}
    model = FMRegressor(noise_by=["user", "item"], **given).fit(X, y)
    pairs = Design(
        (replace(X.blocks[0], levels=user[:500]), replace(X.blocks[1], levels=item[:500]))
    )
    _, spread = model.predict(pairs, return_std=True)
    assert np.corrcoef(spread, sd[:500])[0, 1] > 0.95
    np.testing.assert_allclose(np.log(spread / sd[:500]), 0, atol=0.45)
    by_item = model.draws_.noise[:, N_USERS + 1 : -1].mean(axis=0)
    ratio = np.log(by_item[1::3]).mean() - np.log(by_item[0::3]).mean()
    assert ratio == pytest.approx(2 * np.log(2), rel=0.15)
    errors = [
        np.mean((FMRegressor(noise_by=by, **given).fit(X, y).predict(X) - mean) ** 2)
        for by in (("user", "item"), "user")
    ]
    assert errors[0] < errors[1]
    save(model, tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").predict(X), model.predict(X))


def test_levels_of_equal_noise_stay_alike():
    rng = np.random.default_rng(1)
    user = rng.integers(0, N_USERS, N)
    X = Design((Block("user", user, N_USERS),))
    model = FMRegressor(k=0, n_iter=150, noise_by="user", random_state=0)
    noise = model.fit(X, rng.normal(size=N)).draws_.noise
    assert np.std(np.log(noise.mean(axis=0)[:-1])) < 0.1


def test_ordered_classes(rows):
    X, _, y = rows
    stars = np.digitize(y, [-1.5, -0.5, 0.5, 1.5])
    model = FMOrdinal(k=0, n_iter=150, burn_in=30, noise_by="user", random_state=0).fit(X, stars)
    noise = model.draws_.noise.mean(axis=0)[:-1]
    ratio = np.log(noise[::2]).mean() - np.log(noise[1::2]).mean()
    assert ratio == pytest.approx(2 * np.log(1.6 / 0.4), rel=0.15)
    plain = FMOrdinal(k=0, n_iter=150, burn_in=30, random_state=0).fit(X, stars)
    rest = np.random.default_rng(2).standard_normal(N)
    again = np.digitize(rows[1] + SD[X.blocks[0].levels] * rest, [-1.5, -0.5, 0.5, 1.5])
    likelihood, plain_likelihood = (
        np.mean(np.log(m.predict_proba(X)[np.arange(N), again])) for m in (model, plain)
    )
    assert likelihood > plain_likelihood + 0.05
    draw = next(model.draws_.each())
    p = model._expectation(np.zeros(2), draw, np.array([[0], [1]]))
    assert p[0, 2] > p[1, 2]  # nearer to certain


@pytest.mark.parametrize("noise_by", ["user", "item", "day", ("day", "user")])
def test_pairs_have_their_levels_noise(noise_by):
    rng = np.random.default_rng(0)
    fields = [("user", 4), ("item", 3), ("day", 2)]
    X = Design(tuple(Block(name, rng.integers(0, n, 60), n) for name, n in fields))
    y = rng.integers(0, 3, 60)
    model = FMOrdinal(k=2, n_iter=5, noise_by=noise_by, random_state=0).fit(X, y)
    ((levels, found),) = predict_pairs(model, X, "user", "item", [3, 1])
    user, item = (x.ravel() for x in np.meshgrid(levels, np.arange(3), indexing="ij"))
    numbers = {"user": user, "item": item, "day": np.full(6, -1)}
    pairs = Design(tuple(Block(name, numbers[name], n) for name, n in fields))
    np.testing.assert_allclose(found.ravel(), model.predict(pairs))


def test_save_and_load(rows, model, tmp_path):
    X, _, _ = rows
    save(model, tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert loaded.noise_by == "user"
    for a, b in zip(
        model.predict(X[:9], return_std=True), loaded.predict(X[:9], return_std=True), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_goes_on_bit_for_bit(rows):
    X, _, y = rows
    whole = FMRegressor(k=1, n_iter=6, noise_by="user", random_state=0).fit(X, y)
    part = FMRegressor(k=1, n_iter=3, noise_by="user", burn_in=2, warm_start=True, random_state=0)
    part.fit(X, y).fit(X, y)
    np.testing.assert_array_equal(part.draws_.noise[-1], whole.draws_.noise[-1])
    with pytest.raises(ValueError, match="warm_start goes on from"):
        part.set_params(noise_by=None).fit(X, y)


def test_refuses_what_has_no_noise_of_its_own(rows):
    X, _, y = rows
    with pytest.raises(ValueError, match="noise_by='user' has no meaning for solver='als'"):
        FMRegressor(solver="als", noise_by="user").check_params()
    with pytest.raises(ValueError, match=r"noise_by must be one of user, item, got 'usre'"):
        FMRegressor(noise_by="usre").fit(X, y)
    with pytest.raises(TypeError, match="noise_by=user needs X to be a Design"):
        FMRegressor(noise_by="user").fit(np.eye(3), [1, 2, 3])
    with pytest.raises(TypeError, match="noise_by must be the name of a field, or several, got 3"):
        FMRegressor(noise_by=3).fit(X, y)
    with pytest.raises(ValueError, match="noise_by names a field twice"):
        FMRegressor(noise_by=["user", "user"]).fit(X, y)
    with pytest.raises(ValueError, match="sample_weight and noise_by"):
        FMOrdinal(noise_by="user").fit(X, np.arange(N) % 3, np.ones(N))
    assert "noise_by" not in FMClassifier().get_params()
