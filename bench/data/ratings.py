"""Ratings from a file of one's own: the case of a table whose fields are `user` and `item`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.data.columns import Place, to_field, to_numbers, to_seconds
from bench.data.dataset import Dataset
from bench.data.delimited import locate
from bench.data.table import TIME_NAMES, Column, Files, level_tables, rating_scale
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
"""What a header may call a role, in lower case and without `_`.

The roles are in the order of files without names.
"""


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

    Parameters
    ----------
    path, separator, header, encoding, scale : as in `bench.data.table.table_file`.
    columns : name or position (from 0) of `user`, `item`, `rating` and `timestamp`. By default the
        names in a header say which is which (`userId`, `movie_id`, `stars`); columns without such a
        name are taken in this order, and a time stamp only from a file without a header.
        `timestamp: False` leaves it out.
    duplicates : if a user has rated an item more than once: "error", or keep the "first", the
        "last", or their "mean", in the first one's place with the latest time stamp.
    users, items : files that describe them, with a header, the id in the first column.

    Raises
    ------
    UserError : whatever is wrong with the file, with its line and value.
    """
    chosen = {role: column for role, column in (columns or {}).items() if column is not None}
    with checked():
        check_choice("duplicates", duplicates, DUPLICATES)
        for role in chosen:
            check_choice("columns", role, NAMES)
    if header is None and any(isinstance(column, str) for column in chosen.values()):
        header = True
    form = {"separator": separator, "header": header, "encoding": encoding}
    files = Files({"train": path}, form)
    positions = _positions(files, chosen)
    others = _others(files, set(positions.values()))
    numbers = {name: pa.float64() for name, kind in others.items() if kind == "fraction"}
    read = files.read(
        positions | {name: files.names.index(name) for name in others},
        {"rating": pa.float64(), "timestamp": pa.int64()} | numbers,
    )
    place = files.place
    parsed = parse_ratings(read, place)
    for name in others:
        parsed[name] = (
            to_numbers(read[name], name, place, missing=True)
            if name in numbers
            else to_field(read[name], name, place)
        )
    rows = pd.DataFrame(parsed, copy=False)
    bounds = rating_scale(parsed["rating"], scale, place)
    rows = drop_duplicates(rows, duplicates, place)
    described = {who: file for who, file in (("user", users), ("item", items)) if file is not None}
    return Dataset(
        name=Path(path).stem,
        rows=rows,
        scale=bounds,
        source=f"{len(rows):,} ratings of {path}",
        tables=level_tables(described, rows),
        fields=("user", "item", *(name for name in others if name not in numbers)),
        numeric=tuple(numbers),
        ids=("user", "item"),
        time="timestamp" if "timestamp" in rows else None,
    )


def parse_ratings(read: pa.Table, place: Place) -> dict[str, NDArray | pd.Series]:
    """Return `user`, `item`, `rating` and, where there is one, `timestamp` from raw columns.

    Raises
    ------
    UserError : a missing id, a rating that is not a finite number, a time stamp that is none.
    """
    parsed = {
        who: to_field(read[who], f"{who} id", place, missing=False) for who in ("user", "item")
    }
    parsed["rating"] = to_numbers(read["rating"], "rating", place)
    if "timestamp" in read.column_names:
        parsed["timestamp"] = to_seconds(read["timestamp"], "time stamp", place)
    return parsed


def drop_duplicates(ratings: pd.DataFrame, policy: str, place: Place) -> pd.DataFrame:
    """Return one rating for each pair of user and item, as `policy`, one of `DUPLICATES`, says.

    Raises
    ------
    UserError : under the policy "error", for the first rating that repeats a pair.
    """
    user, item = (pd.factorize(ratings[role])[0] for role in ("user", "item"))
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
        user_id, item_id = (quoted(str(ratings[who][row]))[1:-1] for who in ("user", "item"))
        raise UserError(
            f"{place(row)}: user {user_id} has rated item {item_id} before, in {place(first)}; "
            "duplicates=first, last or mean keeps one rating"
        )
    return ratings[~repeated].reset_index(drop=True)


def _positions(files: Files, chosen: Mapping[str, Column]) -> dict[str, int]:
    """Return where each role's column is.

    As chosen, by its name in a header, or at the role's own place.
    """
    given = {role: column for role, column in chosen.items() if column is not False}
    positions = locate(given, files.names, files.where)
    plain = [name.lower().replace("_", "") for name in files.names] if files.has_header else []
    for role, names in NAMES.items():
        found = [plain.index(name) for name in names if name in plain]
        if role not in chosen and found and found[0] not in positions.values():
            positions[role] = found[0]
    for position, role in enumerate(NAMES):
        if role in positions or role in chosen:
            continue
        if role == "timestamp" and (files.has_header or position >= len(files.names)):
            continue
        if position in positions.values():
            raise UserError(
                f"{files.where}: which column is the {role}? There are {', '.join(files.names)}: "
                f"give data.columns.{role}=..."
            )
        positions |= locate({role: position}, files.names, files.where)
    return {role: positions[role] for role in NAMES if role in positions}


def _others(files: Files, taken: set[int]) -> dict[str, str]:
    """Return name and kind of each other column that a header names once, unlike any role."""
    return {
        name: kind
        for position, (name, kind) in enumerate(zip(files.names, files.kinds, strict=True))
        if files.has_header
        and position not in taken
        and name.strip()
        and files.names.count(name) == 1
        and name not in NAMES
        and kind != "list"
    }
