"""From raw columns, whatever file they were read from, to columns that can be relied on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from bench.data.dataset import Bag
from bench.errors import UserError, quoted

Place = Callable[[int], str]
"""Says where a row (from 0) is: `ratings.csv, line 7`."""
LAST_SECOND = 2.0**53
"""Time stamps are below it: beyond, a double does not hold every second."""
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def to_field(
    column: pa.ChunkedArray, name: str, place: Place, *, missing: bool = True
) -> NDArray[np.int64] | pd.Series:
    """Return whole numbers if all values are written in the usual way (7, never 007), else text.

    A missing value is the level "", or refused where `missing` is False.
    """
    if pa.types.is_integer(column.type) and not column.null_count:
        try:
            return column.cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid:  # uint64 beyond int64: text, as it is from CSV
            column = column.cast(pa.string())
    words, codes = _encoded(column, name, place)
    try:
        text = words.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _wrong_type(words.type, name, "numbers or text", place) from error
    is_missing = (codes < 0) | (codes == text.index("").as_py())
    if not missing and is_missing.any():
        raise UserError(f"{place(int(np.argmax(is_missing)))}: there is no {name}")
    if not is_missing.any():
        try:
            numbers = words.cast(pa.int64())
            if numbers.cast(words.type).equals(words):
                return numbers.to_numpy()[codes]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    codes = np.where(codes < 0, len(text), codes)
    levels, level = np.unique(np.array([*text.to_pylist(), ""], object), return_inverse=True)
    seen = np.zeros(len(levels), dtype=bool)
    seen[level[codes]] = True
    level = (np.cumsum(seen) - 1)[level]
    return pd.Series(pd.Categorical.from_codes(level[codes], pd.Index(levels[seen], dtype="str")))


def to_numbers(
    column: pa.ChunkedArray, name: str, place: Place, *, missing: bool = False
) -> NDArray[np.float64]:
    """Return finite numbers; where `missing` is allowed, NaN for a missing value."""
    if pa.types.is_temporal(column.type) or pa.types.is_nested(column.type):
        raise _wrong_type(column.type, name, "numbers", place)
    numbers = _numbers(column)
    wrong = ~np.isfinite(numbers)
    if missing and wrong.any():
        wrong &= ~_is_empty(column)
    _refuse(wrong, column, name, "a finite number", place)
    return numbers


def to_seconds(column: pa.ChunkedArray, name: str, place: Place) -> NDArray[np.int64]:
    """Return seconds since 1970, from numbers or from dates as in ISO 8601."""
    expected = "seconds since 1970 or a date as 1997-12-04"
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        _refuse(column.is_null().to_numpy(), column, name, expected, place)
        return column.cast(pa.int64()).to_numpy() // PER_SECOND[column.type.unit]
    if pa.types.is_temporal(column.type) or pa.types.is_nested(column.type):
        raise _wrong_type(column.type, name, expected, place)
    if pa.types.is_integer(column.type) and not column.null_count:
        seconds = column.to_numpy()
    else:
        seconds = _numbers(column)
        if np.isnan(seconds[0]):
            words, codes = _encoded(column, name, place)
            seconds = np.array([*map(_date, words.to_pylist()), np.nan])[codes]
    _refuse(~(np.abs(seconds.astype(np.float64)) < LAST_SECOND), column, name, expected, place)
    return np.floor(seconds).astype(np.int64)


def to_bag(column: pa.ChunkedArray, name: str, place: Place, separator: str) -> Bag:
    """Return a column of 0 and 1 for each level of a row's list, or between its separators."""
    if not pa.types.is_list(column.type) and not pa.types.is_large_list(column.type):
        column = pc.split_pattern(pc.fill_null(column.cast(pa.string()), ""), separator)
    lists = pa.concat_arrays(column.chunks)
    rows = pc.list_parent_indices(lists).to_numpy()
    levels = to_field(pa.chunked_array([pc.list_flatten(lists)]), f"{name}'s level", place)
    codes, labels = pd.factorize(pd.Series(levels), sort=True)
    words = np.array([str(label) for label in labels], dtype=object)
    is_level = np.array([word.strip() != "" for word in words], dtype=bool)[codes]
    used, codes = np.unique(codes[is_level], return_inverse=True)
    ones = np.ones(len(codes))
    matrix = sparse.coo_array((ones, (rows[is_level], codes)), (len(lists), len(used)))
    return Bag(sparse.csr_array(matrix.tocsr().sign()), tuple(words[used]))


def _encoded(
    column: pa.ChunkedArray, name: str, place: Place
) -> tuple[pa.Array, NDArray[np.integer]]:
    """Return the values that occur, and the position of each row's among them, -1 for none."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    try:
        column = column.dictionary_encode().unify_dictionaries()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _wrong_type(column.type, name, "numbers or text", place) from error
    array = column.combine_chunks()
    return array.dictionary, array.indices.fill_null(-1).to_numpy()


def _wrong_type(kind: pa.DataType, name: str, expected: str, place: Place) -> UserError:
    return UserError(f"{place(0)}: {name} has values of type {kind}, not {expected}")


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """NaN where a value is not a number."""
    try:
        return column.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return pd.to_numeric(column.to_pandas(), errors="coerce").to_numpy(np.float64)


def _is_empty(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    empty = column.is_null(nan_is_null=pa.types.is_floating(column.type)).to_numpy()
    if pa.types.is_string(column.type):
        empty = empty | (pc.fill_null(pc.utf8_trim_whitespace(column), "").to_numpy() == "")
    return empty


def _date(text: object) -> float:
    """Seconds since 1970 of a date, in UTC if it names no zone; NaN if it is none."""
    try:
        moment = datetime.fromisoformat(str(text).strip())
    except ValueError:
        return np.nan
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def _refuse(
    wrong: NDArray[np.bool_], column: pa.ChunkedArray, name: str, expected: str, place: Place
) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        value = column[row].as_py()
        shown = "''" if value is None else quoted(value)
        raise UserError(f"{place(row)}: {name} {shown} is not {expected}")
