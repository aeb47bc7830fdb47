"""Delimited text, read by pyarrow; what it cannot read is looked up line by line, to say where it is wrong."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from bench.errors import UserError
from fm.validation import nearest

SEPARATORS = ("::", "\t", ",", ";", "|", " ")
"""In the order in which a file's first line is searched for them."""
UNIT_SEPARATOR = "\x1f"
"""Stands for a separator of several characters, at which pyarrow cannot split."""
ID = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Layout:
    """How a file is written: its separator, the position (from 0) of each of `columns`, the number
    of its header's line (0: none), the number of fields of each line, and its encoding."""

    separator: str
    columns: Mapping[str, int]
    header: int
    width: int
    encoding: str


def read_delimited(
    path: Path,
    columns: Mapping[str, str | int],
    *,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    whole_ids: bool = False,
) -> tuple[pa.Table, Callable[[int], str]]:
    """Columns of ratings, and `place(row)`, which says where a row stands in the file.

    Ids come as dictionaries of text; `rating` and `timestamp` as double and integer where all are
    written so, otherwise as text. Separator and header, where None, are what the first line suggests.
    `whole_ids`: users and items are known to be whole numbers, which are read as such, in a fraction of the time.

    Raises
    ------
    UserError : an empty file, a column that is not there, or the first line that has too few fields,
        too many, or is not in this encoding.
    """
    layout = _layout(path, columns, separator, header, encoding)
    ids = dict.fromkeys(("user", "item"), pa.int64()) if whole_ids else {}
    try:
        table = _read(path, layout, rating=pa.float64(), timestamp=pa.int64(), **ids)
    except pa.ArrowInvalid:
        try:
            table = _read(path, layout, rating=pa.string(), timestamp=pa.string())
        except pa.ArrowInvalid as error:
            raise UserError(_first_fault(path, layout) or f"{path}: {error}") from error

    def place(row: int) -> str:
        line, _ = next(itertools.islice(_lines(path, layout), row + bool(layout.header), None))
        return f"{path}, line {line}"

    return table, place


def locate(columns: Mapping[str, str | int], names: Sequence[str], place: str) -> dict[str, int]:
    """Position of each of `columns`, known by name or position; time stamps by position may be absent.

    Raises
    ------
    UserError : a column that is not there; `place` says where it was looked for.
    """
    positions = {}
    for role, column in columns.items():
        if isinstance(column, str):
            if column not in names:
                raise UserError(
                    f"{place}: there is no column {column!r} for {role}{nearest(column, names)}; "
                    f"there are {', '.join(names)}"
                )
            positions[role] = names.index(column)
        elif 0 <= column < len(names):
            positions[role] = column
        elif role != "timestamp":
            raise UserError(
                f"{place}: there is no column {column} for {role}, only 0 to {len(names) - 1}"
            )
    return positions


def _layout(
    path: Path,
    columns: Mapping[str, str | int],
    separator: str | None,
    header: bool | None,
    encoding: str,
) -> Layout:
    with _text(path, encoding) as text:
        line, first = next(((n, line) for n, line in enumerate(text, 1) if line.strip()), (0, ""))
    if not line:
        raise UserError(f"{path} is empty: there is no rating in it")
    separator = separator or next((s for s in SEPARATORS if s in first), ",")
    fields = next(_split([first], separator))[1]
    positions = locate(columns, fields, f"{path}, line {line}")
    if header is None:
        named = any(isinstance(column, str) for column in columns.values())
        header = named or not any(_is_number(fields[position]) for position in positions.values())
    return Layout(separator, positions, line if header else 0, len(fields), encoding)


def _read(path: Path, layout: Layout, **types: pa.DataType) -> pa.Table:
    source, separator = str(path), layout.separator
    if len(separator) > 1:
        separator = UNIT_SEPARATOR
        content = pa.input_stream(source).read()
        source = pa.BufferReader(content.replace(layout.separator.encode(), separator.encode()))
    names = [str(position) for position in range(layout.width)]
    table = pyarrow.csv.read_csv(
        source,
        pyarrow.csv.ReadOptions(
            column_names=names, skip_rows=layout.header, encoding=layout.encoding
        ),
        # `::` is written by programs that know no quotes.
        pyarrow.csv.ParseOptions(
            delimiter=separator, quote_char='"' if len(layout.separator) == 1 else False
        ),
        pyarrow.csv.ConvertOptions(
            include_columns=[names[position] for position in layout.columns.values()],
            column_types={
                names[position]: types.get(role, ID) for role, position in layout.columns.items()
            },
            null_values=[],
        ),
    )
    return table.rename_columns(list(layout.columns))


def _first_fault(path: Path, layout: Layout) -> str | None:
    for line, fields in _lines(path, layout):
        if len(fields) != layout.width:
            return (
                f"{path}, line {line}: {len(fields)} fields where the first line has {layout.width}"
            )
        if any("\N{REPLACEMENT CHARACTER}" in field for field in fields):
            return f"{path}, line {line}: not {layout.encoding}; give the file's encoding, such as latin-1"
    return None


def _lines(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    with _text(path, layout.encoding) as text:
        yield from _split(text, layout.separator)


def _split(text: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that is not blank."""
    if len(separator) == 1:
        reader = csv.reader(text, delimiter=separator)
        yield from ((reader.line_num, fields) for fields in reader if fields)
    else:
        lines = enumerate((line.rstrip("\r\n") for line in text), start=1)
        yield from ((number, line.split(separator)) for number, line in lines if line)


def _text(path: Path, encoding: str) -> io.TextIOWrapper:
    """The file as text, decompressed if its name says that it is compressed."""
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(pa.input_stream(str(path)), encoding, errors="replace", newline="")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
