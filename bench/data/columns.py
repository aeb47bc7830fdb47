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
"""Says where a row (from 0) stands: `ratings.csv, line 7`."""
LAST_SECOND = 2.0**53
"""Time stamps are below it: beyond, a double does not hold every second."""
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def to_field(
    column: pa.ChunkedArray, name: str, place: Place, *, missing: bool = True
) -> NDArray[np.int64] | pd.Series:
    """Return whole numbers if all values are, written in the usual way (7, never 007).

    Otherwise text.

    `missing`: whether a missing value is allowed; it is then the level "".

    Raises
    ------
    UserError : values that are neither numbers nor text, or a missing one that is not allowed.
    """
    if pa.types.is_integer(column.type) and not column.null_count:
        try:
            return column.cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid:  # uint64 beyond int64: text, as it is from CSV
            column = column.cast(pa.string())
    if not pa.types.is_dictionary(column.type):
        column = _encoded(column, name, place)
    column = column.unify_dictionaries().combine_chunks()
    words = column.dictionary
    code = column.indices.fill_null(-1).to_numpy()
    text = _as_text(words, name, place)
    empty = text.index("").as_py()
    is_missing = (code < 0) | (code == empty)
    if is_missing.any() and not missing:
        raise UserError(f"{place(int(np.argmax(is_missing)))}: there is no {name}")
    if not is_missing.any():
        try:
            numbers = words.cast(pa.int64())
            if numbers.cast(words.type).equals(words):
                return numbers.take(column.indices).to_numpy()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    codes, levels = np.where(code < 0, len(text), code), [*text.to_pylist(), ""]
    names, where = np.unique(np.array(levels, dtype=object), return_inverse=True)
    codes = where[codes]
    seen = np.bincount(codes, minlength=len(names)) > 0
    codes = (np.cumsum(seen) - 1)[codes]
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(names[seen], dtype="str")))


def to_numbers(
    column: pa.ChunkedArray, name: str, place: Place, *, missing: bool = False
) -> NDArray[np.float64]:
    """Return finite numbers; where `missing` is allowed, NaN for a missing value.

    Raises
    ------
    UserError : a value that is not a finite number.
    """
    kind = column.type
    if pa.types.is_temporal(kind) or pa.types.is_nested(kind):
        raise UserError(f"{place(0)}: {name} has values of type {kind}, not numbers")
    numbers = _numbers(column)
    wrong = ~np.isfinite(numbers)
    if missing and wrong.any():
        wrong &= ~_is_empty(column)
    _refuse(wrong, column, name, "a finite number", place)
    return numbers


def to_seconds(column: pa.ChunkedArray, name: str, place: Place) -> NDArray[np.int64]:
    """Return seconds since 1970, from numbers or from dates as in ISO 8601.

    Raises
    ------
    UserError : a value that is neither.
    """
    expected = "seconds since 1970 or a date as 1997-12-04"
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        _refuse(column.is_null().to_numpy(), column, name, expected, place)
        return column.cast(pa.int64()).to_numpy() // PER_SECOND[column.type.unit]
    if pa.types.is_temporal(column.type) or pa.types.is_nested(column.type):
        raise UserError(f"{place(0)}: {name} has values of type {column.type}, not {expected}")
    if pa.types.is_integer(column.type) and not column.null_count:
        seconds = column.to_numpy()
    else:
        seconds = _numbers(column)
        if np.isnan(seconds[0]):
            encoded = _encoded(column, name, place).unify_dictionaries().combine_chunks()
            dates = np.array([_date(word) for word in encoded.dictionary.to_pylist()] + [np.nan])
            seconds = dates[encoded.indices.fill_null(len(dates) - 1).to_numpy()]
    wrong = ~(np.abs(seconds.astype(np.float64)) < LAST_SECOND)
    _refuse(wrong, column, name, expected, place)
    return np.floor(seconds).astype(np.int64)


def to_bag(column: pa.ChunkedArray, name: str, place: Place, separator: str) -> Bag:
    """Return a column of 0 and 1 for each level.

    A row has the levels of its list, or those between separators.

    Raises
    ------
    UserError : a list of other things than text and numbers.
    """
    if not pa.types.is_list(column.type) and not pa.types.is_large_list(column.type):
        text = column.cast(pa.string()) if not pa.types.is_string(column.type) else column
        column = pc.split_pattern(pc.fill_null(text, ""), separator)
    column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    rows = pc.list_parent_indices(column).to_numpy()
    levels = to_field(pa.chunked_array([pc.list_flatten(column)]), f"{name}'s level", place)
    codes, labels = pd.factorize(pd.Series(levels), sort=True)
    known = np.array([str(label).strip() != "" for label in labels], dtype=bool)[codes]
    shape = len(column), len(labels)
    matrix = sparse.coo_array((np.ones(known.sum()), (rows[known], codes[known])), shape).tocsr()
    matrix.data[:] = 1  # a level named twice in a row counts once
    used = np.flatnonzero(np.bincount(matrix.indices, minlength=len(labels)))
    return Bag(sparse.csr_array(matrix[:, used]), tuple(str(labels[j]) for j in used))


def _encoded(column: pa.ChunkedArray, name: str, place: Place) -> pa.ChunkedArray:
    """Return a column as a dictionary; UserError where its values are lists or the like."""
    try:
        if pa.types.is_null(column.type):
            column = column.cast(pa.string())
        return column.dictionary_encode()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(
            f"{place(0)}: {name} has values of type {column.type}, not numbers or text"
        ) from error


def _as_text(words: pa.Array, name: str, place: Place) -> pa.Array:
    try:
        return words.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(
            f"{place(0)}: {name} has values of type {words.type}, not numbers or text"
        ) from error


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
        raise UserError(f"{place(row)}: {name} {quoted(column[row].as_py())} is not {expected}")
