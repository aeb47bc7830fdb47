"""Data sets that are never fetched: read from a folder that the user names.

By default that is what `FRAPPE_DIR`, `DOUBAN_DIR` or `ML1M_DIR` says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset
from bench.data.movielens_releases import RELEASES, titles, users_1m
from bench.data.ratings import ratings_file
from bench.data.svmlight import svmlight_file
from bench.data.table import table_file
from bench.errors import DataUnavailable
from bench.seeds import derive_rng

FRAPPE_FIELDS = "user item daytime weekday isweekend homework cost weather country city"
STARS = 1.0, 5.0


def frappe(path: str | Path | None = None, redraw: int | None = None) -> Dataset:
    """Read Frappe (Baltrunas et al. 2015) in the split of He and Chua (SIGIR 2017).

    Which app a user opened in which context, and two apps that she did not open for each.

    With `redraw`, a seed, the apps of the training negatives are drawn anew, as those of the
    published files were: uniformly from the apps that the user never opened.
    """
    names = [f"frappe.{part}.libfm" for part in ("train", "validation", "test")]
    train, validation, test = _files("Frappe", path, "FRAPPE_DIR", names)
    data = svmlight_file(
        train,
        validation_path=validation,
        test_path=test,
        task="binary",
        field_names=FRAPPE_FIELDS.split(),
    )
    if redraw is not None:
        data = _with_new_negatives(data, redraw)
    return replace(
        data,
        name="frappe",
        source=f"Frappe in the split of He and Chua (2017), {len(data):,} rows",
        licence="Non-commercial research use only; no redistribution.",
    )


def _with_new_negatives(data: Dataset, seed: int) -> Dataset:
    """Return Frappe with other apps in the training negatives."""
    users, user = np.unique(data.rows["user"], return_inverse=True)
    apps, app = np.unique(data.rows["item"], return_inverse=True)
    opened = np.zeros((len(users), len(apps)), bool)
    opened[user[data.y == 1], app[data.y == 1]] = True
    train = data.splits["given"][0]
    negatives = train[data.y[train] == 0]
    unopened_first = np.argsort(opened, axis=1, stable=True)
    of = user[negatives]
    drawn = derive_rng(seed, "negatives").integers((~opened).sum(axis=1)[of])
    rows = data.rows.copy()
    rows.loc[rows.index[negatives], "item"] = apps[unopened_first[of, drawn]]
    return replace(data, rows=rows)


def douban(path: str | Path | None = None) -> Dataset:
    """Read the 3,000 x 3,000 ratings of Douban in the split of Monti et al. (NIPS 2017)."""
    names = ["douban.train.csv", "douban.test.csv"]
    train, test = _files("Douban", path, "DOUBAN_DIR", names)
    data = table_file(train, "rating", fields=["user", "item"], scale=STARS, test_path=test)
    return replace(
        data,
        name="douban",
        source=f"Douban in the split of Monti et al. (2017), {len(data):,} ratings",
    )


def ml1m_without_time(path: str | Path | None = None) -> Dataset:
    """Read MovieLens 1M without its time stamps, in the order of its file.

    Its ratings are those of `ratings.csv` or, where that is missing, of `ratings.dat`.
    """
    title = "MovieLens 1M without time"
    folder = _files(title, path, "ML1M_DIR", ["users.dat", "movies.dat"])[0].parent
    name = "ratings.csv" if (folder / "ratings.csv").is_file() else "ratings.dat"
    [ratings] = _files(title, folder, "ML1M_DIR", [name])
    data = ratings_file(ratings, columns={"timestamp": False}, scale=STARS)
    return replace(
        data,
        name="ml1m_without_time",
        source=f"MovieLens 1M without time stamps, {len(data):,} ratings",
        tables={
            "user": users_1m(folder),
            "item": titles(folder, name="movies.dat", separator="::", encoding="latin-1"),
        },
        licence=RELEASES["ml1m"].licence,
    )


def _files(title: str, path: str | Path | None, variable: str, names: Sequence[str]) -> list[Path]:
    """Return the files of these names in the folder `path`, or else in that of `variable`."""
    given = path or os.environ.get(variable)
    if not given:
        raise DataUnavailable(
            f"{title} is not fetched: put {', '.join(names)} into a folder, and set data.path or "
            f"{variable} to it"
        )
    files = [Path(given).expanduser() / name for name in names]
    for file in files:
        if not file.is_file():
            raise DataUnavailable(f"there is no file {file}: data.path or {variable} must have it")
    return files
