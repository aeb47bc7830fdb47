"""Any file of ratings: every format gives the same table, every fault its line and value."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import ratings_file
from bench.errors import UserError
from bench.features import build_design

TABLE = pd.DataFrame(
    {
        "user": [7, 7, 12, 3],
        "item": ["tt01", "tt02", "tt01", "a b"],
        "rating": [0.5, 4.5, 3.0, 5.0],
        "timestamp": [1_000_000_000, 1_000_000_001, 5, 2**40],
    }
)


def write(folder: Path, content: str | bytes, name: str = "r.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def written(folder: Path, kind: str, table: pd.DataFrame = TABLE) -> Path:
    path = folder / f"ratings.{kind}"
    match kind:
        case "csv":
            table.to_csv(path, index=False)
        case "tsv":
            table.to_csv(path, index=False, header=False, sep="\t")
        case "txt":
            table.to_csv(path, index=False, sep=";")
        case "csv.gz":
            path.write_bytes(
                gzip.compress(table.to_csv(index=False, lineterminator="\r\n").encode())
            )
        case "dat":
            path.write_text(
                "".join("::".join(map(str, row)) + "\n" for row in table.itertuples(index=False))
            )
        case "parquet":
            table.to_parquet(path)
    return path


KINDS = ("csv", "tsv", "txt", "csv.gz", "dat", "parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_table(tmp_path: Path, kind: str) -> None:
    data = ratings_file(written(tmp_path, kind))
    pd.testing.assert_frame_equal(data.rows, TABLE.astype({"item": "category"}))
    assert data.scale == (0.5, 5.0)


@given(
    pairs=st.lists(
        st.tuples(
            st.integers(-(2**62), 2**62), st.text("ab0,;:é \"'", min_size=1).filter(str.strip)
        ),
        min_size=1,
        max_size=20,
        unique=True,
    ),
    data=st.data(),
)
@settings(max_examples=50, deadline=None)
def test_csv_and_parquet_keep_every_value(
    tmp_path_factory: pytest.TempPathFactory, pairs: list, data: st.DataObject
) -> None:
    n = len(pairs)
    user, item = zip(*pairs, strict=True)
    finite = st.floats(allow_nan=False, allow_infinity=False)
    rating = data.draw(st.lists(finite, min_size=n, max_size=n))
    table = pd.DataFrame({"user": user, "item": item, "rating": rating}).assign(
        rating=lambda t: t["rating"] * 1.0
    )
    folder = tmp_path_factory.mktemp("round_trip")
    for kind in ("csv", "parquet"):
        read = ratings_file(written(folder, kind, table), header=True, separator=",").rows
        assert read["user"].tolist() == list(user)
        assert read["item"].astype(str).tolist() == list(item)
        assert read["rating"].tolist() == rating


def test_columns_by_name_and_position(tmp_path: Path) -> None:
    path = write(tmp_path, "when,stars,film,who\n5,1.5,x,a\n6,2,y,b\n")
    columns = {"user": "who", "item": 2, "rating": "stars", "timestamp": 0}
    ratings = ratings_file(path, columns=columns).rows
    assert ratings.to_dict("list") == {
        "user": ["a", "b"],
        "item": ["x", "y"],
        "rating": [1.5, 2.0],
        "timestamp": [5, 6],
    }
    assert "timestamp" not in ratings_file(path, columns=columns | {"timestamp": False}).rows


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["1", "10", "-3"], [1, 10, -3]),
        (["1", "01", "2"], ["1", "01", "2"]),
        (["1", "x", "2"], ["1", "x", "2"]),
        (["1.0", "2", "3"], ["1.0", "2", "3"]),
        ([str(2**63), "2", "3"], [str(2**63), "2", "3"]),
    ],
)
def test_ids_are_integers_only_if_all_are(tmp_path: Path, ids: list[str], expected: list) -> None:
    path = write(tmp_path, "".join(f"{name},1,3\n" for name in ids))
    assert ratings_file(path).rows["user"].tolist() == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["0", "881250949"], [0, 881250949]),
        (["1.9", "881250949.5"], [1, 881250949]),
        (["1970-01-02", "1970-01-01"], [86400, 0]),
        (["1970-01-01 00:01:00", "1970-01-01T02:00:00+01:00"], [60, 3600]),
    ],
)
def test_time_stamps_are_seconds_or_dates(
    tmp_path: Path, times: list[str], expected: list[int]
) -> None:
    path = write(tmp_path, "".join(f"{i},1,3,{time}\n" for i, time in enumerate(times)))
    assert ratings_file(path).rows["timestamp"].tolist() == expected


def test_parquet_of_other_types(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "user": pd.Categorical(["b", "a", "b"]),
            "item": [1.0, 2.0, 3.0],
            "rating": np.array([1, 2, 3], dtype=np.int8),
            "timestamp": pd.to_datetime(["1970-01-01", "1970-01-02", "1970-01-03"]).as_unit("ns"),
        }
    )
    ratings = ratings_file(written(tmp_path, "parquet", table)).rows
    assert ratings["user"].tolist() == ["b", "a", "b"]
    assert ratings["item"].tolist() == [1, 2, 3]
    assert ratings["rating"].tolist() == [1.0, 2.0, 3.0]
    assert ratings["timestamp"].tolist() == [0, 86400, 172800]


REPEATED = "1,1,2,10\n1,2,3,20\n1,1,5,5\n2,1,1,1\n"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("first", [(1, 1, 2, 10), (1, 2, 3, 20), (2, 1, 1, 1)]),
        ("last", [(1, 2, 3, 20), (1, 1, 5, 5), (2, 1, 1, 1)]),
        ("mean", [(1, 1, 3.5, 10), (1, 2, 3, 20), (2, 1, 1, 1)]),
    ],
)
def test_duplicates(tmp_path: Path, policy: str, expected: list[tuple]) -> None:
    ratings = ratings_file(write(tmp_path, REPEATED), duplicates=policy).rows
    assert list(ratings.itertuples(index=False, name=None)) == expected


def test_digest_is_that_of_what_was_read(tmp_path: Path) -> None:
    digests = [
        ratings_file(write(tmp_path, text)).digest for text in ("1,1,2\n", "1,1,2\n", "1,1,3\n")
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "is empty: there is no row in it"),
        ("\n\n", {}, "is empty"),
        ("user,item,rating\n", {}, "is empty"),
        ("1,2\n", {}, "line 1: there is no column 2 for rating, only 0 to 1"),
        (
            "a,b,c\n1,2,3\n",
            {"columns": {"user": "c", "rating": "d"}},
            "line 1: there is no column 'd' for rating",
        ),
        (
            "user,item,ratings\n1,2,3\n",
            {"columns": {"rating": "rating"}},
            r"\(did you mean 'ratings'\?\)",
        ),
        (
            "1,2,3\n",
            {"columns": {"stars": 2}},
            "columns must be one of user, item, rating, timestamp, got 'stars'",
        ),
        ("u,i,r\n1,2,3\n\n1,3,three\n", {}, "line 4: rating 'three' is not a finite number"),
        ("1,2,\n1,3,3\n", {}, "line 1: rating '' is not a finite number"),
        ("1,2,3\n1,3,nan\n", {}, "line 2: rating nan is not a finite number"),
        ("1::2::3\n1::3::inf\n", {}, "line 2: rating inf is not a finite number"),
        ("1,2,3\n1,3\n", {}, "line 2: 2 fields where the first line has 3"),
        ("1::2::3\n\n1::3::4::5\n", {}, "line 3: 4 fields where the first line has 3"),
        ("1,2,3\n,3,3\n", {}, "line 2: there is no user id"),
        ("1,2,3,4\n1,3,3,x\n", {}, "line 2: time stamp 'x' is not seconds since 1970 or a date"),
        (b"x,\xe9,3\n", {}, "line 1: not utf-8; give the file's encoding"),
        ("1,1,3\n1,2,9\n", {"scale": (1, 5)}, "line 2: rating 9.0 is outside the scale 1 to 5"),
        ("1,1,3\n", {"scale": (5, 1)}, "scale's high end must be above 5"),
        (
            "1,1,3\n",
            {"duplicates": "lasst"},
            r"duplicates must be one of .*\(did you mean 'last'\?\)",
        ),
        (REPEATED, {}, "line 3: user 1 has rated item 1 before, in .*line 1; duplicates=first"),
    ],
)
def test_faults_are_named(
    tmp_path: Path, content: str | bytes, options: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        ratings_file(write(tmp_path, content), **options)
    assert "\n" not in str(raised.value)


def test_faults_of_parquet_are_named(tmp_path: Path) -> None:
    table = TABLE.assign(rating=[1.0, 2.0, np.nan, 3.0])
    with pytest.raises(
        UserError, match=r"ratings.parquet, row 3: rating '' is not a finite number"
    ):
        ratings_file(written(tmp_path, "parquet", table))
    with pytest.raises(UserError, match="there is no column 'stars' for rating"):
        ratings_file(written(tmp_path, "parquet"), columns={"rating": "stars"})
    with pytest.raises(UserError, match="cannot be read"):
        ratings_file(write(tmp_path, "no parquet", "r.parquet"))


def test_faults_behind_the_first_megabyte_are_named(tmp_path: Path) -> None:
    """pyarrow reads in blocks and in parallel; the line is right all the same."""
    lines = [f"{row},1,3.5" for row in range(200_000)]
    lines[170_000] = "170000,1,bad"
    with pytest.raises(UserError, match="line 170001: rating 'bad'"):
        ratings_file(write(tmp_path, "\n".join(lines)))


def test_missing_file_and_broken_archive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file .*nowhere.csv"):
        ratings_file(tmp_path / "nowhere.csv")
    with pytest.raises(UserError, match="cannot be read"):
        ratings_file(write(tmp_path, gzip.compress(b"1,2,3\n" * 10_000)[:50], "r.csv.gz"))


@pytest.mark.parametrize(
    "header",
    ["item,rating,user", "item_id,stars,user_id", "Item,Rating,userId", "movieId,score,uid"],
)
def test_a_header_says_which_column_is_which(tmp_path: Path, header: str) -> None:
    rows = ratings_file(write(tmp_path, f"{header}\n7,1.5,30\n")).rows
    assert rows.to_dict("list") == {"user": [30], "item": [7], "rating": [1.5]}


def test_a_header_that_leaves_a_role_open_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"which column is the item\? There are rating, user, film"):
        ratings_file(write(tmp_path, "rating,user,film\n3,1,2\n"))


def test_other_named_columns_are_fields_or_numbers_and_no_time_stamps(tmp_path: Path) -> None:
    data = ratings_file(write(tmp_path, "user,item,rating,device,price\n1,2,3,tv,0.5\n"))
    assert data.fields == ("user", "item", "device")
    assert (data.numeric, data.time) == (("price",), None)
    design = build_design(data, ["ids", "device"], np.arange(1))
    assert design.feature_names() == ["user=1", "item=2", "device=tv"]


def test_digest_is_of_what_was_parsed_not_of_the_bytes(tmp_path: Path) -> None:
    text = "1,1,2,10\n1,2,3,20\n1,1,5,5\n2,1,1,1\n"
    digests = [
        ratings_file(write(tmp_path, text), duplicates=policy).digest
        for policy in ("first", "last", "mean")
    ]
    other = ratings_file(write(tmp_path, text), duplicates="first", columns={"user": 1, "item": 0})
    assert len({*digests, other.digest}) == 4
    as_tsv = write(tmp_path, text.replace(",", "\t"), "r.tsv")
    assert ratings_file(as_tsv, duplicates="first").digest == digests[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('1,2,3\n1,3,"4', "ends within quotes"),
        ('u,"i",r\n1,"a" ,3\n2,"b\n,4\n', "ends within quotes"),
        ("1,2,3,1e20\n", "line 1: time stamp '1e20' is not seconds since 1970"),
        ("1,2,3,9223372036854775807\n", "time stamp 9223372036854775807 is not seconds"),
        ("1,2,3,20000-01-01\n", "line 1: time stamp '20000-01-01' is not seconds"),
        ("1,2," + "x" * 200 + "\n1,1,1\n", "rating '" + "x" * 70),
        ("1,1," + "2" * 131_073 + "\n", "line 1: field larger than field limit"),
    ],
)
def test_what_was_misread_or_a_traceback_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        ratings_file(write(tmp_path, content))
    assert len(str(raised.value)) < 400


def test_dates_of_all_centuries_and_long_fields_are_read(tmp_path: Path) -> None:
    text = "1,a,3,1600-01-01\n1,b,3,2500-01-01T12:00:00\n1," + "c" * 200_000 + ",3,1970-01-01\n"
    rows = ratings_file(write(tmp_path, text)).rows
    assert rows["timestamp"].tolist() == [-11676096000, 16725268800, 0]
    assert len(rows["item"].iloc[2]) == 200_000


def parquet(folder: Path, **columns: pa.Array) -> Path:
    given = {"user": pa.array([1, 2]), "item": pa.array([1, 2]), "rating": pa.array([1.0, 2.0])}
    pyarrow.parquet.write_table(pa.table(given | columns), folder / "r.parquet")
    return folder / "r.parquet"


def test_large_and_binary_ids_of_parquet_are_text(tmp_path: Path) -> None:
    ids = pa.array([2**63, 5], pa.uint64())
    assert ratings_file(parquet(tmp_path, user=ids)).rows["user"].tolist() == [str(2**63), "5"]
    ids = pa.array([b"a", b"b"])
    assert ratings_file(parquet(tmp_path, user=ids)).rows["user"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": pa.array([b"\xff", b"b"])}, "not numbers or text"),
        ({"user": pa.array([[1], [2]])}, "user id has values of type list"),
        ({"user": pa.nulls(2)}, "row 1: there is no user id"),
        ({"user": pa.array([1, None])}, "row 2: there is no user id"),
        ({"rating": pa.array([0, 1], pa.timestamp("ns"))}, "rating has values of type timestamp"),
        ({"rating": pa.array([[1.0], [2.0]])}, "rating has values of type list"),
        ({"timestamp": pa.array([1, None], pa.timestamp("s"))}, "row 2: time stamp '' is not"),
        ({"timestamp": pa.array([1, 2], pa.duration("s"))}, "time stamp has values of type dur"),
        ({"timestamp": pa.array([2**63, 5], pa.uint64())}, "is not seconds since 1970"),
    ],
)
def test_types_of_parquet_that_mean_nothing_are_refused(
    tmp_path: Path, columns: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ratings_file(parquet(tmp_path, **columns))
