"""Tables that describe the levels of a field (users, items, devices), from files of one's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from pandas.api.types import is_integer_dtype

from bench.data.delimited import SEPARATORS
from bench.errors import UserError, quoted


def level_table(path: str | Path, name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Read a table indexed by the id in its first column, of the type that `rows[name]` has."""
    if name not in rows:
        raise UserError(f"tables: there is no field {quoted(name)}; there are {', '.join(rows)}")
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else _read_text(path)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"{path} cannot be read: {quoted(str(error), 300)}") from error
    if len(table.columns) < 2:
        raise UserError(
            f"{path}: there must be a column beside the {name} id, got {', '.join(table.columns)}"
        )
    index = _ids(table.iloc[:, 0], rows[name], f"{path}: {name} id")
    if index.has_duplicates:
        repeated = quoted(str(index[index.duplicated()][0]))[1:-1]
        raise UserError(f"{path}: {name} id {repeated} occurs more than once")
    if not index.isin(rows[name].unique()).any():
        raise UserError(
            f"{path}: no {name} of the rows is in it; its ids are "
            f"{', '.join(map(str, index[:3]))}, ..."
        )
    return table.iloc[:, 1:].set_axis(index)


def _read_text(path: Path) -> pd.DataFrame:
    """Read a table, and its ids as they are written."""
    first = pd.read_csv(path, sep="\x1f", nrows=0).columns[0]
    separator = next((s for s in SEPARATORS if s in first), ",")
    form = {"sep": separator, "engine": "python" if len(separator) > 1 else None}
    names = pd.read_csv(path, nrows=0, **form).columns
    return pd.read_csv(path, dtype={names[0]: "str"}, **form)


def _ids(written: pd.Series, levels: pd.Series, label: str) -> pd.Index:
    if written.isna().any():
        raise UserError(f"{label} is missing in row {1 + int(written.isna().argmax())}")
    if not is_integer_dtype(levels):
        return pd.Index(written.astype("str"), name=levels.name)
    numbers = pd.to_numeric(written, errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0)
    if wrong.any():
        raise UserError(
            f"{label} {quoted(written[wrong].iloc[0])} is no whole number, as those of the rows are"
        )
    return pd.Index(numbers.astype("int64"), name=levels.name)
