"""MovieLens, exactly as published (Harper & Konstan, 2015, ACM TiiS 5(4), article 19).

`movielens.yaml` has the releases, and says what each of their attributes is.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench.data.dataset import Dataset, LazySplits, Rows
from bench.data.delimited import Files
from bench.data.download import install, verify
from bench.data.ratings import ROLES
from bench.data.simulate import planted
from bench.data.table import read_table
from bench.errors import DataUnavailable, UserError, checked, quoted
from fm.validation import check_choice

URL = "https://files.grouplens.org/datasets/movielens"
DECLARED: Mapping[str, Any] = yaml.safe_load(
    Path(__file__).with_name("movielens.yaml").read_text("utf-8")
)
SPLITS_100K = ("ua", "ub", "u1", "u2", "u3", "u4", "u5")
SPLITS_10M = ("ra", "rb", "r1", "r2", "r3", "r4", "r5")


@dataclass(frozen=True)
class Release:
    """One published data set; `files` are all that are read, with their sha256 or None."""

    name: str
    title: str
    archive: str
    licence: str
    scale: tuple[float, float]
    ratings: tuple[str, str, bool]
    md5: str | None = None
    n_ratings: int | None = None
    films: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict)
    directory: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that may name its folder."""
        return f"{self.name.upper()}_DIR"


def _release(name: str, given: Mapping[str, Any]) -> Release:
    films = [given["films"]["name"]] if "films" in given else []
    files = dict.fromkeys([given["ratings"][0], *films]) | given.get("files", {})
    return Release(name, **{**given, "files": files})


RELEASES = {name: _release(name, given) for name, given in DECLARED["releases"].items()}


def movielens(
    name: str, path: str | Path | None = None, cache: str | Path | None = None
) -> Dataset:
    """Load a release of MovieLens, by its name in `RELEASES`; see `load`."""
    with checked():
        check_choice("name", name, RELEASES)
    return load(RELEASES[name], path, cache)


def ml100k_or_planted(path: str | None = None, cache: str | None = None, url: str = URL) -> Dataset:
    """Load MovieLens-100K; where it cannot be had, `planted`, with a warning on stderr."""
    try:
        return load(RELEASES["ml100k"], path, cache, url)
    except DataUnavailable as error:
        warning = f"{error}\nUSING SIMULATED RATINGS of the same shape instead."
        print(warning, file=sys.stderr, flush=True)
        return planted()


def load(
    release: Release,
    path: str | Path | None = None,
    cache: str | Path | None = None,
    url: str = URL,
) -> Dataset:
    """Return all ratings of a release, and what it says of users and films.

    Parameters
    ----------
    path : folder extracted from its archive; by default what its environment variable
        (`ML100K_DIR`) says. A folder that is given is the only place looked at.
    cache : folder in which to look for it next, and to which it is downloaded from the folder at
        `url`; by default `fm-bench` in the user's cache folder.
    """
    given = path or os.environ.get(release.variable)
    if given:
        folder = Path(given).expanduser()
        remedy = (
            f"data.path or {release.variable} must be the folder extracted from "
            f"{release.archive}.zip"
        )
    else:
        folder = _cache_folder(cache) / (release.directory or release.archive)
        remedy = f"delete {folder} to have it downloaded again"
        if not folder.exists():
            _install(release, url, folder)
    try:
        verify(folder, release.files)
        ratings = _ratings(folder, *release.ratings)
        if release.n_ratings not in (None, len(ratings)):
            raise UserError(
                f"{folder / release.ratings[0]} has {len(ratings):,} ratings, {release.title} has "
                f"{release.n_ratings:,}"
            )
        tables = {"user": USERS[release.name](folder)} if release.name in USERS else {}
        tables["item"] = titles(folder, **release.films) if release.films else items_100k(folder)
    except UserError as error:
        raise UserError(f"{error}; {remedy}") from error
    splits = SPLITS[release.name](folder, ratings) if release.name in SPLITS else {}
    return Dataset(
        name=release.name,
        rows=ratings,
        scale=(release.scale[0], release.scale[1]),
        source=f"{release.title}, as published by GroupLens",
        tables=tables,
        time="timestamp",
        splits=splits,
        default_split=next(iter(splits), None),
        licence=release.licence,
    )


def titles(
    folder: Path, name: str, separator: str, *, header: bool = False, encoding: str = "utf-8"
) -> pd.DataFrame:
    """Read films: number, title ending in the year in parentheses, genres with `|` between."""
    columns = ("item", "title", "genres")
    items = _text(folder / name, columns, separator, header=header, encoding=encoding)
    genres = items["genres"].str.get_dummies("|").astype(bool)
    genres = genres.drop(columns="(no genres listed)", errors="ignore")
    year = items["title"].str.extract(r"\((\d{4})\)\s*$", expand=False).astype("float64")
    return items[["title"]].join(genres).assign(year=year, decade=_decade(year))


def items_100k(folder: Path) -> pd.DataFrame:
    """Read the films of MovieLens-100K."""
    genres = [line.partition("|")[0] for line in (folder / "u.genre").read_text("utf-8").split()]
    columns = ("item", "title", "release_date", "video_release_date", "imdb_url", *genres)
    items = _text(folder / "u.item", columns, "|", encoding="latin-1")
    for date in ("release_date", "video_release_date"):
        items[date] = pd.to_datetime(items[date], format="%d-%b-%Y")
    items[genres] = items[genres] == "1"
    year = items["release_date"].dt.year
    return items.assign(year=year, decade=_decade(year))


def users_100k(folder: Path) -> pd.DataFrame:
    """Read the users of MovieLens-100K."""
    columns = ("user", "age", "gender", "occupation", "zip_code")
    return _users(_text(folder / "u.user", columns, "|"))


def users_1m(folder: Path) -> pd.DataFrame:
    """Read the users of MovieLens 1M."""
    columns = ("user", "gender", "age", "occupation", "zip_code")
    users = _text(folder / "users.dat", columns, "::")
    names = dict(enumerate(DECLARED["occupations"]))
    return _users(users.assign(occupation=users["occupation"].astype("int64").map(names)))


def _users(users: pd.DataFrame) -> pd.DataFrame:
    """Give the columns their types, and `zip_area`: the first digit of a US code, or "other"."""
    area = users["zip_code"].str.extract(r"^(\d)", expand=False).fillna("other")
    types = dict.fromkeys(("gender", "occupation", "zip_area"), "category")
    return users.assign(zip_area=area).astype({"age": "int64", **types})


def _text(
    path: Path,
    columns: Sequence[str],
    separator: str,
    *,
    header: bool = False,
    encoding: str = "utf-8",
) -> pd.DataFrame:
    """Read columns of text, indexed by the whole numbers of the first one.

    Cells have quotes where the file has a header.
    """
    try:
        table = pd.read_csv(
            path,
            sep=separator,
            names=columns,
            header=0 if header else None,
            encoding=encoding,
            dtype=dict.fromkeys(columns[1:], "str"),
            index_col=0,
            keep_default_na=False,
            na_values=[""],
            quoting=csv.QUOTE_MINIMAL if header else csv.QUOTE_NONE,
            engine="python" if len(separator) > 1 else "c",
        )
        return table.set_index(table.index.astype("int64"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {quoted(str(error), 300)}") from error


def _decade(year: pd.Series) -> pd.Series:
    """Text, so that `side`, which has the year, leaves it out."""
    return (year // 10 * 10).map("{:.0f}s".format, na_action="ignore")


def _ratings(folder: Path, name: str, separator: str, header: bool) -> pd.DataFrame:
    """Read a table of ratings whose columns are user, item, rating and time stamp."""
    files = Files({"train": folder / name}, {"separator": separator, "header": header})
    return read_table(files, ROLES, "rating").rows


def splits_100k(folder: Path, ratings: pd.DataFrame) -> LazySplits:
    """As the files `*.base` and `*.test` have them, in their order."""

    def part(name: str) -> Rows:
        written = pd.MultiIndex.from_frame(_ratings(folder, name, "\t", header=False))
        rows = pd.MultiIndex.from_frame(ratings).get_indexer(written)
        if (rows < 0).any():
            line = 1 + int(np.argmax(rows < 0))
            raise UserError(
                f"{folder / name}, line {line}: this rating is not in {folder / 'u.data'}"
            )
        return rows

    def make(name: str) -> tuple[Rows, ...]:
        return part(f"{name}.base"), part(f"{name}.test")

    return LazySplits(SPLITS_100K, make, "files of MovieLens-100K, as published")


def splits_10m(_: Path, ratings: pd.DataFrame) -> LazySplits:
    """Make what `split_ratings.sh`, in the archive, makes.

    The test parts of `ra` and `rb` are each user's first ten ratings in the file and the ten after
    them, those of `r1` to `r5` fifths of the file, the last one with what is left over. Train is
    all that is not test; the script's own training files of `r1` to `r4` lack the few rows that
    follow the test part, and have the last ones twice.
    """
    n = len(ratings)

    def make(name: str) -> tuple[Rows, Rows]:
        if name in ("ra", "rb"):
            part = ratings.groupby("user", sort=False).cumcount().to_numpy() // 10
            is_test = part == ("ra", "rb").index(name)
        else:
            part = np.minimum(np.arange(n) // max(n // 5, 1), 4)
            is_test = part == int(name[1]) - 1
        return np.flatnonzero(~is_test), np.flatnonzero(is_test)

    return LazySplits(SPLITS_10M, make, "split_ratings.sh of MovieLens 10M")


USERS: Mapping[str, Callable[[Path], pd.DataFrame]] = {"ml100k": users_100k, "ml1m": users_1m}
SPLITS: Mapping[str, Callable[[Path, pd.DataFrame], LazySplits]] = {
    "ml100k": splits_100k,
    "ml10m": splits_10m,
}


def _cache_folder(cache: str | Path | None) -> Path:
    if cache is not None:
        return Path(cache).expanduser()
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "fm-bench"


def _install(release: Release, url: str, folder: Path) -> None:
    archive = f"{release.archive}.zip"
    try:
        install(f"{url}/{archive}", release.md5, release.files, folder)
    except DataUnavailable as error:
        raise DataUnavailable(
            f"{release.title} is neither given nor cached, and {error}. To provide it, extract "
            f"{archive} anywhere and set {release.variable} to the folder, or move that to {folder}"
        ) from error
    print(f"{release.licence} The whole: {folder}/README*", file=sys.stderr, flush=True)
