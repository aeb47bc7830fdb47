"""A table of rows with a target from files of one's own: clicks, contexts, measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.data.columns import Place, to_bag, to_field, to_numbers, to_seconds
from bench.data.dataset import TASKS, Dataset, Rows
from bench.data.delimited import locate, open_columns
from bench.data.level_tables import level_table
from bench.errors import UserError, checked, quoted
from fm.validation import check_choice, check_number

Column = str | int
"""A column's name, or its position from 0."""
TIME_NAMES = ("timestamp", "time", "datetime", "date")
"""Columns of these names are times unless they are given another role."""
TWO_CLASSES = ({"0", "1"}, {"-1", "1"}, {"0.0", "1.0"}, {"-1.0", "1.0"})
"""Numbers that stand for two classes."""
PUBLISHED = "given"
"""Name of the split that files for validation and test make."""


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

    A missing value of a field is a level of its own; of a numeric column it is NaN; of a bag, no
    level. A missing target, time or weight is refused.

    Parameters
    ----------
    path : `*.parquet`, or text, compressed where its name ends in `.gz`, `.bz2` or `.zst`.
    target, fields, numeric, bags, time, weight : names of columns, or positions from 0.
    task : "binary", "regression" or "rating"; by default binary where the target is 0 and 1, -1 and
        1, or two texts, rating where a scale is given, and otherwise regression.
    positive : the class that is predicted; by default the second of the two in order.
    scale : lowest and highest possible rating.
    validation_path, test_path : more files of the same columns, whose rows are the validation and
        the test part of the split "given", which is then the default.
    tables : field -> file that describes its levels, with a header, the level in the first column.
    separator, header, encoding : how text is written; by default what its first line suggests.
    bag_separator : between the levels of a bag, in text.

    Raises
    ------
    UserError : whatever is wrong with a file, with its line and value.
    """
    with checked():
        if task is not None:
            check_choice("task", task, TASKS)
    single = {"target": target, "time": time, "weight": weight}
    several = {"field": fields, "numeric": numeric, "bag": bags}
    given = {role: [c] for role, c in single.items() if c is not None}
    given |= {role: list(columns) for role, columns in several.items() if columns is not None}
    if header is None and any(isinstance(c, str) for columns in given.values() for c in columns):
        header = True
    form: dict[str, Any] = {"separator": separator, "header": header, "encoding": encoding}
    parts = {"train": path, "validation": validation_path, "test": test_path}
    files = Files({part: file for part, file in parts.items() if file is not None}, form)
    roles = _roles(files, given)
    numbers = {name: pa.float64() for name, role in roles.items() if role in ("numeric", "weight")}
    times = {name: pa.int64() for name, role in roles.items() if role == "time"}
    read = files.read({name: files.names.index(name) for name in roles}, numbers | times)
    named = {role: tuple(n for n, r in roles.items() if r == role) for role in roles.values()}
    [name] = named["target"]
    y, task, classes = _target(read[name], name, task, positive, scale, files.place)
    columns = {
        n: _column(read[n], n, role, files.place)
        for n, role in roles.items()
        if role in ("field", "numeric", "time", "weight")
    }
    rows = pd.DataFrame({name: y} | columns, copy=False)
    return Dataset(
        name=Path(path).stem,
        rows=rows,
        scale=(0.0, 1.0) if task == "binary" else rating_scale(y, scale, files.place),
        source=f"{len(rows):,} rows of {path}: {_said(named, task, y, classes)}",
        tables=level_tables(tables or {}, rows),
        task=task,
        target=name,
        fields=named.get("field", ()),
        numeric=named.get("numeric", ()),
        time=named.get("time", (None,))[0],
        weight=named.get("weight", (None,))[0],
        bags={n: to_bag(read[n], n, files.place, bag_separator) for n in named.get("bag", ())},
        classes=classes,
        splits=files.splits,
        default_split=PUBLISHED if files.splits else None,
    )


class Files:
    """One file of rows, or several of the same columns for the parts of a split, read as one."""

    def __init__(self, paths: Mapping[str, str | Path], form: Mapping[str, Any]) -> None:
        self._files = {part: open_columns(path, **form) for part, path in paths.items()}
        first = self._files["train"]
        self.names, self.has_header, self.where = first.names, first.has_header, first.where
        for file in self._files.values():
            if file.names != self.names and (self.has_header or len(file.names) != len(self.names)):
                raise UserError(
                    f"{file.where}: the columns are {quoted(', '.join(file.names))}, those of the "
                    f"training file {quoted(', '.join(self.names))}"
                )
        self.kinds = first.kinds()
        self._ends: dict[str, int] = {}

    def read(self, columns: Mapping[str, int], types: Mapping[str, pa.DataType]) -> pa.Table:
        """Return the columns at these positions, of all files one after another."""
        read = {}
        for part, file in self._files.items():
            read[part] = file.read(columns, types)
            if not len(read[part]):
                raise UserError(f"{file.path} is empty: there is no row in it")
            self._ends[part] = sum(map(len, read.values()))
        try:
            return pa.concat_tables(read.values(), promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            as_text = [
                t.cast(pa.schema([(name, pa.string()) for name in columns])) for t in read.values()
            ]
            return pa.concat_tables(as_text)

    def place(self, row: int) -> str:
        """Say where a row (from 0) of them all stands."""
        start = 0
        for part, end in self._ends.items():
            if row < end:
                return self._files[part].place(row - start)
            start = end
        raise IndexError(row)

    @property
    def splits(self) -> dict[str, tuple[Rows, ...]]:
        """What the files make: (train, test) or (train, validation, test) rows."""
        if "test" not in self._ends:
            if "validation" in self._ends:
                raise UserError(
                    "validation_path needs test_path: rows that the chosen is judged on"
                )
            return {}
        starts = [0, *self._ends.values()]
        return {PUBLISHED: tuple(np.arange(a, b) for a, b in pairwise(starts))}


def rating_scale(
    y: NDArray[np.float64], scale: Sequence[float] | None, place: Place
) -> tuple[float, float]:
    """Return the given scale, of which no target may be outside, or the observed one.

    Raises
    ------
    UserError : a scale that is none, or the first target outside it.
    """
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


def level_tables(files: Mapping[str, str | Path], rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Read a table that describes the levels of each field in `files`."""
    for name in files:
        if name not in rows:
            raise UserError(
                f"tables: there is no field {quoted(name)}; there are {', '.join(rows)}"
            )
    return {name: level_table(file, name, rows[name]) for name, file in files.items()}


def _roles(files: Files, given: Mapping[str, Sequence[Column]]) -> dict[str, str]:
    """Return the role of each column that has one, in the file's order."""
    roles: dict[int, str] = {}
    for role, columns in given.items():
        for column in columns:
            position = locate({role: column}, files.names, files.where)[role]
            if position in roles:
                raise UserError(
                    f"column {quoted(files.names[position])} is {roles[position]} and {role}: "
                    "leave one of the two out"
                )
            roles[position] = role
    if len(set(files.names)) < len(files.names):
        locate(dict.fromkeys(["a column"], _repeated(files.names)), files.names, files.where)
    if not {"field", "numeric", "bag"} & given.keys():
        for position, (name, kind) in enumerate(zip(files.names, files.kinds, strict=True)):
            if name.lower() in TIME_NAMES and "time" not in roles.values():
                roles.setdefault(position, "time")
            inferred = {"list": "bag", "fraction": "numeric"}.get(kind, "field")
            roles.setdefault(position, inferred)
    if not {"field", "numeric", "bag"} & set(roles.values()):
        raise UserError(f"{files.where}: there is no column beside the target to predict it from")
    return {files.names[position]: roles[position] for position in sorted(roles)}


def _repeated(names: Sequence[str]) -> str:
    return next(name for name in names if list(names).count(name) > 1)


def _column(
    column: pa.ChunkedArray, name: str, role: str, place: Place
) -> NDArray[np.float64] | NDArray[np.int64] | pd.Series:
    if role == "field":
        return to_field(column, name, place)
    if role == "time":
        return to_seconds(column, name, place)
    numbers = to_numbers(column, name, place, missing=role == "numeric")
    if role == "weight" and (numbers < 0).any():
        row = int(np.argmax(numbers < 0))
        raise UserError(f"{place(row)}: weight {numbers[row]} is below 0")
    return numbers


def _target(
    column: pa.ChunkedArray,
    name: str,
    task: str | None,
    positive: str | None,
    scale: Sequence[float] | None,
    place: Place,
) -> tuple[NDArray[np.float64], str, tuple[str, str] | None]:
    """Return the target as numbers, its task, and the names of its classes if it has two."""
    if task == "regression" or scale is not None or task == "rating":
        return to_numbers(column, name, place), task or "rating", None
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


def _said(
    named: Mapping[str, Sequence[str]],
    task: str,
    y: NDArray[np.float64],
    classes: tuple[str, str] | None,
) -> str:
    """Say which column has which role."""
    share = f", {y.mean():.1%} are {classes[1]}" if classes else ""
    words = {"field": "fields", "bag": "bags"}
    parts = [
        f"{words.get(role, role)} {', '.join(columns)}"
        for role, columns in named.items()
        if role != "target"
    ]
    return f"target {named['target'][0]} ({task}{share}), {'; '.join(parts)}"
