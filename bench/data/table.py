"""A table of rows with a target from files of one's own: clicks, contexts, measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pandas.api.types import is_integer_dtype

from bench.data.columns import Place, to_bag, to_field, to_numbers, to_seconds
from bench.data.dataset import TASKS, Dataset
from bench.data.delimited import PUBLISHED, SEPARATORS, Files, locate
from bench.errors import UserError, checked, quoted
from fm.validation import check_choice, check_number

Column = str | int
"""A column's name, or its position from 0."""
TIME_NAMES = ("timestamp", "time", "datetime", "date")
"""Columns of these names are times unless they are given another role."""
TWO_CLASSES = ({"0", "1"}, {"-1", "1"}, {"0.0", "1.0"}, {"-1.0", "1.0"})
"""Numbers that stand for two classes."""
TYPES = {"numeric": pa.float64(), "weight": pa.float64(), "time": pa.int64()}


class Role(NamedTuple):
    """What a column of a file is: "target", "field", "numeric", "bag", "time" or "weight".

    Error messages call it `label`; `missing` says whether a field may have missing values.
    """

    kind: str
    position: int
    label: str
    missing: bool = True


def table_file(
    path: str | Path,
    target: Column,
    *,
    fields: Sequence[Column] | None = None,
    numeric: Sequence[Column] | None = None,
    bags: Sequence[Column] | None = None,
    time: Column | None = None,
    weight: Column | None = None,
    task: str | None = None,
    positive: str | None = None,
    scale: Sequence[float] | None = None,
    validation_path: str | Path | None = None,
    test_path: str | Path | None = None,
    tables: Mapping[str, str | Path] | None = None,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    bag_separator: str = "|",
) -> Dataset:
    """Read rows with a target, whatever they describe.

    Roles that are not given are inferred, and `Dataset.source` says which: lists are bags, numbers
    with fractions are numeric, a column named like a time is the time, and all others are fields.
    Where `fields`, `numeric` or `bags` is given, columns without a role are left out.

    A missing value of a field is a level of its own, ""; of a numeric column it is NaN; of a bag,
    no level. A missing target, time or weight is refused.

    The parameters are those of `conf/data/table.yaml`; with a test file, and a validation file
    where there is one, the split "given" is the default.
    """
    with checked():
        if task is not None:
            check_choice("task", task, TASKS)
    single = {"target": target, "time": time, "weight": weight}
    several = {"field": fields, "numeric": numeric, "bag": bags}
    given = {kind: [c] for kind, c in single.items() if c is not None}
    given |= {kind: list(columns) for kind, columns in several.items() if columns is not None}
    if header is None and any(isinstance(c, str) for columns in given.values() for c in columns):
        header = True
    files = Files(
        {"train": path, "validation": validation_path, "test": test_path},
        {"separator": separator, "header": header, "encoding": encoding},
    )
    roles = {
        files.names[position]: Role(kind, position, files.names[position])
        for position, kind in _kinds(files, given).items()
    }
    return read_table(files, roles, task, positive, scale, tables or {}, bag_separator)


def read_table(
    files: Files,
    roles: Mapping[str, Role],
    task: str | None = None,
    positive: str | None = None,
    scale: Sequence[float] | None = None,
    tables: Mapping[str, str | Path] | None = None,
    bag_separator: str = "|",
) -> Dataset:
    """Read the columns that have a role, by their names in the data set; as `table_file`."""
    if task is None and scale is not None:
        task = "rating"
    types = TYPES if task in (None, "binary") else TYPES | {"target": pa.float64()}
    read = files.read(
        {name: role.position for name, role in roles.items()},
        {name: types[role.kind] for name, role in roles.items() if role.kind in types},
    )
    named = {
        kind: tuple(name for name, role in roles.items() if role.kind == kind)
        for kind in dict.fromkeys(role.kind for role in roles.values())
    }
    place = files.place
    [target] = named["target"]
    y, task, classes = _target(read.pop(target), roles[target].label, task, positive, place)
    bags = {n: to_bag(read.pop(n), n, place, bag_separator) for n in named.get("bag", ())}
    # Each column is released once it is converted: memory holds the rows about once.
    columns = {
        name: y if name == target else _column(read.pop(name), role, place)
        for name, role in roles.items()
        if name not in bags
    }
    rows = pd.DataFrame(columns, copy=False)
    return Dataset(
        name=files.path.stem,
        rows=rows,
        scale=(0.0, 1.0) if task == "binary" else rating_scale(y, scale, place),
        source=f"{len(rows):,} rows of {files.path}: {_summary(named, task, y, classes)}",
        tables={of: level_table(path, of, rows) for of, path in (tables or {}).items()},
        task=task,
        target=target,
        fields=named.get("field", ()),
        numeric=named.get("numeric", ()),
        time=named.get("time", (None,))[0],
        weight=named.get("weight", (None,))[0],
        bags=bags,
        classes=classes,
        splits=files.splits,
        default_split=PUBLISHED if files.splits else None,
    )


def inferred_kind(written: pa.DataType) -> str:
    """Return what a column without a given role is, by the type that its values have."""
    if pa.types.is_nested(written):
        return "bag"
    fraction = pa.types.is_floating(written) or pa.types.is_decimal(written)
    return "numeric" if fraction else "field"


def rating_scale(
    y: NDArray[np.float64], scale: Sequence[float] | None, place: Place
) -> tuple[float, float]:
    """Return the given scale, of which no target may be outside, or the observed one."""
    if scale is None:
        return float(y.min()), float(y.max())
    if len(scale) != 2:
        raise UserError(f"scale must be [lowest, highest], got {quoted(list(scale))}")
    low, high = scale
    with checked():
        check_number("scale's low end", low)
        check_number("scale's high end", high, above=low)
    outside = (y < low) | (y > high)
    if outside.any():
        row = int(np.argmax(outside))
        raise UserError(f"{place(row)}: rating {y[row]} is outside the scale {low} to {high}")
    return float(low), float(high)


def _kinds(files: Files, given: Mapping[str, Sequence[Column]]) -> dict[int, str]:
    """Return the kind of each position that has a role: the target's first, then in order."""
    kinds: dict[int, str] = {}
    for kind, columns in given.items():
        for column in columns:
            position = locate({kind: column}, files.names, files.where)[kind]
            if position in kinds:
                raise UserError(
                    f"column {quoted(files.names[position])} is {kinds[position]} and {kind}: "
                    "leave one of the two out"
                )
            kinds[position] = kind
    repeated = [name for name in files.names if files.names.count(name) > 1]
    if repeated:
        locate({"a column": repeated[0]}, files.names, files.where)
    if not {"field", "numeric", "bag"} & given.keys():
        for position, (name, written) in enumerate(zip(files.names, files.types, strict=True)):
            if name.lower() in TIME_NAMES and "time" not in kinds.values():
                kinds.setdefault(position, "time")
            kinds.setdefault(position, inferred_kind(written))
    if not {"field", "numeric", "bag"} & set(kinds.values()):
        raise UserError(f"{files.where}: there is no column beside the target to predict it from")
    return dict(sorted(kinds.items(), key=lambda item: (item[1] != "target", item[0])))


def _column(
    column: pa.ChunkedArray, role: Role, place: Place
) -> NDArray[np.float64] | NDArray[np.int64] | pd.Series:
    if role.kind == "field":
        return to_field(column, role.label, place, missing=role.missing)
    if role.kind == "time":
        return to_seconds(column, role.label, place)
    numbers = to_numbers(column, role.label, place, missing=role.kind == "numeric")
    if role.kind == "weight" and (numbers < 0).any():
        row = int(np.argmax(numbers < 0))
        raise UserError(f"{place(row)}: weight {numbers[row]} is below 0")
    return numbers


def _target(
    column: pa.ChunkedArray, name: str, task: str | None, positive: str | None, place: Place
) -> tuple[NDArray[np.float64], str, tuple[str, str] | None]:
    """Return the target as numbers, its task, and the names of its classes if it has two."""
    if task in ("regression", "rating"):
        return to_numbers(column, name, place), task, None
    levels = column.cast(pa.string()) if pa.types.is_boolean(column.type) else column
    values = pd.Series(to_field(levels, name, place, missing=False)).astype("category")
    words = [str(word) for word in values.cat.categories]
    if pa.types.is_floating(column.type):
        words = [word.removesuffix(".0") for word in words]
    textual = not pd.api.types.is_numeric_dtype(values.cat.categories.dtype)
    numbers_only = textual and not np.isnan(pd.to_numeric(pd.Series(words), errors="coerce")).all()
    if len(words) == 2 and (set(words) in TWO_CLASSES or (textual and not numbers_only) or task):
        if positive is not None and str(positive) not in words:
            raise UserError(f"{name} has no class {quoted(positive)}; there are {', '.join(words)}")
        one = words.index(str(positive)) if positive is not None else 1
        y = (values.cat.codes.to_numpy() == one).astype(np.float64)
        return y, "binary", (words[1 - one], words[one])
    if task == "binary":
        raise UserError(
            f"{name} has {len(words):,} different values, a binary target has two: "
            f"{quoted(', '.join(words[:5]))}"
        )
    return to_numbers(column, name, place), "regression", None


def _summary(
    named: Mapping[str, Sequence[str]],
    task: str,
    y: NDArray[np.float64],
    classes: tuple[str, str] | None,
) -> str:
    """Say which column has which role."""
    balance = f", {y.mean():.1%} are {classes[1]}" if classes else ""
    words = {"field": "fields", "bag": "bags"}
    parts = [
        f"{words.get(kind, kind)} {', '.join(columns)}"
        for kind, columns in named.items()
        if kind != "target"
    ]
    return f"target {named['target'][0]} ({task}{balance}), {'; '.join(parts)}"


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
