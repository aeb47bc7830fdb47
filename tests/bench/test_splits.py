"""Protocols: row sets are disjoint, cover everything, keep their order, and each draw has its own
stream.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.dataset import Dataset
from bench.data.splits import (
    Split,
    by,
    default,
    kfold,
    leave_last_out,
    published,
    published_by_user,
    random,
    rolling,
    temporal,
)
from bench.errors import UserError
from bench.seeds import derive_rng


def dataset_of(user: list[int], timestamp: list[int], splits: dict | None = None) -> Dataset:
    ratings = pd.DataFrame(
        {"user": user, "item": range(len(user)), "rating": 1.0, "timestamp": timestamp}
    )
    return Dataset("tiny", ratings, (1.0, 5.0), "a test", time="timestamp", splits=splits or {})


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    n = draw(st.integers(20, 60))
    few = st.lists(st.integers(0, 9), min_size=n, max_size=n)
    return dataset_of([7, 7, *draw(few)[2:]], draw(few))


PROTOCOLS: list[Callable[..., Split]] = [
    lambda data, **options: random(data, test=0.3, **options),
    lambda data, **options: kfold(data, fold=1, n_folds=3, **options),
    lambda data, **options: leave_last_out(data, n=1, **options),
    lambda data, **options: temporal(data, test=0.2, **options),
    lambda data, **options: published(
        dataset_of(
            data.rows["user"],
            data.rows["timestamp"],
            {"x": (np.arange(19)[::-1], np.array([19]))},
        ),
        "x",
        **options,
    ),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(data=datasets(), validation=st.sampled_from([0.0, 0.1, 0.5]), seed=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_row_sets_partition_the_ratings(
    protocol: Callable[..., Split], data: Dataset, validation: float, seed: int
) -> None:
    split = protocol(data, validation=validation, seed=seed)
    parts = [split.train, split.validation, split.test]
    rows = np.concatenate(parts)
    assert len(np.unique(rows)) == len(rows)
    assert np.array_equal(np.sort(rows), np.arange(20 if split.name == "x" else len(data.rows)))
    assert np.array_equal(np.sort(np.concatenate(parts[:2])), np.sort(split.development))
    assert len(split.validation) == round(validation * len(split.development))
    step = -1 if split.name == "x" else 1
    assert all((np.diff(part) * step > 0).all() for part in (split.development, *parts[:2]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_test_rows_do_not_depend_on_validation(protocol: Callable[..., Split]) -> None:
    data = dataset_of(list(range(10)) * 4, list(range(40)))
    a, b = (protocol(data, validation=validation) for validation in (0.1, 0.4))
    assert np.array_equal(a.test, b.test)
    assert np.array_equal(a.development, b.development)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_seed_alone_decides(protocol: Callable[..., Split]) -> None:
    data = dataset_of(list(range(10)) * 4, list(range(40)))
    same = [protocol(data, validation=0.5, seed=seed).validation for seed in (1, 1)]
    assert np.array_equal(*same)
    assert any(
        not np.array_equal(same[0], protocol(data, validation=0.5, seed=seed).validation)
        for seed in (2, 3)
    )


def test_folds_partition_the_ratings() -> None:
    data = dataset_of([0] * 23, [0] * 23)
    tests = [kfold(data, fold=fold, n_folds=4, seed=5).test for fold in range(4)]
    assert np.array_equal(np.sort(np.concatenate(tests)), np.arange(23))
    assert {len(test) for test in tests} == {5, 6}


@given(data=datasets(), n=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_leave_last_out_against_a_loop(data: Dataset, n: int) -> None:
    expected = []
    for _, rows in data.rows.groupby("user"):
        if len(rows) > n:
            expected += list(rows.sort_values("timestamp", kind="stable").index[-n:])
    if expected:
        assert leave_last_out(data, n=n).test.tolist() == sorted(expected)


@given(data=datasets(), test=st.floats(0.1, 0.8))
@settings(max_examples=50, deadline=None)
def test_temporal_tests_on_the_latest(data: Dataset, test: float) -> None:
    split = temporal(data, test=test)
    time = data.rows["timestamp"].to_numpy()
    assert len(split.test) == round(test * len(time))
    edge = time[split.test].min()
    assert time[split.development].max() <= edge
    assert np.flatnonzero(time[split.development] == edge).size == 0 or (
        split.development[time[split.development] == edge].max()
        < split.test[time[split.test] == edge].min()
    )


def test_published_order_is_kept() -> None:
    train, test = np.array([5, 0, 3, 1]), np.array([4, 2])
    split = published(dataset_of([0] * 6, [0] * 6, {"ua": (train, test)}), "ua", validation=0.25)
    assert split.development.tolist() == [5, 0, 3, 1]
    assert split.test.tolist() == [4, 2]
    assert split.train.tolist() == [row for row in train if row not in split.validation]


@given(data=datasets(), n=st.integers(1, 4), seed=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_each_user_gives_as_many_rows_to_validation(data: Dataset, n: int, seed: int) -> None:
    data = replace(data, splits={"x": (np.arange(19)[::-1], np.array([19]))})
    split = published_by_user(data, "x", n=n, seed=seed)
    user = data.rows["user"].to_numpy()
    for one in np.unique(user[:19]):
        n_ratings, given_away = (
            np.sum(user[rows] == one) for rows in (split.development, split.validation)
        )
        assert given_away == (n if n_ratings > n else 0)
    assert split.development.tolist() == list(range(18, -1, -1)) and split.test.tolist() == [19]


def test_validation_by_user_is_drawn_uniformly() -> None:
    data = dataset_of([0] * 6 + [1] * 4, [0] * 10, {"x": (np.arange(9), np.array([9]))})
    taken = sum(
        published_by_user(data, "x", n=2, seed=seed).validation_mask.astype(int)
        for seed in range(600)
    )
    assert taken.sum() == 600 * 4
    np.testing.assert_allclose(taken / 600, [2 / 6] * 6 + [2 / 3] * 3, atol=4 * np.sqrt(0.25 / 600))


def test_unknown_split_is_named_with_the_nearest() -> None:
    rows = (np.array([0]), np.array([1]))
    data = dataset_of([0, 0], [0, 0], {"ua": rows, "u1": rows})
    with pytest.raises(
        UserError, match=r"tiny has no split 'uaa' \(did you mean 'ua'\?\); there are ua, u1"
    ):
        published(data, "uaa")
    with pytest.raises(UserError, match="there are none: choose split=random"):
        published(dataset_of([0], [0]), "ua")


@pytest.mark.parametrize(
    ("development", "test", "message"),
    [
        ([0, 1, 2], [2, 1], "test overlaps train in 2 rows, first in row 1"),
        ([0, 1, 1], [2], "a row occurs twice"),
        ([0, 1], [2, 2], "a row occurs twice"),
        ([0, 1], [], "there is no test row"),
        ([], [0], "no row is left to train on"),
    ],
)
def test_bad_row_sets(development: list[int], test: list[int], message: str) -> None:
    rows = [np.array(part, dtype=np.int64) for part in (development, test)]
    with pytest.raises(UserError, match=f"split ua: {message}"):
        Split("ua", rows[0], np.zeros(len(development), dtype=bool), rows[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: random(data, test=1.5), "test must be at least 0 and at most 1, got 1.5"),
        (lambda data: random(data, test=0), "there is no test row"),
        (lambda data: random(data, validation=1), "no row is left to train on"),
        (lambda data: random(data, validation="a"), "validation must be a number, got 'a'"),
        (lambda data: kfold(data, fold=5), "fold must be at most 4, got 5"),
        (lambda data: kfold(data, fold=0, n_folds=1), "n_folds must be at least 2"),
        (lambda data: leave_last_out(data, n=0), "n must be at least 1"),
        (lambda data: published_by_user(data, "x", n=0), "n must be at least 1"),
        (lambda data: leave_last_out(data, n=20), "there is no test row"),
    ],
)
def test_bad_parameters(call: Callable[[Dataset], Split], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(dataset_of([0] * 20, [0] * 20))


def test_time_is_needed_for_temporal_protocols() -> None:
    data = replace(dataset_of([0] * 20, [0] * 20), time=None)
    for protocol in (temporal, leave_last_out):
        with pytest.raises(UserError, match="tiny has no timestamps: choose split=random"):
            protocol(data)


def test_streams_depend_on_seed_and_names_only() -> None:
    names = [(0,), (0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "ab"), (0, "a", 1)]
    draws = {name: derive_rng(*name).random() for name in names}
    assert len(set(draws.values())) == len(names)
    assert derive_rng(0, "a").random() == draws[0, "a"]


@pytest.mark.parametrize(
    ("protocol", "who"), [(partial(by, field="user"), "user"), (partial(by, field="item"), "item")]
)
@given(
    seed=st.integers(0, 50),
    ids=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=30),
)
@settings(max_examples=30, deadline=None)
def test_strangers_have_no_rating_elsewhere(
    protocol: Callable[..., Split], who: str, seed: int, ids: list[tuple[int, int]]
) -> None:
    every = [(n, n) for n in range(10)]
    ratings = pd.DataFrame([*every, *ids], columns=["user", "item"]).assign(rating=1.0)
    data = Dataset("tiny", ratings, (1.0, 5.0), "a test")
    split = protocol(data, test=0.3, validation=0.3, seed=seed)
    train, validation, test = (
        set(ratings[who].iloc[part]) for part in (split.train, split.validation, split.test)
    )
    assert (len(test), len(validation), len(train)) == (3, 2, 5)
    assert len(train | validation | test) == 10
    assert len(split.development) + len(split.test) == len(ratings)
    assert (np.diff(split.development) > 0).all() and (np.diff(split.test) > 0).all()
    other = protocol(data, test=0.3, validation=0.6, seed=seed)
    assert np.array_equal(other.test, split.test)
    assert any(
        not np.array_equal(protocol(data, test=0.3, seed=n).test, split.test) for n in range(51, 56)
    )


def test_rolling_origins_train_on_the_past_and_test_on_the_next_window() -> None:
    rng = np.random.default_rng(0)
    data = dataset_of(list(range(60)), rng.permutation(60).tolist())
    time = data.rows["timestamp"].to_numpy()
    tested = []
    for origin in range(5):
        split = rolling(data, origin=origin, n_origins=5, validation=0.2)
        assert len(split.test) == 10 and len(split.development) == 10 * (origin + 1)
        assert time[split.train].max() < time[split.validation].min()
        assert time[split.validation].max() < time[split.test].min()
        tested.extend(split.test)
    assert len(set(tested)) == 50
    with pytest.raises(UserError, match="origin must be at most 4"):
        rolling(data, origin=5)


def test_the_default_is_the_split_that_came_with_the_data_or_random() -> None:
    rows = (np.arange(12), np.arange(12, 15), np.arange(15, 20))
    data = replace(dataset_of([0] * 20, [0] * 20), splits={"given": rows}, default_split="given")
    split = default(data, validation=0.5)
    assert [split.train.tolist(), split.validation.tolist(), split.test.tolist()] == [
        part.tolist() for part in rows
    ]
    drawn = default(dataset_of([0] * 20, [0] * 20), test=0.2)
    assert (drawn.name, len(drawn.test)) == ("random", 4)


def test_a_field_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"tiny has no field 'usr' \(did you mean 'user'\?\)"):
        by(dataset_of([0] * 20, [0] * 20), "usr")
