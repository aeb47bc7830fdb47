"""Text and Parquet files of named columns, read by pyarrow a few megabytes at a time.

What pyarrow cannot read is looked up line by line, to say where the file is wrong.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bench.data.dataset import Rows
from bench.data.text_blocks import TEXT, UNIT_SEPARATOR, Quotes, Separators, Utf8, joined
from bench.errors import UserError, quoted
from fm.validation import nearest

SEPARATORS = ("::", "\t", ",", ";", "|", " ")
"""In the order in which a file's first line is searched for them."""
BLOCK = 2**22
"""Bytes of text parsed together; of the first ones it is inferred what a column is."""
PUBLISHED = "given"
"""Name of the split that files for validation and test make."""

Columns = dict[str, pa.ChunkedArray]


def open_columns(
    path: str | Path,
    *,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
) -> DelimitedFile | ParquetFile:
    """Open a file of columns: Parquet where its name ends so, otherwise delimited text."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        if path.suffix == ".parquet":
            return ParquetFile(path)
        return DelimitedFile(path, separator, header, encoding)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read: {quoted(str(error), 300)}") from error


def locate(columns: Mapping[str, str | int], names: Sequence[str], place: str) -> dict[str, int]:
    """Return the position of each of `columns`, which are given by name or position."""
    positions = {}
    for role, column in columns.items():
        if isinstance(column, str):
            if column not in names:
                shown = ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])}, ..."
                raise UserError(
                    f"{place}: there is no column {quoted(column)} for {role}"
                    f"{nearest(column, names)}; there are {shown}"
                )
            if list(names).count(column) > 1:
                raise UserError(f"{place}: there are several columns {quoted(column)} for {role}")
            positions[role] = list(names).index(column)
        elif isinstance(column, bool) or not 0 <= column < len(names):
            raise UserError(
                f"{place}: there is no column {column} for {role}, only 0 to {len(names) - 1}"
            )
        else:
            positions[role] = column
    return positions


class Files:
    """One file of rows, or several of the same columns for the parts of a split, read as one."""

    def __init__(self, paths: Mapping[str, str | Path | None], form: Mapping[str, Any]) -> None:
        self._files = {
            part: open_columns(path, **form) for part, path in paths.items() if path is not None
        }
        if "validation" in self._files and "test" not in self._files:
            raise UserError("validation_path needs test_path: rows that the chosen is judged on")
        first = self._files["train"]
        self.path, self.names, self.where = first.path, first.names, first.where
        self.has_header, self.types = first.has_header, first.types()
        for file in self._files.values():
            if file.names != self.names and (self.has_header or len(file.names) != len(self.names)):
                raise UserError(
                    f"{file.where}: the columns are {quoted(', '.join(file.names))}, those of the "
                    f"training file {quoted(', '.join(self.names))}"
                )
        self._ends: dict[str, int] = {}

    def read(self, columns: Mapping[str, int], types: Mapping[str, pa.DataType]) -> Columns:
        """Return the columns at these positions, of all files one after another.

        They are named as in `columns`. Those of text files are dictionaries of text, but have the
        type in `types` where every cell is written so.
        """
        tables = []
        for part, file in self._files.items():
            tables.append(file.read(columns, types))
            if not len(tables[-1]):
                raise UserError(f"{file.path} is empty: there is no row in it")
            self._ends[part] = sum(map(len, tables))
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            text = pa.schema([(name, pa.string()) for name in columns])
            table = pa.concat_tables(table.cast(text) for table in tables)
        return {name: table[name] for name in columns}

    def place(self, row: int) -> str:
        """Say where a row (from 0) of them all is."""
        starts = [0, *self._ends.values()]
        part = int(np.searchsorted(starts, row, side="right")) - 1
        return list(self._files.values())[part].place(row - starts[part])

    @property
    def splits(self) -> dict[str, tuple[Rows, ...]]:
        """What several files make: (train, test) or (train, validation, test) rows."""
        starts = [0, *self._ends.values()]
        parts = tuple(np.arange(a, b) for a, b in pairwise(starts))
        return {PUBLISHED: parts} if len(parts) > 1 else {}


class ParquetFile:
    """A Parquet file's columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.schema = pyarrow.parquet.read_schema(path)
        self.names: list[str] = self.schema.names
        self.has_header = True
        self.where = str(path)

    def read(self, columns: Mapping[str, int], types: Mapping[str, pa.DataType]) -> pa.Table:
        """Return columns with the types that they have in the file."""
        names = [self.names[position] for position in columns.values()]
        text = [
            self.names[position]
            for name, position in columns.items()
            if name not in types and pa.types.is_string(self.schema.types[position])
        ]
        try:
            table = pyarrow.parquet.read_table(self.path, columns=names, read_dictionary=text)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{self.path} cannot be read: {quoted(str(error), 300)}") from error
        return table.rename_columns(list(columns))

    def place(self, row: int) -> str:
        """Say where a row (from 0) is."""
        return f"{self.path}, row {row + 1}"

    def types(self) -> list[pa.DataType]:
        return self.schema.types


class DelimitedFile:
    """Delimited text: its column names, and columns read on demand.

    Parameters
    ----------
    path : text, compressed where its name ends in `.gz`, `.bz2` or `.zst`.
    separator : None: the first of `SEPARATORS` that occurs in the first line.
    header : whether the first line names the columns; None: it does where none of its cells is a
        number.
    """

    def __init__(
        self, path: Path, separator: str | None, header: bool | None, encoding: str
    ) -> None:
        self.path, self.encoding = path, encoding
        try:
            with self._text() as text:
                numbered = enumerate(text, start=1)
                line, first = next(((n, t) for n, t in numbered if t.strip("\r\n")), (0, ""))
        except LookupError as error:
            raise UserError(f"there is no encoding {quoted(encoding)}") from error
        if not first.strip():
            raise UserError(f"{path} is empty: there is no row in it")
        self.separator = separator or next((s for s in SEPARATORS if s in first), ",")
        cells = next(self._lines())[1]
        numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce")
        self.has_header = bool(numbers.isna().all()) if header is None else header
        self.names = cells if self.has_header else [str(n) for n in range(len(cells))]
        self.width = len(cells)
        self.skipped = line if self.has_header else 0
        self.where = f"{path}, line {line}"

    def read(self, columns: Mapping[str, int], types: Mapping[str, pa.DataType]) -> pa.Table:
        """Return columns as dictionaries of text, or of the types given where they fit."""
        try:
            try:
                return self._parse(columns, types)
            except pa.ArrowInvalid:
                return self._parse(columns, {})
        except (ValueError, OSError, pa.ArrowException) as error:
            fault = self._first_fault() or f"{self.path} cannot be read: {quoted(str(error), 300)}"
            raise UserError(fault) from error

    def place(self, row: int) -> str:
        """Say where a row (from 0) is."""
        line, _ = next(itertools.islice(self._lines(), row + bool(self.skipped), None))
        return f"{self.path}, line {line}"

    def types(self) -> list[pa.DataType]:
        """Return what the first rows of each column are written as."""
        try:
            with self._stream(self._blocks()) as stream:
                return self._batches(
                    stream, pyarrow.csv.ConvertOptions(null_values=[""])
                ).schema.types
        except (ValueError, OSError, pa.ArrowException):  # `read` says what is wrong
            return [pa.string()] * self.width

    def _parse(self, columns: Mapping[str, int], types: Mapping[str, pa.DataType]) -> pa.Table:
        options = pyarrow.csv.ConvertOptions(
            include_columns=[str(position) for position in columns.values()],
            column_types={str(p): types.get(name, TEXT) for name, p in columns.items()},
            null_values=[""],
        )
        blocks = self._blocks()
        with self._stream(Utf8(blocks)) as stream:
            batches = self._batches(stream, options)
            table = joined(batches, list(columns))
        if blocks.within_quotes:
            raise UserError(self._cut_off)
        return table

    def _batches(
        self, stream: pa.NativeFile, options: pyarrow.csv.ConvertOptions
    ) -> pyarrow.csv.CSVStreamingReader:
        """Parse a stream; columns are named by position."""
        return pyarrow.csv.open_csv(
            stream,
            pyarrow.csv.ReadOptions(
                column_names=list(map(str, range(self.width))),
                skip_rows=self.skipped,
                block_size=BLOCK,
            ),
            pyarrow.csv.ParseOptions(
                delimiter=self.separator if self._quotes else UNIT_SEPARATOR,
                quote_char='"' if self._quotes else False,
                newlines_in_values=self._quotes,
            ),
            options,
        )

    @property
    def _quotes(self) -> bool:
        """Programs that write a separator of several characters know no quotes."""
        return len(self.separator) == 1

    @property
    def _cut_off(self) -> str:
        return f"{self.path}: the file ends within quotes; it has been cut off"

    def _blocks(self) -> Quotes | Separators:
        return (Quotes if self._quotes else Separators)(self.separator.encode())

    def _stream(self, blocks: Utf8 | Quotes | Separators) -> pa.NativeFile:
        """Open the file as UTF-8 text that passes through `blocks`."""
        stream = pa.input_stream(str(self.path))
        if self.encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
            stream = pa.transcoding_input_stream(stream, self.encoding, "utf-8")
        return pa.TransformInputStream(stream, blocks)

    def _first_fault(self) -> str | None:
        blocks = self._blocks()
        try:
            with suppress(ValueError), self._stream(blocks) as stream:
                while stream.read(BLOCK):
                    pass
            if blocks.within_quotes:
                return self._cut_off
            for line, cells in self._lines():
                if not self._quotes and any(UNIT_SEPARATOR in cell for cell in cells):
                    return (
                        f"{self.path}, line {line}: the control character {UNIT_SEPARATOR!r} "
                        f"cannot be read between {self.separator!r}"
                    )
                if len(cells) != self.width:
                    return (
                        f"{self.path}, line {line}: {len(cells)} fields where the first line has "
                        f"{self.width}"
                    )
                if any("\N{REPLACEMENT CHARACTER}" in cell for cell in cells):
                    return (
                        f"{self.path}, line {line}: not {self.encoding}; give the file's encoding, "
                        "such as latin-1"
                    )
        except OSError:
            return None
        return None

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield number and cells of each line that is not blank."""
        with self._text() as text:
            if len(self.separator) > 1:
                lines = enumerate((line.rstrip("\r\n") for line in text), start=1)
                yield from ((number, line.split(self.separator)) for number, line in lines if line)
                return
            reader = csv.reader(text, delimiter=self.separator)
            try:
                yield from ((reader.line_num, cells) for cells in reader if cells)
            except csv.Error as error:
                raise UserError(f"{self.path}, line {reader.line_num}: {error}") from error

    def _text(self) -> io.TextIOWrapper:
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        source = pa.input_stream(str(self.path))
        return io.TextIOWrapper(source, encoding, errors="replace", newline="")
