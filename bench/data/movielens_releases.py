"""MovieLens, exactly as published (Harper & Konstan, 2015, ACM TiiS 5(4), article 19)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bench.data import movielens_files
from bench.data.dataset import Dataset, LazySplits
from bench.data.download import install, verify
from bench.data.simulate import planted
from bench.errors import DataUnavailable, UserError, checked
from fm.validation import check_choice

URL = "https://files.grouplens.org/datasets/movielens"
CITE = (
    "acknowledgement of Harper & Konstan (2015); no endorsement by the University of Minnesota "
    "implied"
)
CLOSED = (
    f"Research use with {CITE}; no redistribution and no commercial use without GroupLens' "
    "permission."
)
SHARED = (
    f"Research use with {CITE}; redistribution under these same terms, no commercial use without "
    "permission."
)


@dataclass(frozen=True)
class Release:
    """One published data set.

    Attributes
    ----------
    name, title : as `data=` has it, and as people call it.
    archive, md5 : the zip archive, without its suffix; None: that one is renewed from time to time,
        and the file beside it has its checksum.
    n_ratings : as the release's README says; None: it changes, or `files` has checksums.
    files : what is read -> its sha256, or None where it was not published.
    ratings : file of ratings, its separator, and whether it has a header.
    users, items, splits : what reads them from the folder.
    licence : conditions of use in a sentence; the README has the whole.
    directory : in the archive, where it is not called as the archive is.
    """

    name: str
    title: str
    archive: str
    md5: str | None
    n_ratings: int | None
    files: Mapping[str, str | None]
    scale: tuple[float, float]
    ratings: tuple[str, str, bool]
    items: Callable[[Path], pd.DataFrame]
    users: Callable[[Path], pd.DataFrame] | None = None
    splits: Callable[[Path, pd.DataFrame], LazySplits] | None = None
    licence: str = CLOSED
    directory: str | None = None

    @property
    def folder(self) -> str:
        """Name of the directory in the archive."""
        return self.directory or self.archive

    @property
    def variable(self) -> str:
        """The environment variable that may name its folder."""
        return f"{self.name.upper()}_DIR"


SINCE_20M: dict[str, Any] = {
    "files": dict.fromkeys(("ratings.csv", "movies.csv")),
    "scale": (0.5, 5.0),
    "ratings": ("ratings.csv", ",", True),
    "items": partial(movielens_files.titles, name="movies.csv", separator=",", header=True),
    "licence": SHARED,
}
"""CSV with a header, titles in quotes where they have commas, half stars, UTF-8."""
RELEASES = {
    release.name: release
    for release in (
        Release(
            "ml100k",
            "MovieLens-100K",
            "ml-100k",
            "0e33842e24a9c977be4e0107933c0723",
            None,
            files=movielens_files.SHA256_100K,
            scale=(1.0, 5.0),
            ratings=("u.data", "\t", False),
            users=movielens_files.users_100k,
            items=movielens_files.items_100k,
            splits=movielens_files.splits_100k,
        ),
        Release(
            "ml1m",
            "MovieLens 1M",
            "ml-1m",
            "c4d9eecfca2ab87c1945afe126590906",
            1_000_209,
            files=dict.fromkeys(("ratings.dat", "users.dat", "movies.dat")),
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
            "ml-10m",
            "ce571fd55effeba0271552578f2648bd",
            10_000_054,
            files=dict.fromkeys(("ratings.dat", "movies.dat")),
            scale=(0.5, 5.0),
            ratings=("ratings.dat", "::", False),
            items=partial(movielens_files.titles, name="movies.dat", separator="::"),
            splits=movielens_files.splits_10m,
            directory="ml-10M100K",
        ),
        *(
            Release(f"ml{size}m", f"MovieLens {size}M", f"ml-{size}m", md5, n, **SINCE_20M)
            for size, md5, n in (
                (20, "cd245b17a1ae2cc31bb14903e1204af3", 20_000_263),
                (25, "6b51fb2759a8657d3bfcbfc42b592ada", 25_000_095),
                (32, "d472be332d4daa821edc399621853b57", 32_000_204),
            )
        ),
        Release(
            "ml_latest_small", "MovieLens latest-small", "ml-latest-small", None, None, **SINCE_20M
        ),
    )
}


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
        print(
            f"{error}\nUSING SIMULATED RATINGS of the same shape instead.",
            file=sys.stderr,
            flush=True,
        )
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
    folder = Path(given).expanduser() if given else _cache_folder(cache) / release.folder
    if not given and not folder.exists():
        _install(release, url, folder)
    try:
        verify(folder, release.files)
        name, separator, header = release.ratings
        ratings = movielens_files.ratings(folder / name, separator, header)
        if release.n_ratings not in (None, len(ratings)):
            raise UserError(
                f"{folder / name} has {len(ratings):,} ratings, {release.title} has "
                f"{release.n_ratings:,}"
            )
    except UserError as error:
        remedy = (
            f"data.path or {release.variable} must be the folder extracted from "
            f"{release.archive}.zip"
            if given
            else f"delete {folder} to have it downloaded again"
        )
        raise UserError(f"{error}; {remedy}") from error
    splits = release.splits(folder, ratings) if release.splits else {}
    return Dataset(
        name=release.name,
        rows=ratings,
        scale=release.scale,
        source=f"{release.title}, as published by GroupLens",
        tables=({"user": release.users(folder)} if release.users else {})
        | {"item": release.items(folder)},
        time="timestamp",
        splits=splits,
        default_split=next(iter(splits), None),
        licence=release.licence,
    )


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
