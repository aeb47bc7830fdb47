"""Time as features, and that no encoding knows of test rows: brute force, and any table that
hypothesis thinks of.
"""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import planted
from bench.data.dataset import Dataset
from bench.features import FEATURES, build_design
from fm.design import Block

DAY = 86_400


def table_of(rows: list[tuple[int, int, int, float]]) -> Dataset:
    ratings = pd.DataFrame(rows, columns=["user", "item", "timestamp", "rating"])
    users = pd.DataFrame({"age": [20, 30, 40, 50]}, index=range(4))
    items = pd.DataFrame({"year": [1990, 1995, 1997]}, index=range(3))
    return Dataset(
        "tiny", ratings, (1.0, 5.0), "a test", {"user": users, "item": items}, time="timestamp"
    )


def partition(block: Block) -> list[int]:
    """Which rows share a level, by the first row of each: all that a model learns from where
    numbers are only names.
    """
    levels = block.levels.tolist()
    return [levels.index(level) for level in levels]


rows = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(-DAY, 400 * DAY) | st.integers(0, 3),
        st.sampled_from([1.0, 3.0, 5.0]),
    ),
    min_size=2,
    max_size=25,
)


@given(rows, st.data())
@settings(deadline=None, max_examples=50)
def test_no_test_row_changes_what_another_is_encoded_as(
    rows: list[tuple], data: st.DataObject
) -> None:
    """All other test rows gone, and every rating another."""
    n = len(rows)
    train = np.array(sorted(data.draw(st.sets(st.integers(0, n - 2), min_size=1))))
    kept = np.union1d(train, [n - 1])
    fewer = [(*rows[row][:3], 6 - rows[row][3]) for row in kept]
    whole = build_design(table_of(rows), list(FEATURES), train)[kept]
    alone = build_design(table_of(fewer), list(FEATURES), kept.searchsorted(train))
    for one, other in zip(whole, alone, strict=True):
        if one.name in ("day", "second", "minute", "half_hour"):
            assert partition(one) == partition(other)
        else:
            assert np.array_equal(one.levels, other.levels) and one.n_levels == other.n_levels
            assert one.side_features is None or np.array_equal(
                one.side_features.toarray(), other.side_features.toarray()
            )


def test_hours_and_weekdays_are_those_of_the_calendar() -> None:
    dataset = planted(n_users=20, n_items=42, n_ratings=410, seed=1)
    hour, weekday = build_design(dataset, ["ids", "cyclic"], np.arange(410)).blocks[2:]
    for row, second in enumerate(dataset.rows["timestamp"]):
        moment = datetime.fromtimestamp(second, UTC)
        assert hour.labels[hour.levels[row]] == moment.hour
        assert weekday.labels[weekday.levels[row]] == f"{moment:%A}"
