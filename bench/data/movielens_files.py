"""The files of MovieLens releases, each format with its quirks."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from bench.data.dataset import LazySplits, Rows
from bench.data.delimited import Files, open_columns
from bench.data.ratings import ROLES
from bench.data.table import read_table
from bench.errors import UserError

SPLITS_100K = ("ua", "ub", "u1", "u2", "u3", "u4", "u5")
SPLITS_10M = ("ra", "rb", "r1", "r2", "r3", "r4", "r5")
DECLARED: Mapping[str, Any] = yaml.safe_load(
    Path(__file__).with_name("movielens.yaml").read_text("utf-8")
)
"""Releases and what they share."""


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
    names = dict(enumerate(DECLARED["occupations"]))
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

    def make(name: str) -> tuple[Rows, ...]:
        row_of, parts = pd.MultiIndex.from_frame(ratings_), []
        for path in (folder / f"{name}.base", folder / f"{name}.test"):
            part = ratings(path, "\t", header=False)
            rows = row_of.get_indexer(pd.MultiIndex.from_frame(part))
            if (rows < 0).any():
                line = 1 + int(np.argmax(rows < 0))
                raise UserError(f"{path}, line {line}: this rating is not in {folder / 'u.data'}")
            parts.append(rows)
        return tuple(parts)

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
