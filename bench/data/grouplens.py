"""MovieLens, exactly as published (Harper & Konstan, 2015, ACM TiiS 5(4), article 19): found, verified, read."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pandas as pd

from bench.data.dataset import Dataset
from bench.data.fetch import file_digest, install, verify
from bench.data.movielens_files import ratings as read_ratings
from bench.data.releases import RELEASES, Release
from bench.data.simulate import planted
from bench.errors import DataUnavailable, UserError, checked
from fm.validation import check_choice

URL = "https://files.grouplens.org/datasets/movielens"


def movielens(
    name: str, path: str | Path | None = None, cache: str | Path | None = None
) -> Dataset:
    """A release of MovieLens, by its name in `RELEASES`; see `load`."""
    with checked():
        check_choice("name", name, RELEASES)
    return load(RELEASES[name], path, cache)


def ml100k_or_planted(path: str | None = None, cache: str | None = None, url: str = URL) -> Dataset:
    """MovieLens-100K, or where it can be neither found nor fetched, `planted` in its place, said on stderr.

    Raises
    ------
    UserError : a folder was given or cached, and is not as published.
    """
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
    timeout: float = 5.0,
) -> Dataset:
    """All ratings of a release, and all that it tells of users and films.

    Parameters
    ----------
    path : folder extracted from its archive; by default what its environment variable (`ML100K_DIR`) says. A folder
        that is given is the only place looked at.
    cache : folder in which to look for it next, and to which it is downloaded from the folder at `url`; by default
        `fm-bench` in the user's cache folder.
    timeout : seconds of silence after which a connection counts as broken.

    Raises
    ------
    UserError : a file is missing or differs from the published one, or has another number of ratings.
    DataUnavailable : neither given nor cached, and it cannot be downloaded.
    """
    given = path or os.environ.get(release.variable)
    folder = Path(given).expanduser() if given else _cache_folder(cache) / release.folder
    if not given and not folder.exists():
        _install(release, url, folder, timeout)
    try:
        verify(folder, release.files)
        ratings = _ratings(release, folder)
    except UserError as error:
        remedy = (
            f"data.path or {release.variable} must be the folder extracted from {release.archive}.zip"
            if given
            else f"delete {folder} to have it downloaded again"
        )
        raise UserError(f"{error}; {remedy}") from error
    return Dataset(
        name=release.name,
        ratings=ratings,
        scale=release.scale,
        digest=_digest(release, folder),
        source=f"{release.title}, as published by GroupLens",
        users=release.users(folder) if release.users else None,
        items=release.items(folder),
        splits=release.splits(folder, ratings) if release.splits else {},
        licence=release.licence,
    )


def _cache_folder(cache: str | Path | None) -> Path:
    if cache is not None:
        return Path(cache).expanduser()
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "fm-bench"


def _install(release: Release, url: str, folder: Path, timeout: float) -> None:
    archive = f"{release.archive}.zip"
    try:
        install(f"{url}/{archive}", release.md5, release.files, folder, timeout)
    except DataUnavailable as error:
        raise DataUnavailable(
            f"{release.title} is neither given nor cached, and {error}. To provide it, extract {archive} "
            f"anywhere and set {release.variable} to the folder, or move that to {folder}"
        ) from error
    print(f"{release.licence} The whole: {folder}/README*", file=sys.stderr, flush=True)


def _ratings(release: Release, folder: Path) -> pd.DataFrame:
    name, separator, header = release.ratings
    ratings = read_ratings(folder / name, separator, header)
    if release.n_ratings not in (None, len(ratings)):
        raise UserError(
            f"{folder / name} has {len(ratings):,} ratings, {release.title} has {release.n_ratings:,}"
        )
    return ratings


def _digest(release: Release, folder: Path) -> str:
    """Of the files that are read, each by its sha256, which `verify` has seen where it is known."""
    digests = {
        name: known or file_digest(folder / name, "sha256") for name, known in release.files.items()
    }
    manifest = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(manifest.encode()).hexdigest()
