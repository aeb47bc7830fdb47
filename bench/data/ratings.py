"""Ratings: the case of a table whose fields are `user` and `item` and whose target is `rating`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.columns import Place
from bench.data.dataset import Dataset
from bench.data.delimited import Files, locate
from bench.data.table import TIME_NAMES, Column, Role, inferred_kind, read_table
from bench.errors import UserError, checked, quoted
from fm.validation import check_choice

DUPLICATES = ("error", "first", "last", "mean")
"""What can be done when a user has rated an item more than once."""
NAMES = {
    "user": ("user", "userid", "uid"),
    "item": ("item", "itemid", "iid", "movie", "movieid"),
    "rating": ("rating", "stars", "score"),
    "timestamp": TIME_NAMES,
}
"""What a header may call a column, in lower case and without `_`.

The columns are in the order of files without names.
"""
ROLES = {
    "user": Role("field", 0, "user id", missing=False),
    "item": Role("field", 1, "item id", missing=False),
    "rating": Role("target", 2, "rating"),
    "timestamp": Role("time", 3, "time stamp"),
}
"""Of a file without names."""


def ratings_file(
    path: str | Path,
    *,
    columns: Mapping[str, Column | None] | None = None,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    scale: Sequence[float] | None = None,
    duplicates: str = "error",
    users: str | Path | None = None,
    items: str | Path | None = None,
) -> Dataset:
    """Read ratings from a file of one's own.

    Ids are integers where a whole column is, otherwise text. Time stamps are seconds since 1970 or
    dates as in ISO 8601. Other columns with a name are fields, or numeric where they have
    fractions.

    The parameters are those of `conf/data/file.yaml`. A header says which column is which
    (`userId`, `movie_id`, `stars`); columns without such a name are taken in the order user, item,
    rating, and a time stamp only from a file without a header.
    """
    chosen = {name: column for name, column in (columns or {}).items() if column is not None}
    with checked():
        check_choice("duplicates", duplicates, DUPLICATES)
        for name in chosen:
            check_choice("columns", name, NAMES)
    if header is None and any(isinstance(column, str) for column in chosen.values()):
        header = True
    form = {"separator": separator, "header": header, "encoding": encoding}
    files = Files({"train": path}, form)
    positions = _positions(files, chosen)
    roles = {name: ROLES[name]._replace(position=positions[name]) for name in positions}
    tables = {name: file for name, file in (("user", users), ("item", items)) if file is not None}
    if files.has_header:  # what else it names is there to predict from
        for position, (name, written) in enumerate(zip(files.names, files.types, strict=True)):
            kind, once = inferred_kind(written), name.strip() and files.names.count(name) == 1
            if once and name not in NAMES and position not in positions.values() and kind != "bag":
                roles[name] = Role(kind, position, name)
    data = read_table(files, roles, "rating", scale=scale, tables=tables)
    rows = drop_duplicates(data.rows, duplicates, files.place)
    source = f"{len(rows):,} ratings of {path}"
    return replace(data, rows=rows, source=source, ids=("user", "item"))


def drop_duplicates(ratings: pd.DataFrame, policy: str, place: Place) -> pd.DataFrame:
    """Return one rating for each pair of user and item, as `policy`, one of `DUPLICATES`, says."""
    user, item = (pd.factorize(ratings[name])[0] for name in ("user", "item"))
    pair = user * (1 + item.max()) + item
    # Sorting is ten times faster than hashing, and most files have no duplicates.
    ordered = np.sort(pair)
    if not (ordered[1:] == ordered[:-1]).any():
        return ratings
    if policy == "mean":
        how = {"rating": "mean", "timestamp": "max"}
        groups = ratings.groupby(pair, sort=False)
        kept = groups.agg({name: how.get(name, "first") for name in ratings})
        return kept.reset_index(drop=True).astype(ratings.dtypes)
    repeated = pd.Series(pair).duplicated(keep="last" if policy == "last" else "first").to_numpy()
    if policy == "error":
        row = int(np.argmax(repeated))
        first = int(np.argmax(pair == pair[row]))
        user_id, item_id = (quoted(str(ratings[name][row]))[1:-1] for name in ("user", "item"))
        raise UserError(
            f"{place(row)}: user {user_id} has rated item {item_id} before, in {place(first)}; "
            "duplicates=first, last or mean keeps one rating"
        )
    return ratings[~repeated].reset_index(drop=True)


def _positions(files: Files, chosen: Mapping[str, Column]) -> dict[str, int]:
    """Return where each column is: as chosen, by its name in a header, or at its own place."""
    given = {name: column for name, column in chosen.items() if column is not False}
    positions = locate(given, files.names, files.where)
    plain = [name.lower().replace("_", "") for name in files.names] if files.has_header else []
    for name, names in NAMES.items():
        matching = [plain.index(other) for other in names if other in plain]
        if name not in chosen and matching and matching[0] not in positions.values():
            positions[name] = matching[0]
    for position, name in enumerate(NAMES):
        if name in positions or name in chosen:
            continue
        if name == "timestamp" and (files.has_header or position >= len(files.names)):
            continue
        if position in positions.values():
            raise UserError(
                f"{files.where}: which column is the {name}? There are {', '.join(files.names)}: "
                f"give data.columns.{name}=..."
            )
        positions |= locate({name: position}, files.names, files.where)
    return {name: positions[name] for name in NAMES if name in positions}
