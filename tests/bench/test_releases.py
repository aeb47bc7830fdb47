"""MovieLens releases after the first: each format with its quirks, on generated files; the real
ones where they are.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import yaml

from bench.data import movielens
from bench.data.dataset import Dataset
from bench.data.movielens_releases import RELEASES, load
from bench.data.splits import published
from bench.errors import UserError
from bench.identity import ROOT
from tests.bench.conftest import Server
from tests.bench.tiny_ml100k import zip_of

pytestmark = pytest.mark.slow

CSV = ("ml20m", "ml25m", "ml32m", "ml_latest_small")
RATINGS = [
    (3, 50, 5, 978300760),
    (3, 9, 4, 978302109),
    (71567, 50, 3, 1046454590),
    (70, 65133, 1, 825724320),
]
"""User and item numbers have gaps."""
HALF = [(u, i, r - 0.5, t) for u, i, r, t in RATINGS]


def lines(rows: list[tuple], separator: str = "::", header: str = "") -> bytes:
    return (header + "".join(separator.join(map(str, row)) + "\n" for row in rows)).encode()


def files_of(name: str) -> dict[str, bytes]:
    """A tiny release, written as GroupLens writes it."""
    if name == "ml1m":
        return {
            "ratings.dat": lines(RATINGS),
            "users.dat": b"3::F::1::10::48067\n70::M::56::16::V3N4P\n71567::M::25::0::02460-1234\n",
            "movies.dat": (
                '9::"Sudden" Death::Action\n50::Usual Suspects, The (1995)::Crime|Thriller\n'
                "65133::Misérables, Les (1995)::Drama\n"
            ).encode("latin-1"),
        }
    films = [
        ("9", "Sudden Death (1995)", "Action|Crime"),
        ("50", 'Usual "Suspects", The (1995)', "Crime|Film-Noir"),
        ("65133", "Misérables, Les (de 1934) (1982) ", "(no genres listed)"),
    ]
    if name == "ml10m":
        return {"ratings.dat": lines(HALF), "movies.dat": lines(films)}
    quoted = [(i, '"' + t.replace('"', '""') + '"' if "," in t else t, g) for i, t, g in films]
    return {
        "ratings.csv": lines(HALF, ",", "userId,movieId,rating,timestamp\n"),
        "movies.csv": lines(quoted, ",", "movieId,title,genres\n"),
    }


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Dataset]:
    def tiny(name: str, files: dict[str, bytes] | None = None, **facts: object) -> Dataset:
        for file, content in (files or files_of(name)).items():
            (tmp_path / file).write_bytes(content)
        return load(replace(RELEASES[name], **({"n_ratings": None} | facts)), tmp_path)

    return tiny


@pytest.mark.parametrize("name", [name for name in RELEASES if name != "ml100k"])
def test_ratings_as_written(name: str, tiny: Callable) -> None:
    data = tiny(name)
    expected = RATINGS if name == "ml1m" else HALF
    assert list(data.rows.itertuples(index=False, name=None)) == expected
    assert data.rows.dtypes.astype(str).tolist() == ["int64", "int64", "float64", "int64"]
    assert data.scale == ((1.0, 5.0) if name == "ml1m" else (0.5, 5.0))
    assert data.name == name and not data.simulated


def test_users_of_1m(tiny: Callable) -> None:
    users = tiny("ml1m").tables["user"]
    assert users.index.tolist() == [3, 70, 71567]
    assert users["occupation"].tolist() == ["K-12 student", "self-employed", "other"]
    assert users["zip_code"].tolist() == ["48067", "V3N4P", "02460-1234"]
    assert users["zip_area"].tolist() == ["4", "other", "0"]
    assert [str(users[name].dtype) for name in ("gender", "age")] == ["category", "int64"]


def test_films_of_1m_are_latin_1_and_know_no_quotes(tiny: Callable) -> None:
    items = tiny("ml1m").tables["item"]
    assert items["title"].tolist() == [
        '"Sudden" Death',
        "Usual Suspects, The (1995)",
        "Misérables, Les (1995)",
    ]
    assert items["year"].isna().tolist() == [True, False, False]
    assert items.columns[items.loc[50].eq(True)].tolist() == ["Crime", "Thriller"]


@pytest.mark.parametrize("name", ["ml10m", *CSV])
def test_films_since_10m_are_utf_8(name: str, tiny: Callable) -> None:
    """Commas and quotes within CSV's quotes; the year is the last parenthesis; no genre is none."""
    items = tiny(name).tables["item"]
    assert items.index.tolist() == [9, 50, 65133]
    assert items.loc[50, "title"] == 'Usual "Suspects", The (1995)'
    assert items["title"].str.startswith("Misérables").tolist() == [False, False, True]
    assert items["year"].tolist() == [1995, 1995, 1982] and items.loc[65133, "decade"] == "1980s"
    genres = items.select_dtypes("bool")
    assert genres.columns.tolist() == ["Action", "Crime", "Film-Noir"]
    assert genres.sum(axis=1).tolist() == [2, 2, 0]


def test_splits_of_10m_are_those_of_its_script(tiny: Callable) -> None:
    """Ten ratings a user, in file order; fifths of the file, the last with what is left over."""
    user = np.repeat([1, 2, 5, 9], [20, 25, 33, 24])
    rows = [(u, i, 3.5, 0) for i, u in enumerate(user)]
    data = tiny("ml10m", files_of("ml10m") | {"ratings.dat": lines(rows)})
    assert list(data.splits) == ["ra", "rb", "r1", "r2", "r3", "r4", "r5"]
    starts = np.flatnonzero(np.diff(user, prepend=0))
    for name, first in (("ra", 0), ("rb", 10)):
        test = (starts[:, None] + np.arange(first, first + 10)).ravel()
        assert np.array_equal(data.splits[name][1], test)
    tests = [data.splits[f"r{part}"][1] for part in range(1, 6)]
    assert [len(test) for test in tests] == [20, 20, 20, 20, 22]
    assert np.array_equal(np.concatenate(tests), np.arange(102))
    for name in data.splits:
        split = published(data, name)
        assert np.array_equal(
            np.sort(np.concatenate([split.development, split.test])), np.arange(102)
        )


@pytest.mark.parametrize("name", [name for name in RELEASES if RELEASES[name].n_ratings])
def test_another_number_of_ratings_is_refused(name: str, tiny: Callable) -> None:
    published = RELEASES[name].n_ratings
    with pytest.raises(
        UserError, match=f"ratings.* has 4 ratings, .* has {published:,}; .*{name.upper()}_DIR"
    ):
        tiny(name, n_ratings=published)


def test_digest_is_that_of_what_was_read(tiny: Callable) -> None:
    files = files_of("ml25m")
    other = files | {"movies.csv": files["movies.csv"] + b"70000,Late (2020),Drama\n"}
    digests = [tiny("ml25m", content).digest for content in (files, files, other)]
    assert digests[0] == digests[1] != digests[2]


def test_download_of_a_release_whose_checksum_changes(server: Server, tmp_path: Path) -> None:
    server.content = zip_of(files_of("ml_latest_small"), "ml-latest-small/")
    data = load(RELEASES["ml_latest_small"], cache=tmp_path, url=server.folder)
    assert len(data.rows) == 4 and (tmp_path / "ml-latest-small" / "ratings.csv").exists()


def test_every_release_has_a_choice_of_its_name() -> None:
    for name, release in RELEASES.items():
        choice = yaml.safe_load((ROOT / "conf" / "data" / f"{name}.yaml").read_text("utf-8"))
        assert (choice["_target_"], choice["name"], release.name) == (
            "bench.data.movielens",
            name,
            name,
        )


@pytest.mark.parametrize("films", [b"x::Jumanji (1995)::Drama\n", b"1::A::B::C::D\n2::A::B\n"])
def test_a_damaged_table_is_named(tiny: Callable, films: bytes) -> None:
    with pytest.raises(UserError, match=r"movies.dat cannot be read: .*; data.path or ML1M_DIR"):
        tiny("ml1m", files_of("ml1m") | {"movies.dat": films})


def test_unknown_release_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"name must be one of .*got 'ml2m' \(did you mean 'ml"):
        movielens("ml2m")


@pytest.mark.parametrize("name", ["ml10m", "ml25m"])
def test_more_ratings_than_a_block_holds(name: str, tmp_path: Path) -> None:
    """Behind pyarrow's first block too, ids, half stars and time stamps are what was written."""
    rng = np.random.default_rng(0)
    n = 300_000
    columns = {
        "userId": np.sort(rng.integers(1, 10**6, n)),
        "movieId": rng.integers(1, 200_000, n),
        "rating": rng.integers(1, 11, n) / 2,
        "timestamp": rng.integers(10**9, 2 * 10**9, n),
    }
    path = tmp_path / RELEASES[name].ratings[0]
    pyarrow.csv.write_csv(
        pa.table(columns), path, pyarrow.csv.WriteOptions(include_header=name == "ml25m")
    )
    if name == "ml10m":
        path.write_bytes(path.read_bytes().replace(b",", b"::"))
    film = next(file for file in files_of(name) if file.startswith("movies"))
    (tmp_path / film).write_bytes(files_of(name)[film])
    data = load(replace(RELEASES[name], n_ratings=n), tmp_path)
    for read, column in zip(data.rows, columns.values(), strict=True):
        assert np.array_equal(data.rows[read], column)


@pytest.mark.parametrize("name", RELEASES)
def test_real_release(name: str) -> None:
    """Where the user has it: every rating is on the scale, no pair occurs twice, all films are
    known.
    """
    if RELEASES[name].variable not in os.environ:
        pytest.skip("no environment variable (ML1M_DIR, ...) names its folder")
    data = movielens(name)
    ratings = data.rows
    assert ratings["rating"].between(*data.scale).all()
    assert ((2 * ratings["rating"]) % (2 if name in ("ml100k", "ml1m") else 1) == 0).all()
    assert not ratings.duplicated(["user", "item"]).any()
    assert ratings["item"].isin(data.tables["item"].index).all()
