"""Batches of rows: how many, and that an epoch visits each row once."""

import numpy as np
import pytest

from fm.features import arrangement, default_batch_size, features, shuffled_batches
from tests.fm.data import ratings


@pytest.mark.parametrize(
    ("n_rows", "n_features", "expected"),
    [
        (90_570, 2625, 2625),
        (900_000, 9746, 18_000),
        (9_000_000, 80_555, 161_110),
        (100, 10, 128),
        (16_000, 10**6, 1000),
        (10**6, 3, 128),
    ],
)
def test_default_batch_size(n_rows, n_features, expected):
    assert default_batch_size(n_rows, n_features) == expected


def test_many_rows_are_visited_once_an_epoch_each(monkeypatch):
    monkeypatch.setattr("fm.features.SEGMENT", 64)
    batches = list(shuffled_batches(1000, 10, np.random.default_rng(0)))
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(1000))
    assert {len(batch) for batch in batches} == {10}
    assert all(np.ptp(batch) < 60 for batch in batches)
    whole = [
        np.arange(1000)[batch] for batch in shuffled_batches(1000, 33, np.random.default_rng(0))
    ]
    assert sorted(batch[0] for batch in whole) == list(range(0, 1000, 33))
    np.testing.assert_array_equal(np.sort(np.concatenate(whole)), np.arange(1000))


def test_segments_are_samples_of_all_rows_in_the_order_of_neighbors():
    X, _ = ratings(np.random.default_rng(0))
    rows = features(X, np.float64)
    order = arrangement(rows, len(X), 70)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(X)))
    place = np.empty(len(X), int)
    place[rows.neighbors()] = np.arange(len(X))
    for segment in np.split(place[order], range(70, len(X), 70)):
        assert np.all(np.diff(segment) > 0) and np.ptp(segment) > len(X) / 2
