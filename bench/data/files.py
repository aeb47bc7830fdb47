"""Any file of ratings: CSV, TSV, `::`-separated, or Parquet; named or positional columns, any scale."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from bench.data.dataset import Dataset
from bench.data.delimited import locate, read_delimited
from bench.data.describe import described
from bench.data.fetch import file_digest
from bench.data.table import DUPLICATES, Place, drop_duplicates, to_ratings
from bench.errors import UserError, checked
from fm.validation import check_choice, check_number

COLUMNS = {"user": 0, "item": 1, "rating": 2, "timestamp": 3}


def ratings_file(
    path: str | Path,
    *,
    columns: Mapping[str, str | int | None] | None = None,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    scale: Sequence[float] | None = None,
    duplicates: str = "error",
    users: str | Path | None = None,
    items: str | Path | None = None,
) -> Dataset:
    """Ratings from a file of one's own.

    Ids are integers where a whole column is, otherwise text. Time stamps are seconds since 1970 or
    dates as in ISO 8601.

    Parameters
    ----------
    path : `*.parquet`, or text, compressed where its name ends in `.gz`, `.bz2` or `.zst`.
    columns : name or position (from 0) of `user`, `item`, `rating` and `timestamp`; by default the
        first four, where time stamps may be absent. `timestamp: None` leaves them out.
    separator, header : how text is written; by default what its first line suggests.
    encoding : of text.
    scale : lowest and highest possible rating; by default the observed ones.
    duplicates : if a user has rated an item more than once: "error", or keep the "first", the "last",
        or their "mean", in the first one's place with the latest time stamp.
    users, items : files that describe them, with a header, the id in the first column.

    Raises
    ------
    UserError : whatever is wrong with the file, with its line and value.
    """
    path = Path(path).expanduser()
    chosen = COLUMNS | dict(columns or {})
    with checked():
        check_choice("duplicates", duplicates, DUPLICATES)
        for role in chosen:
            check_choice("columns", role, COLUMNS)
    chosen = {role: column for role, column in chosen.items() if column is not None}
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        if path.suffix == ".parquet":
            table, place = _read_parquet(path, chosen)
        else:
            table, place = read_delimited(
                path, chosen, separator=separator, header=header, encoding=encoding
            )
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not len(table):
        raise UserError(f"{path} is empty: there is no rating in it")
    ratings = to_ratings(table, place)
    scale = _scale(ratings["rating"], scale, place)
    ratings = drop_duplicates(ratings, duplicates, place)
    tables = {role: file for role, file in (("user", users), ("item", items)) if file is not None}
    known = {f"{role}s": described(file, role, ratings[role]) for role, file in tables.items()}
    return Dataset(
        name=path.stem,
        ratings=ratings,
        scale=scale,
        digest=_digest(path, tables),
        source=f"{len(ratings):,} ratings of {path}",
        **known,
    )


def _digest(path: Path, tables: Mapping[str, str | Path]) -> str:
    """Of the ratings' file alone where there is no other."""
    digests = {
        role: file_digest(Path(file).expanduser(), "sha256") for role, file in tables.items()
    }
    ratings = file_digest(path, "sha256")
    if not digests:
        return ratings
    listed = "".join(
        f"{digest}  {role}\n" for role, digest in {"rating": ratings, **digests}.items()
    )
    return hashlib.sha256(listed.encode()).hexdigest()


def _read_parquet(path: Path, columns: Mapping[str, str | int]) -> tuple[pa.Table, Place]:
    names = pyarrow.parquet.read_schema(path).names
    positions = locate(columns, names, str(path))
    table = pyarrow.parquet.read_table(
        path, columns=[names[position] for position in positions.values()]
    )
    return table.rename_columns(list(positions)), lambda row: f"{path}, row {row + 1}"


def _scale(rating: pd.Series, scale: Sequence[float] | None, place: Place) -> tuple[float, float]:
    if scale is None:
        return float(rating.min()), float(rating.max())
    low, high = scale
    with checked():
        check_number("scale's low end", low)
        check_number("scale's high end", high, above=low)
    outside = ~rating.between(low, high).to_numpy()
    if outside.any():
        row = int(np.argmax(outside))
        raise UserError(f"{place(row)}: rating {rating[row]} is outside the scale {low} to {high}")
    return float(low), float(high)
