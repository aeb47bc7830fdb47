"""MovieLens, exactly as published (Harper & Konstan, 2015, ACM TiiS 5(4), article 19)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data import movielens_files
from bench.data.dataset import Dataset
from bench.data.download import install, verify
from bench.data.simulate import planted
from bench.errors import DataUnavailable, UserError, checked
from fm.validation import check_choice

URL = "https://files.grouplens.org/datasets/movielens"


@dataclass(frozen=True)
class Release:
    """One published data set; `movielens.yaml` has them all, and says what each attribute is.

    `files` are all that are read -> their sha256, or None where it was not published.
    """

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
    def folder(self) -> str:
        """Name of the directory in the archive."""
        return self.directory or self.archive

    @property
    def variable(self) -> str:
        """The environment variable that may name its folder."""
        return f"{self.name.upper()}_DIR"


def _release(name: str, given: Mapping[str, Any]) -> Release:
    films = [given["films"]["name"]] if "films" in given else []
    files = dict.fromkeys([given["ratings"][0], *films]) | given.get("files", {})
    return Release(name, **{**given, "files": files})


RELEASES = {name: _release(name, of) for name, of in movielens_files.DECLARED["releases"].items()}
USERS = {"ml100k": movielens_files.users_100k, "ml1m": movielens_files.users_1m}
SPLITS = {"ml100k": movielens_files.splits_100k, "ml10m": movielens_files.splits_10m}


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
    tables = {"user": USERS[release.name](folder)} if release.name in USERS else {}
    if release.films:
        tables["item"] = movielens_files.titles(folder, **release.films)
    else:
        tables["item"] = movielens_files.items_100k(folder)
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
