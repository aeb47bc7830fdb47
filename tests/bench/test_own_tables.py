"""A user's own tables of users and items: they become features, and faults are named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data import ratings_file
from bench.errors import UserError
from bench.features import build_design
from tests.bench.test_files import write, written

USERS = "id,job,age\n12,nurse,31\n07,,20\n99,cook,45\n"
ITEMS = "item;year\ntt01;1990\ntt9;2001\n"


def test_own_tables_become_features(tmp_path: Path) -> None:
    """Ids as those of the ratings: 07 is user 7; an id may be without ratings, and the other way
    round.
    """
    users, items = write(tmp_path, USERS, "u.csv"), write(tmp_path, ITEMS, "i.csv")
    data = ratings_file(written(tmp_path, "csv"), users=users, items=items)
    assert data.tables["user"].to_dict("index")[7]["age"] == 20 and data.tables[
        "user"
    ].index.tolist() == [12, 7, 99]
    user, item = build_design(data, ["ids", "user.job", "item.year"], np.arange(4))
    assert user.labels.tolist() == [3, 7, 12, 99] and user.side_feature_names == (
        "job:cook",
        "job:nurse",
    )
    assert user.side_features.toarray().tolist() == [[0, 0], [0, 0], [0, 1], [1, 0]]
    assert item.labels.tolist() == ["a b", "tt01", "tt02", "tt9"]
    assert item.side_features.toarray().tolist() == [[0, 0], [1, 0], [0, 0], [0, 1]]


def test_own_tables_may_be_parquet_and_are_part_of_the_digest(tmp_path: Path) -> None:
    ratings = written(tmp_path, "csv")
    frame = pd.DataFrame({"user": [7, 12], "job": ["nurse", "cook"]})
    frame.to_parquet(tmp_path / "u.parquet")
    users = ratings_file(ratings, users=tmp_path / "u.parquet").tables["user"]
    assert users["job"].to_dict() == {7: "nurse", 12: "cook"}
    digests = [ratings_file(ratings).digest]
    for content in (USERS, USERS.replace("31", "32")):
        digests.append(ratings_file(ratings, users=write(tmp_path, content, "u.csv")).digest)
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id\n7\n", "u.csv: there must be a column beside the user id, got id"),
        ("id,job\n7,a\n7,b\n", "u.csv: user id 7 occurs more than once"),
        ("id,job\n7,a\nx7,b\n", "u.csv: user id 'x7' is no whole number"),
        ("id,job\n7,a\n,b\n", "u.csv: user id is missing in row 2"),
        ("id,job\n70,a\n", "u.csv: no user of the rows is in it; its ids are 70"),
        ("", "u.csv cannot be read: .*No columns"),
    ],
)
def test_bad_own_tables(tmp_path: Path, content: str, message: str) -> None:
    ratings = written(tmp_path, "csv")
    with pytest.raises(UserError, match=message):
        ratings_file(ratings, users=write(tmp_path, content, "u.csv"))
    with pytest.raises(UserError, match=r"there is no file .*nowhere.csv"):
        ratings_file(ratings, items=tmp_path / "nowhere.csv")
