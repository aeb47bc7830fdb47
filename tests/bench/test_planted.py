"""Planted ratings: the shape of MovieLens, and an error that is known not to be improvable."""

import tracemalloc

import numpy as np
import pytest

from bench.data import planted, simulate
from bench.data.dataset import Dataset
from bench.data.simulate import (
    activity,
    distinct_items,
    draw_stars,
    popularity,
    usual,
)
from bench.errors import UserError
from bench.features import build_design


@pytest.fixture(scope="module")
def data() -> Dataset:
    return planted()


def small(**changes: object) -> Dataset:
    return planted(**({"n_users": 60, "n_items": 50, "n_ratings": 1300} | changes))


KNOWN = {
    "stars": "e94296119ba1091b14b40ce98ef426ee2bfae2f1861dffba755a9a983278daf4",
    "half_stars": "d5f736f39103ca38e506016d3894f8a5610373aefa223f45ba370e7fb6c467d1",
}


@pytest.mark.parametrize("values", KNOWN)
def test_same_ratings_for_the_same_seed_everywhere(values: str) -> None:
    assert small(values=values).digest == small(values=values).digest == KNOWN[values]


def test_a_million_ratings_are_the_same_everywhere() -> None:
    data = planted(n_ratings=1_000_000)
    assert data.digest == "862efcdc963d2433f04699c5c49c78cc582048b873bb753f1ce708d1e8ddd024"
    assert (len(data.tables["user"]), len(data.tables["item"])) == (6040, 3706)


@pytest.mark.parametrize(
    ("n_ratings", "users", "items"),
    [(100_000, 943, 1682), (10_000_000, 69_878, 10_677), (25_000_000, 162_541, 59_047)],
)
def test_usual_shapes_are_those_of_movielens(n_ratings: int, users: int, items: int) -> None:
    assert (usual(n_ratings, "user"), usual(n_ratings, "item")) == (users, items)


def test_any_number_of_ratings_has_a_legal_shape() -> None:
    """From 200 ratings to 10^9; more ratings never come with fewer users or items."""
    sizes = np.geomspace(200, 1e9, 60).astype(int)
    users, items = (np.array([usual(n, whose) for n in sizes]) for whose in ("user", "item"))
    assert (20 * users <= sizes).all() and (2 * sizes <= users * items).all()
    assert (np.diff(users) >= 0).all() and (np.diff(items) >= 0).all()


def test_memory_is_that_of_what_is_returned_and_a_few_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, name, size in (
        (simulate, "CHUNK", 2**12),
        (simulate, "CHUNK_CELLS", 2**15),
    ):
        monkeypatch.setattr(module, name, size)
    n = 100_000
    tracemalloc.start()
    data = planted(500, 1000, n)
    returned, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert data.rows.memory_usage(index=False).sum() == 32 * n
    assert 48 * n < returned < 50 * n
    assert peak - returned < 24 * n


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"k": 1}, {"noise": 0.5}, {"n_users": 61}, {"n_items": 51}, {"n_ratings": 1301}],
)
def test_every_parameter_matters(change: dict) -> None:
    assert small(**change).digest != small().digest


def test_shape(data: Dataset) -> None:
    ratings = data.rows
    assert len(ratings) == 100_000
    assert not ratings.duplicated(["user", "item"]).any()
    assert ratings["user"].between(1, 943).all()
    assert ratings["item"].between(1, 1682).all()
    assert set(ratings["rating"]) == {1, 2, 3, 4, 5}
    assert ratings["timestamp"].between(874_724_710, 893_286_638).all()
    assert len(data.tables["user"]) == 943
    assert len(data.tables["item"]) == 1682


def test_tails_are_those_of_movielens(data: Dataset) -> None:
    """Real quantiles: 33, 65, 148, 310 and 737 ratings a user, 6, 27, 80, 230 and 583 an item."""
    quantiles = [0.25, 0.5, 0.75, 0.95, 1]
    users = data.rows["user"].value_counts()
    assert users.min() >= 20
    assert np.allclose(users.quantile(quantiles), [33, 65, 148, 310, 737], rtol=0.5)
    items = data.rows["item"].value_counts().reindex(data.tables["item"].index, fill_value=0)
    assert np.allclose(items.quantile(quantiles), [6, 27, 80, 230, 583], rtol=0.35)


def test_moments_are_those_of_movielens(data: Dataset) -> None:
    rating = data.rows["rating"]
    assert rating.mean() == pytest.approx(3.53, abs=0.1)
    assert rating.std() == pytest.approx(1.126, abs=0.04)
    assert rating.groupby(data.rows["user"]).mean().std() == pytest.approx(0.445, abs=0.06)


@pytest.mark.parametrize("step", [1.0, 0.5])
def test_expected_and_variance_are_those_of_rounded_normal_ratings(step: float) -> None:
    rng = np.random.default_rng(0)
    n, noise = 400_000, 0.95
    for mean in (-0.5, 1.2, 3.1, 4.5, 6.0):
        rounded = (step * np.rint((mean + noise * rng.standard_normal(n)) / step)).clip(step, 5)
        rating, expected, variance = draw_stars(rng, np.full(n, mean), noise, step)
        error = 4.5 * np.sqrt(variance[0] / n)
        assert rounded.mean() == pytest.approx(expected[0], abs=error)
        assert rating.mean() == pytest.approx(expected[0], abs=error)
        assert rounded.var() == pytest.approx(variance[0], rel=0.02)
        assert rating.var() == pytest.approx(variance[0], rel=0.02)
        shares = [np.bincount((r / step).astype(int), minlength=11) / n for r in (rounded, rating)]
        assert np.allclose(*shares, atol=0.005)


def test_half_stars_reach_their_noise_floor() -> None:
    data = planted(400, 500, 60_000, values="half_stars")
    rating = data.rows["rating"].to_numpy()
    assert data.scale == (0.5, 5.0)
    assert np.array_equal(rating % 0.5, np.zeros(60_000))
    squared = (rating - data.expected) ** 2
    error = 4 * squared.std() / np.sqrt(len(rating))
    assert squared.mean() == pytest.approx(data.variance.mean(), abs=error)
    assert np.mean((rating - rating.mean()) ** 2) - squared.mean() > 10 * error


def test_oracle_reaches_the_noise_floor_and_a_linear_model_does_not(data: Dataset) -> None:
    rating = data.rows["rating"].to_numpy()
    squared = (rating - data.expected) ** 2
    assert squared.mean() == pytest.approx(
        data.variance.mean(), abs=4 * squared.std() / np.sqrt(len(rating))
    )
    assert 0.77 < data.variance.mean() < 0.85

    X = build_design(data, ["ids"], np.array([], dtype=np.int64))
    train, test = data.splits["ua"]
    A = X[train].to_csr()
    mean = rating[train].mean()
    gram = (A.T @ A).toarray() + 4 * np.eye(A.shape[1])
    w = np.linalg.solve(gram, A.T @ (rating[train] - mean))
    linear = (rating[test] - mean - X[test].to_csr() @ w) ** 2
    assert 0.88 < linear.mean() < 0.97
    assert linear.mean() - squared[test].mean() > 0.07


def test_without_factors_expectations_are_additive_in_what_is_rounded() -> None:
    """With wide scales of noise the rounding is nearly linear, and only factors can make a pair
    special.
    """
    spread = {k: small(k=k, noise=3.0) for k in (0, 4)}
    residual = {}
    for k, data in spread.items():
        A = build_design(data, ["ids"], np.array([], dtype=np.int64)).to_csr().toarray()
        residual[k] = data.expected - A @ np.linalg.lstsq(A, data.expected)[0]
    assert residual[0].std() < 0.3 * residual[4].std()


def test_side_tables_tell_of_the_items(data: Dataset) -> None:
    mean = (
        data.rows.assign(expected=data.expected).groupby("item")["expected"].agg(["mean", "size"])
    )
    mean = mean[mean["size"] >= 20]["mean"]
    genres = data.tables["item"].select_dtypes("bool").loc[mean.index].to_numpy(float)
    side = np.column_stack([np.ones(len(mean)), data.tables["item"]["year"][mean.index], genres])
    explained = side @ np.linalg.lstsq(side, mean)[0]
    assert np.corrcoef(explained, mean)[0, 1] ** 2 > 0.12
    shuffled = side[np.random.default_rng(0).permutation(len(side))]
    assert np.corrcoef(shuffled @ np.linalg.lstsq(shuffled, mean)[0], mean)[0, 1] ** 2 < 0.06


def test_splits(data: Dataset) -> None:
    user, item = (data.rows[name].to_numpy() for name in ("user", "item"))
    assert list(data.splits) == ["ua", "ub", "u1", "u2", "u3", "u4", "u5"]
    for name, (train, test) in data.splits.items():
        assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(100_000))
        for rows in (train, test):
            assert (np.diff(user[rows] * 10_000 + item[rows]) > 0).all()
        if name in ("ua", "ub"):
            assert (np.bincount(user[test])[1:] == 10).all()
        else:
            assert len(test) == 20_000
    assert not np.intersect1d(data.splits["ua"][1], data.splits["ub"][1]).size
    folds = np.concatenate([data.splits[f"u{fold}"][1] for fold in range(1, 6)])
    assert np.array_equal(np.sort(folds), np.arange(100_000))


@pytest.mark.parametrize("density", [0.1, 0.3, 0.5])
def test_activity_adds_up(density: float) -> None:
    n_users, n_items = 300, 400
    n_ratings = int(density * n_users * n_items)
    counts = activity(np.random.default_rng(0), n_users, n_items, n_ratings)
    assert counts.sum() == n_ratings
    assert counts.min() >= 20
    assert counts.max() <= 300


def test_items_are_distinct_across_chunks_and_as_popular_as_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.data.simulate.CHUNK_CELLS", 700)
    rng = np.random.default_rng(0)
    weight = popularity(np.arange(100) / 100)
    counts = rng.integers(1, 76, size=50)
    items = distinct_items(rng, counts, weight)
    for mine in np.split(items, np.cumsum(counts)[:-1]):
        assert len(np.unique(mine)) == len(mine)
    single = distinct_items(rng, np.ones(50_000, dtype=np.int64), weight)
    assert np.allclose(
        np.bincount(single, minlength=100) / 50_000, weight / weight.sum(), atol=0.005
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_ratings": 100}, "n_ratings must be from 1200 .* to 1500 .* got 100"),
        ({"n_ratings": 2000}, "n_ratings must be from 1200"),
        ({"n_items": 30}, "n_items must be at least 40"),
        ({"n_users": 0}, "n_users must be at least 1"),
        ({"k": -1}, "k must be at least 0"),
        ({"noise": 0}, "noise must be above 0"),
        (
            {"values": "half_star"},
            r"values must be one of stars, .*\(did you mean 'half_stars'\?\)",
        ),
        ({"n_ratings": 0}, "n_ratings must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_bad_parameters(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**change)
