"""What GroupLens has published as MovieLens: the facts of each release, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from bench.data import checksums, movielens_files
from bench.data.dataset import LazySplits

CITE = "acknowledgement of Harper & Konstan (2015); no endorsement by the University of Minnesota implied"
CLOSED = f"Research use with {CITE}; no redistribution and no commercial use without GroupLens' permission."
SHARED = f"Research use with {CITE}; redistribution under these same terms, no commercial use without permission."


@dataclass(frozen=True)
class Release:
    """One published data set.

    name, title : as `data=` has it, and as people call it.
    archive, folder : names of the zip archive, without its suffix, and of the directory in it.
    md5 : of the archive, as the file beside it says; None: it is renewed from time to time, and that file is read.
    files : what is read -> its sha256, or None where it was not published.
    n_ratings : as the release's README says; None: it changes.
    scale : lowest and highest possible rating.
    ratings : file of ratings, and how its fields are separated and whether it has a header.
    users, items : what reads the tables from the folder.
    splits : published splits, from the folder and the ratings.
    licence : conditions of use in a sentence; the README has the whole.
    """

    name: str
    title: str
    archive: str
    folder: str
    md5: str | None
    files: Mapping[str, str | None]
    n_ratings: int | None
    scale: tuple[float, float]
    ratings: tuple[str, str, bool]
    items: Callable[[Path], pd.DataFrame]
    users: Callable[[Path], pd.DataFrame] | None = None
    splits: Callable[[Path, pd.DataFrame], LazySplits] | None = None
    licence: str = CLOSED

    @property
    def variable(self) -> str:
        """The environment variable that may name its folder."""
        return f"{self.name.upper()}_DIR"


def _of_csv(name: str, title: str, archive: str, md5: str | None, n_ratings: int | None) -> Release:
    """Since 20M: CSV with a header, titles in quotes where they have commas, half stars, UTF-8."""
    return Release(
        name,
        title,
        archive,
        folder=archive,
        md5=md5,
        files=dict.fromkeys(("ratings.csv", "movies.csv")),
        n_ratings=n_ratings,
        scale=(0.5, 5.0),
        ratings=("ratings.csv", ",", True),
        items=partial(movielens_files.titles, name="movies.csv", separator=",", header=True),
        licence=SHARED,
    )


RELEASES = {
    release.name: release
    for release in (
        Release(
            "ml100k",
            "MovieLens-100K",
            archive="ml-100k",
            folder="ml-100k",
            md5="0e33842e24a9c977be4e0107933c0723",
            files=checksums.ML100K,
            n_ratings=None,  # its files have checksums
            scale=(1.0, 5.0),
            ratings=("u.data", "\t", False),
            users=movielens_files.users_100k,
            items=movielens_files.items_100k,
            splits=movielens_files.splits_100k,
        ),
        Release(
            "ml1m",
            "MovieLens 1M",
            archive="ml-1m",
            folder="ml-1m",
            md5="c4d9eecfca2ab87c1945afe126590906",
            files=dict.fromkeys(("ratings.dat", "users.dat", "movies.dat")),
            n_ratings=1_000_209,
            scale=(1.0, 5.0),
            ratings=("ratings.dat", "::", False),
            users=movielens_files.users_1m,
            items=partial(
                movielens_files.titles, name="movies.dat", separator="::", encoding="latin-1"
            ),
        ),
        Release(
            "ml10m",
            "MovieLens 10M",
            archive="ml-10m",
            folder="ml-10M100K",
            md5="ce571fd55effeba0271552578f2648bd",
            files=dict.fromkeys(("ratings.dat", "movies.dat")),
            n_ratings=10_000_054,
            scale=(0.5, 5.0),
            ratings=("ratings.dat", "::", False),
            items=partial(movielens_files.titles, name="movies.dat", separator="::"),
            splits=movielens_files.splits_10m,
        ),
        _of_csv("ml20m", "MovieLens 20M", "ml-20m", "cd245b17a1ae2cc31bb14903e1204af3", 20_000_263),
        _of_csv("ml25m", "MovieLens 25M", "ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada", 25_000_095),
        _of_csv("ml32m", "MovieLens 32M", "ml-32m", "d472be332d4daa821edc399621853b57", 32_000_204),
        _of_csv("ml_latest_small", "MovieLens latest-small", "ml-latest-small", None, None),
    )
}
