"""MovieLens-100K, exactly as published (Harper & Konstan, 2015, ACM TiiS 5(4), article 19)."""

from __future__ import annotations

import csv
import hashlib
import os
import sys
from collections.abc import Mapping
from functools import cache as memoize
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data import checksums
from bench.data.dataset import Dataset, LazySplits, Rows
from bench.data.delimited import read_delimited
from bench.data.fetch import install, verify
from bench.data.simulate import planted
from bench.data.table import to_ratings
from bench.errors import DataUnavailable, UserError

URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
MD5 = "0e33842e24a9c977be4e0107933c0723"
SPLITS = ("ua", "ub", "u1", "u2", "u3", "u4", "u5")
COLUMNS = {"user": 0, "item": 1, "rating": 2, "timestamp": 3}
LICENCE = (
    "Research use with acknowledgement of Harper & Konstan (2015); no redistribution and no commercial "
    "use without GroupLens' permission; no endorsement by the University of Minnesota implied."
)


def ml100k(
    path: str | Path | None = None,
    cache: str | Path | None = None,
    url: str = URL,
    *,
    md5: str = MD5,
    sha256: Mapping[str, str] = checksums.ML100K,
    timeout: float = 5.0,
) -> Dataset:
    """MovieLens-100K: 100,000 ratings 1 to 5, of 943 users for 1,682 films, and all that is told of them.

    Parameters
    ----------
    path : folder extracted from `ml-100k.zip`; by default what the environment variable ML100K_DIR says.
        A folder that is given is the only place looked at.
    cache : folder in which to look for `ml-100k` next, and to which it is downloaded from `url`; by
        default `fm-bench` in the user's cache folder.
    md5, sha256 : published checksums of the archive and of each file.
    timeout : seconds of silence after which a connection counts as broken.

    Raises
    ------
    UserError : a file that is missing or differs from the published one.
    DataUnavailable : neither given nor cached, and it cannot be downloaded.
    """
    given = path or os.environ.get("ML100K_DIR")
    folder = Path(given).expanduser() if given else _cache_folder(cache) / "ml-100k"
    if not given and not folder.exists():
        _install(url, md5, sha256, folder, timeout)
    try:
        verify(folder, sha256)
    except UserError as error:
        remedy = (
            "data.path or ML100K_DIR must be the folder extracted from ml-100k.zip"
            if given
            else f"delete {folder} to have it downloaded again"
        )
        raise UserError(f"{error}; {remedy}") from error
    return _read(folder, sha256)


def ml100k_or_planted(path: str | None = None, cache: str | None = None, url: str = URL) -> Dataset:
    """`ml100k`, or where it can be neither found nor fetched, `planted` in its place, said on stderr.

    Raises
    ------
    UserError : a folder was given or cached, and is not as published.
    """
    try:
        return ml100k(path, cache, url)
    except DataUnavailable as error:
        print(f"{error}\nUSING SIMULATED RATINGS of the same shape instead.", file=sys.stderr, flush=True)
        return planted()


def _cache_folder(cache: str | Path | None) -> Path:
    if cache is not None:
        return Path(cache).expanduser()
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "fm-bench"


def _install(url: str, md5: str, sha256: Mapping[str, str], folder: Path, timeout: float) -> None:
    try:
        install(url, md5, sha256, folder, timeout)
    except DataUnavailable as error:
        raise DataUnavailable(
            f"MovieLens-100K is neither given nor cached, and {error}. To provide it, extract ml-100k.zip "
            f"anywhere and set ML100K_DIR to the folder, or move that to {folder}"
        ) from error
    readme = (folder / "README").read_text("latin-1")
    print(readme.partition("CITATION")[0].strip(), file=sys.stderr, flush=True)


def _read(folder: Path, sha256: Mapping[str, str]) -> Dataset:
    ratings = _ratings(folder / "u.data")
    manifest = "".join(f"{digest}  {name}\n" for name, digest in sorted(sha256.items()))
    return Dataset(
        name="ml100k",
        ratings=ratings,
        scale=(1.0, 5.0),
        digest=hashlib.sha256(manifest.encode()).hexdigest(),
        source="MovieLens-100K, as published by GroupLens",
        users=_users(folder / "u.user"),
        items=_items(folder / "u.item", folder / "u.genre"),
        splits=_splits(folder, ratings),
        licence=LICENCE,
    )


def _ratings(path: Path) -> pd.DataFrame:
    return to_ratings(*read_delimited(path, COLUMNS, separator="\t", header=False))


def _users(path: Path) -> pd.DataFrame:
    columns = ["user", "age", "gender", "occupation", "zip_code"]
    types = {"gender": "category", "occupation": "category", "zip_code": "str"}
    users = pd.read_csv(path, sep="|", names=columns, index_col="user", dtype=types, keep_default_na=False)
    # A US code's first digit is a group of states; codes of other countries begin with a letter.
    area = users["zip_code"].str.extract(r"^(\d)", expand=False).fillna("other")
    return users.assign(zip_area=area.astype("category"))


def _items(path: Path, genre_path: Path) -> pd.DataFrame:
    genres = pd.read_csv(genre_path, sep="|", names=["genre", "number"], index_col="number")["genre"].tolist()
    columns = ["item", "title", "release_date", "video_release_date", "imdb_url", *genres]
    items = pd.read_csv(
        path,
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
    # Text, so that `side`, which has the year, leaves it out.
    decade = (year // 10 * 10).map("{:.0f}s".format, na_action="ignore")
    return items.assign(year=year, decade=decade)


def _splits(folder: Path, ratings: pd.DataFrame) -> LazySplits:
    @memoize
    def row_of() -> pd.Index:
        return pd.MultiIndex.from_frame(ratings)

    def rows(name: str) -> Rows:
        found = row_of().get_indexer(pd.MultiIndex.from_frame(_ratings(folder / name)))
        if (found < 0).any():
            line = 1 + int(np.argmax(found < 0))
            raise UserError(f"{folder / name}, line {line}: this rating is not in {folder / 'u.data'}")
        return found

    return LazySplits(SPLITS, lambda name: (rows(f"{name}.base"), rows(f"{name}.test")))
