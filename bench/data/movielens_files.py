"""The files of MovieLens releases, each format with its quirks."""

from __future__ import annotations

import csv
from functools import cache as memoize
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.data.dataset import LazySplits, Rows
from bench.data.delimited import Files, open_columns
from bench.data.ratings import ROLES
from bench.data.table import read_table
from bench.errors import UserError

SHA256_100K: dict[str, str | None] = {
    "README": "4883b8cf340ed0059971b33f56ad3adc88a40792108ebca3d24aafc4c82e8b52",
    "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    "u.genre": "9757e0d3e6b298159a80dd48eaf938114690e911e39af97a76949ef1663610bb",
    "u.info": "5b0a40b2e47a729ee6203063f6dcf8790c2e63f5a18663e6ee318a72c5f3c27b",
    "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
    "u.occupation": "cd5fbec9afe345d993a62fc7817df1a4a9079c4feb267b3118763b8fd942137d",
    "u.user": "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",
    "u1.base": "ce253ec86c448b44fb3ba9a30d12dcfc2e9210cbde71efada3730c22e9ac212a",
    "u1.test": "18c6014a4b2c7324f250a63f8904a7b16b2b19f911129e346141507b0cbac950",
    "u2.base": "6c06f0b5df4b256da1a994f3ac66edc8da4d3f09bc9282df6b14d893366d703e",
    "u2.test": "4de658d1e04ed9104629509a2e2528fce833ac8e048280183f1df167632038c3",
    "u3.base": "afdc155c291c6edc41c0407e39d7462eb98d341e064f0b0a12175b80b3c4af5d",
    "u3.test": "0f548b51c78327de4c156461d3e430b7e5579fe2b5681586a59416e48fd35f6d",
    "u4.base": "219f0f4d40dfe9c5141d425f53fa91ee23ed275f14e280bbf1b50117afb064ca",
    "u4.test": "7c02ad0a1e7ab1083c8b9d4b627203a051dd7b5eab46d99fa44de33470de8db9",
    "u5.base": "a9574e59ce961eec2121627760b6e9b0974ce1637b3fe69ac32cb14a4bfab485",
    "u5.test": "351cc52e0d15b6c721466276fc24671d40936899e3d01fadeaf312915b8c5634",
    "ua.base": "67b5bcdb380c29f85d56a012ecd88612ae020f30a6730d117a334ee8203b91f2",
    "ua.test": "d0497e202417720f57a184ec8c66be2d1afa4ff41bb53787c57b28d6bf79bc42",
    "ub.base": "237254d253b6ad7de84f919d041055428646254f34ed8f562703c899430cd881",
    "ub.test": "d54a72d05730d5892062734b2bec73e976f9b713d18c828a18b968d6cce442da",
}
"""Of every file of MovieLens-100K."""
SPLITS_100K = ("ua", "ub", "u1", "u2", "u3", "u4", "u5")
SPLITS_10M = ("ra", "rb", "r1", "r2", "r3", "r4", "r5")
OCCUPATIONS_1M = (
    "other, academic/educator, artist, clerical/admin, college/grad student, customer service, "
    "doctor/health care, executive/managerial, farmer, homemaker, K-12 student, lawyer, "
    "programmer, retired, sales/marketing, scientist, self-employed, technician/engineer, "
    "tradesman/craftsman, unemployed, writer"
)
"""By the number in `users.dat`, whose ages are the youngest of a group, 1 for under 18."""


def ratings(path: Path, separator: str, header: bool) -> pd.DataFrame:
    """Read a table of ratings whose columns are user, item, rating and time stamp."""
    files = Files({"train": path}, {"separator": separator, "header": header})
    return read_table(files, ROLES, "rating").rows


def titles(
    folder: Path, name: str, separator: str, *, header: bool = False, encoding: str = "utf-8"
) -> pd.DataFrame:
    """Read films: number, title ending in the year in parentheses, genres with `|` between."""
    columns = {"item": 0, "title": 1, "genres": 2}
    items = _text(folder / name, columns, separator, header=header, encoding=encoding)
    genres = items["genres"].str.get_dummies("|").astype(bool)
    genres = genres.drop(columns="(no genres listed)", errors="ignore")
    year = items["title"].str.extract(r"\((\d{4})\)\s*$", expand=False).astype("float64")
    return items[["title"]].join(genres).assign(year=year, decade=_decade(year))


def users_1m(folder: Path) -> pd.DataFrame:
    """Read the users of MovieLens 1M."""
    columns = {"user": 0, "gender": 1, "age": 2, "occupation": 3, "zip_code": 4}
    users = _text(folder / "users.dat", columns, "::")
    names = dict(enumerate(OCCUPATIONS_1M.split(", ")))
    return users.assign(
        gender=users["gender"].astype("category"),
        age=users["age"].astype("int64"),
        occupation=users["occupation"].astype("int64").map(names).astype("category"),
        zip_area=_zip_area(users["zip_code"]),
    )


def users_100k(folder: Path) -> pd.DataFrame:
    """Read the users of MovieLens-100K."""
    columns = ["user", "age", "gender", "occupation", "zip_code"]
    types = {"gender": "category", "occupation": "category", "zip_code": "str"}
    form = {"sep": "|", "names": columns, "index_col": "user", "keep_default_na": False}
    users = pd.read_csv(folder / "u.user", dtype=types, **form)
    return users.assign(zip_area=_zip_area(users["zip_code"]))


def items_100k(folder: Path) -> pd.DataFrame:
    """Read the films of MovieLens-100K."""
    form = {"sep": "|", "names": ["genre", "number"], "index_col": "number"}
    genres = pd.read_csv(folder / "u.genre", **form)["genre"].tolist()
    columns = ["item", "title", "release_date", "video_release_date", "imdb_url", *genres]
    items = pd.read_csv(
        folder / "u.item",
        sep="|",
        names=columns,
        index_col="item",
        encoding="latin-1",
        dtype=dict.fromkeys(genres, "bool"),
        true_values=["1"],
        false_values=["0"],
        quoting=csv.QUOTE_NONE,
    )
    for date in ("release_date", "video_release_date"):
        items[date] = pd.to_datetime(items[date], format="%d-%b-%Y")
    year = items["release_date"].dt.year
    return items.assign(year=year, decade=_decade(year))


def splits_100k(folder: Path, ratings_: pd.DataFrame) -> LazySplits:
    """As the files `*.base` and `*.test` have them, in their order."""

    @memoize
    def row_of() -> pd.Index:
        return pd.MultiIndex.from_frame(ratings_)

    def rows(name: str) -> Rows:
        part = ratings(folder / name, "\t", header=False)
        positions = row_of().get_indexer(pd.MultiIndex.from_frame(part))
        if (positions < 0).any():
            line = 1 + int(np.argmax(positions < 0))
            raise UserError(
                f"{folder / name}, line {line}: this rating is not in {folder / 'u.data'}"
            )
        return positions

    def make(name: str) -> tuple[Rows, Rows]:
        return rows(f"{name}.base"), rows(f"{name}.test")

    return LazySplits(SPLITS_100K, make, "files of MovieLens-100K, as published")


def splits_10m(folder: Path, ratings_: pd.DataFrame) -> LazySplits:
    """Make what `split_ratings.sh`, in the archive, makes.

    The test parts of `ra` and `rb` are each user's first ten ratings in the file and the ten after
    them, those of `r1` to `r5` fifths of the file, the last one with what is left over. Train is
    all that is not test; the script's own training files of `r1` to `r4` lack the few rows that
    follow the test part, and have the last ones twice.
    """
    n = len(ratings_)

    def make(name: str) -> tuple[Rows, Rows]:
        is_test = np.zeros(n, dtype=bool)
        if name in ("ra", "rb"):
            turn = ratings_.groupby("user", sort=False).cumcount().to_numpy()
            is_test = turn // 10 == ("ra", "rb").index(name)
        else:
            part = int(name[1])
            is_test[(part - 1) * (n // 5) : part * (n // 5) if part < 5 else n] = True
        return np.flatnonzero(~is_test), np.flatnonzero(is_test)

    return LazySplits(SPLITS_10M, make, "split_ratings.sh of MovieLens 10M")


def _text(
    path: Path,
    columns: dict[str, int],
    separator: str,
    *,
    header: bool = False,
    encoding: str = "utf-8",
) -> pd.DataFrame:
    """Columns of text, indexed by the first one's whole numbers."""
    file = open_columns(path, separator=separator, header=header, encoding=encoding)
    table = file.read(columns, {})
    frame = pd.DataFrame({name: table[name].cast(pa.string()).to_pandas() for name in columns})
    first = next(iter(columns))
    return frame.assign(**{first: frame[first].astype("int64")}).set_index(first)


def _decade(year: pd.Series) -> pd.Series:
    """Text, so that `side`, which has the year, leaves it out."""
    return (year // 10 * 10).map("{:.0f}s".format, na_action="ignore")


def _zip_area(code: pd.Series) -> pd.Series:
    """Return the first digit of a US code, a group of states; other codes begin with a letter."""
    return code.str.extract(r"^(\d)", expand=False).fillna("other").astype("category")
