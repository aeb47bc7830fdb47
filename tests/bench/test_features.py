"""Features as blocks: every rating's user and item, and what tables say of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bench.data import planted
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.features import build_design
from fm.design import Design

NOTHING = np.array([], dtype=np.int64)


@pytest.fixture
def dataset() -> Dataset:
    ratings = pd.DataFrame({"user": [30, 10, 30, 40], "item": ["b", "a", "c", "b"], "rating": 3.0})
    users = pd.DataFrame(
        {
            "age": [20.0, np.nan, 60.0],
            "job": pd.Categorical(["x", "y", None], categories=["x", "y", "z"]),
            "zip": ["0", "1", "2"],
        },
        index=[30, 20, 10],
    )
    items = pd.DataFrame(
        {"fun": [True, False], "since": pd.to_datetime(["1995-01-01", None])}, index=["b", "z"]
    )
    return Dataset("tiny", ratings, (1.0, 5.0), "a test", {"user": users, "item": items})


def column(design: Design, name: str) -> list[float]:
    return design.to_csr()[:, [design.feature_names().index(name)]].toarray().ravel().tolist()


def test_levels_cover_ratings_and_tables(dataset: Dataset) -> None:
    user, item = build_design(dataset, ["ids"], NOTHING)
    assert user.labels.tolist() == [10, 20, 30, 40]
    assert user.levels.tolist() == [2, 0, 2, 3]
    assert item.labels.tolist() == ["a", "b", "c", "z"]
    assert item.levels.tolist() == [1, 0, 2, 1]
    assert user.side_features is None


def test_side_columns_say_what_the_tables_say(dataset: Dataset) -> None:
    design = build_design(dataset, ["ids", "side"], NOTHING)
    side = [name for name in design.feature_names() if "." in name.partition("=")[0]]
    assert [name for name in side if "age" not in name] == [
        "user.job:x",
        "user.job:y",
        "user.job:z",
        "item.fun",
    ]
    assert column(design, "user.job:x") == [1, 0, 1, 0]
    assert column(design, "user.job:y") == [0, 0, 0, 0]
    assert column(design, "item.fun") == [1, 0, 0, 1]
    ages = [column(design, name) for name in side if "age" in name]
    assert np.sum(ages, axis=0).tolist() == [1, 1, 1, 0]
    assert [1, 0, 1, 0] in ages
    assert [0, 1, 0, 0] in ages


def test_numbers_of_many_values_are_binned_and_of_few_are_not() -> None:
    n = 200
    ratings = pd.DataFrame({"user": np.arange(n), "item": 0, "rating": 3.0})
    users = pd.DataFrame({"many": np.arange(n) ** 2, "flag": np.arange(n) % 2, "name": "text"})
    dataset = Dataset("tiny", ratings, (1.0, 5.0), "a test", {"user": users})
    side = build_design(dataset, ["ids", "side"], NOTHING).block("user").side_features.toarray()
    assert side.shape == (n, 12)
    assert sorted(side.sum(axis=0)) == [20] * 10 + [100, 100]


def test_ids_come_first_whatever_the_order(dataset: Dataset) -> None:
    names = [
        build_design(dataset, order, NOTHING).feature_names()
        for order in (["ids", "side"], ["side", "ids"])
    ]
    assert names[0] == names[1]


def test_every_planted_level_is_described() -> None:
    dataset = planted(60, 50, 1300)
    user, item = build_design(dataset, ["ids", "side"], NOTHING)
    assert user.side_features.shape[0] == 60
    assert (user.side_features.sum(axis=1) == 3).all()
    year = [label.startswith("year") for label in item.side_feature_names]
    assert (item.side_features[:, year].sum(axis=1) == 1).all()
    genres = dataset.tables["item"].select_dtypes("bool")
    assert np.array_equal(item.side_features[:, np.invert(year)].toarray(), genres)


def test_ratings_are_never_a_feature(dataset: Dataset) -> None:
    before = build_design(dataset, ["ids", "side"], NOTHING).to_csr().toarray()
    dataset.rows["rating"] = 1.0
    assert np.array_equal(
        before, build_design(dataset, ["ids", "side"], NOTHING).to_csr().toarray()
    )


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            ["ids", "sides"],
            r"tiny has no feature 'sides' \(did you mean 'side'\?\); there are ids, side",
        ),
        (["ids", "ids"], "each feature can be named once, got ids, ids"),
        (["side"], "features side need 'ids' among them"),
        ([], "need 'ids'"),
        (
            ["ids", "user.jobs"],
            r"user table of tiny has no column 'jobs' \(did you mean 'job'\?\); there are age",
        ),
        (
            ["ids", "film.year"],
            r"tiny has no feature 'film.year'.*; there are ids, .*, user.COLUMN, item.COLUMN",
        ),
        (["user.job"], "features user.job need 'ids' among them"),
        (
            ["ids", "side", "user.job"],
            r"user.job:x is 2 times among the features: 'side' has all columns",
        ),
        (["ids", "cyclic"], "tiny has no timestamps, which the feature 'cyclic' needs"),
    ],
)
def test_bad_features(dataset: Dataset, features: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_design(dataset, features, NOTHING)


def test_columns_by_name(dataset: Dataset) -> None:
    """Text by value, dates and numbers in bins, flags as they are; beside `side`, what that leaves
    out.
    """
    dataset.tables["item"]["since"] = pd.to_datetime(["1995-01-01", "1980-01-01"])
    names = ["ids", "user.zip", "user.age", "item.fun", "item.since"]
    user, item = build_design(dataset, names, NOTHING)
    assert user.side_feature_names == ("zip:0", "zip:1", "zip:2", "age:20.0", "age:60.0")
    assert user.side_features.toarray().tolist() == [
        [0, 0, 1, 0, 1],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 1, 0],
        [0] * 5,
    ]
    assert [label.partition(":")[0] for label in item.side_feature_names] == [
        "fun",
        "since",
        "since",
    ]
    assert item.side_features.toarray().tolist() == [[0] * 3, [1, 0, 1], [0] * 3, [0, 1, 0]]
    assert (
        "zip:0"
        in build_design(dataset, ["ids", "side", "user.zip"], NOTHING)
        .block("user")
        .side_feature_names
    )


def test_columns_need_their_table(dataset: Dataset) -> None:
    bare = replace(dataset, tables={"user": dataset.tables["user"]})
    with pytest.raises(
        UserError, match=r"tiny has no item table, which the feature 'item.year' needs"
    ):
        build_design(bare, ["ids", "item.year"], NOTHING)


def test_side_needs_tables() -> None:
    ratings = pd.DataFrame({"user": [1], "item": [1], "rating": [1.0]})
    bare = Dataset("bare", ratings, (1.0, 5.0), "a test")
    with pytest.raises(
        UserError, match="bare has no user or item table, which the feature 'side' needs"
    ):
        build_design(bare, ["ids", "side"], NOTHING)


@pytest.mark.ml100k
def test_real_data(ml100k: Dataset) -> None:
    user, item = build_design(ml100k, ["ids", "side"], NOTHING)
    assert (user.n_levels, item.n_levels) == (943, 1682)
    assert np.array_equal(user.labels[user.levels], ml100k.rows["user"])
    assert np.array_equal(item.labels[item.levels], ml100k.rows["item"])
    assert (user.side_features.sum(axis=1) == 4).all()
    assert item.side_features.shape[1] == 19 + sum(
        label.startswith("year") for label in item.side_feature_names
    )


def test_days_are_levels_and_need_timestamps(dataset: Dataset) -> None:
    with pytest.raises(UserError, match="tiny has no timestamps"):
        build_design(dataset, ["ids", "day"], NOTHING)
    timed = replace(
        dataset,
        rows=dataset.rows.assign(timestamp=[86_399, 86_400, 0, 3 * 86_400]),
        time="timestamp",
    )
    day = build_design(timed, ["ids", "day"], NOTHING).block("day")
    assert day.levels.tolist() == [0, 1, 0, 2] and day.labels.tolist() == [0, 1, 3]


def test_implicit_features_are_of_training_rows_only(dataset: Dataset) -> None:
    user, item = build_design(dataset, ["ids", "implicit", "implicit_items"], np.array([0, 1, 2]))
    half = 0.5**0.5
    expected = [[1, 0, 0, 0], [0, 0, 0, 0], [0, half, half, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(user.side_features.toarray(), expected)
    np.testing.assert_allclose(
        item.side_features.toarray(), [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    )
    assert user.side_feature_names[1] == "rated b" and item.side_feature_names[2] == "rated by 30"


def test_sessions_are_a_users_spans_of_time_without_factors() -> None:
    dataset = planted(n_users=30, n_items=60, n_ratings=900, seed=0)
    design = build_design(dataset, ["sessions", "ids"], NOTHING)
    assert [block.name for block in design.interacting] == ["user", "item"]
    for name, seconds in {"second": 1, "minute": 60, "half_hour": 1800}.items():
        block = design.block(name)
        spans = list(zip(dataset.rows["user"], dataset.rows["timestamp"] // seconds, strict=True))
        assert block.linear and block.n_levels == len(set(spans))
        assert len(set(zip(spans, block.levels, strict=True))) == len(set(spans))


def test_a_feature_can_have_weights_alone() -> None:
    dataset = planted(n_users=30, n_items=60, n_ratings=900, seed=0)
    usual, linear = (build_design(dataset, ["ids", day], NOTHING) for day in ("day", "day:linear"))
    assert [block.name for block in linear.interacting] == ["user", "item"]
    assert linear.block("day").linear and not usual.block("day").linear
    np.testing.assert_array_equal(linear.block("day").levels, usual.block("day").levels)
    with pytest.raises(UserError, match="implicit:linear: only levels can have weights alone"):
        build_design(dataset, ["ids", "implicit:linear"], NOTHING)
    with pytest.raises(UserError, match="no feature 'daj'"):
        build_design(dataset, ["ids", "daj:linear"], NOTHING)
