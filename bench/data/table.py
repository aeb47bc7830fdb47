"""From raw columns, whatever they were read from, to a table of ratings that can be relied on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.errors import UserError

DUPLICATES = ("error", "first", "last", "mean")
"""What can be done when a user has rated an item more than once."""
Place = Callable[[int], str]
"""Says where the rating of a row (from 0) stands: `ratings.csv, line 7`."""


def to_ratings(table: pa.Table, place: Place) -> pd.DataFrame:
    """Columns `user`, `item`, `rating` and, where given, `timestamp`, as `Dataset` has them.

    Raises
    ------
    UserError : no row, a missing id, a rating that is not a finite number, a time stamp that is
        neither seconds nor a date.
    """
    columns = {role: _ids(table[role], role, place) for role in ("user", "item")}
    columns["rating"] = _numbers(table["rating"])
    _check_finite(columns["rating"], table["rating"], "rating", "a finite number", place)
    if "timestamp" in table.column_names:
        columns["timestamp"] = _seconds(table["timestamp"], place)
    return pd.DataFrame(columns, copy=False)


def drop_duplicates(ratings: pd.DataFrame, policy: str, place: Place) -> pd.DataFrame:
    """One rating for each pair of user and item: the "first", the "last", or their "mean" in the first
    one's place with the latest time stamp.

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
        how = {"user": "first", "item": "first", "rating": "mean", "timestamp": "max"}
        groups = ratings.groupby(pair, sort=False)
        return groups.agg({name: how[name] for name in ratings}).reset_index(drop=True)
    repeated = pd.Series(pair).duplicated(keep="last" if policy == "last" else "first").to_numpy()
    if policy == "error":
        row = int(np.argmax(repeated))
        first = int(np.argmax(pair == pair[row]))
        raise UserError(
            f"{place(row)}: user {ratings['user'][row]} has rated item {ratings['item'][row]} before, in "
            f"{place(first)}; duplicates=first, last or mean keeps one rating"
        )
    return ratings[~repeated].reset_index(drop=True)


def _ids(column: pa.ChunkedArray, role: str, place: Place) -> pd.Series | NDArray[np.int64]:
    """Integers if all are, and written in the usual way (7, never 007); otherwise text."""
    if pa.types.is_integer(column.type) and not column.null_count:
        return column.cast(pa.int64()).to_numpy()
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    words = column.dictionary
    code = column.indices.fill_null(-1).to_numpy()
    text = words.cast(pa.string())
    missing = (code == -1) | (code == text.index("").as_py())
    if missing.any():
        raise UserError(f"{place(int(np.argmax(missing)))}: there is no {role} id")
    try:
        numbers = words.cast(pa.int64())
        names = numbers if numbers.cast(words.type).equals(words) else text
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        names = text
    return names.take(column.indices).to_pandas()


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """NaN where there is none."""
    try:
        return column.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pd.to_numeric(column.to_pandas(), errors="coerce").to_numpy(np.float64)


def _seconds(column: pa.ChunkedArray, place: Place) -> NDArray[np.int64]:
    if pa.types.is_integer(column.type) and not column.null_count:
        return column.cast(pa.int64()).to_numpy()
    seconds = np.array([np.nan]) if pa.types.is_temporal(column.type) else _numbers(column)
    if np.isnan(seconds[0]):
        dates = pd.to_datetime(column.to_pandas(), errors="coerce", utc=True, format="ISO8601")
        seconds = ((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)).to_numpy()
    _check_finite(
        seconds, column, "time stamp", "seconds since 1970 or a date as 1997-12-04", place
    )
    return np.floor(seconds).astype(np.int64)


def _check_finite(
    values: NDArray[np.float64], column: pa.ChunkedArray, what: str, expected: str, place: Place
) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argmin(finite))
        raise UserError(f"{place(row)}: {what} {column[row].as_py()!r} is not {expected}")
