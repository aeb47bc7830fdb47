"""Text and Parquet files of named columns, read by pyarrow a few megabytes at a time.

What pyarrow cannot read is looked up line by line, to say where the file is wrong.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bench.data.dataset import Rows
from bench.errors import UserError, quoted
from fm.validation import nearest

SEPARATORS = ("::", "\t", ",", ";", "|", " ")
"""In the order in which a file's first line is searched for them."""
BLOCK = 2**22
"""Bytes of text parsed together; of the first ones it is inferred what a column is."""
PUBLISHED = "given"
"""Name of the split that files for validation and test make."""
TEXT = pa.dictionary(pa.int32(), pa.string())
UNIT_SEPARATOR = "\x1f"
"""Stands for a separator of several characters, at which pyarrow cannot split."""
END = "\x04end of file\x04"
"""Follows the text on a line of its own, with a cell too many; quotes left open swallow it."""

POOL = (
    pa.jemalloc_memory_pool()
    if "jemalloc" in pa.supported_memory_backends()
    else pa.system_memory_pool()
)
"""One that gives the memory of columns back as soon as they are converted."""
Columns = dict[str, pa.ChunkedArray]


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
            part: self._opened(Path(path).expanduser(), **form)
            for part, path in paths.items()
            if path is not None
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

    @staticmethod
    def _opened(
        path: Path,
        separator: str | None = None,
        header: bool | None = None,
        encoding: str = "utf-8",
    ) -> DelimitedFile | ParquetFile:
        """Open Parquet where the name ends so, otherwise delimited text."""
        if not path.is_file():
            raise UserError(f"there is no file {path}")
        try:
            if path.suffix == ".parquet":
                return ParquetFile(path)
            return DelimitedFile(path, separator, header, encoding)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path} cannot be read: {quoted(str(error), 300)}") from error

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
        """What several files make."""
        return split_of_parts([0, *self._ends.values()])


def split_of_parts(bounds: Sequence[int]) -> dict[str, tuple[Rows, ...]]:
    """Return the split of rows between bounds: (train, test) or (train, validation, test)."""
    parts = tuple(np.arange(a, b) for a, b in pairwise(bounds))
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
                table = self._parse(columns, types)
            except pa.ArrowInvalid:
                table = self._parse(columns, {})
        except (ValueError, OSError, pa.ArrowException) as error:
            with suppress(OSError):  # a damaged archive has no lines
                if fault := self._first_fault():
                    raise UserError(fault) from error
            raise UserError(f"{self.path} cannot be read: {quoted(str(error), 300)}") from error
        return table.rename_columns(list(columns))

    def place(self, row: int) -> str:
        """Say where a row (from 0) is."""
        line, _ = next(islice(self._lines(), row + bool(self.skipped), None))
        return f"{self.path}, line {line}"

    def types(self) -> list[pa.DataType]:
        """Return what the first rows of each column are written as."""
        try:
            with self._batches(pyarrow.csv.ConvertOptions(null_values=[""]), []) as batches:
                return batches.schema.types
        except (ValueError, OSError, pa.ArrowException):  # `read` says what is wrong
            return [pa.string()] * self.width

    def _parse(self, columns: Mapping[str, int], types: Mapping[str, pa.DataType]) -> pa.Table:
        options = pyarrow.csv.ConvertOptions(
            include_columns=[str(position) for position in columns.values()],
            column_types={str(p): types.get(name, TEXT) for name, p in columns.items()},
            null_values=[""],
        )
        ends: list[str] = []
        with self._batches(options, ends) as batches:
            table = batches.read_all()
        if not (ends and ends[0].startswith(END)):
            raise UserError(f"{self.path}: the file ends within quotes; it has been cut off")
        return table

    def _batches(
        self, options: pyarrow.csv.ConvertOptions, ends: list[str]
    ) -> pyarrow.csv.CSVStreamingReader:
        """Parse the text; columns are named by position, the line with `END` goes to `ends`."""
        quotes = len(self.separator) == 1  # programs that write longer ones know no quotes
        delimiter = self.separator if quotes else UNIT_SEPARATOR

        def skip_end(row: pyarrow.csv.InvalidRow) -> str:
            if END not in row.text:
                return "error"
            ends.append(row.text)
            return "skip"

        stream = pa.input_stream(str(self.path))
        if self.encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
            stream = pa.transcoding_input_stream(stream, self.encoding, "utf-8")
        blocks = _Blocks(None if quotes else self.separator.encode(), END + self.width * delimiter)
        return pyarrow.csv.open_csv(
            pa.TransformInputStream(stream, blocks),
            pyarrow.csv.ReadOptions(
                column_names=list(map(str, range(self.width))),
                skip_rows=self.skipped,
                block_size=BLOCK,
            ),
            pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if quotes else False,
                newlines_in_values=quotes,
                invalid_row_handler=skip_end,
            ),
            options,
            POOL,
        )

    def _first_fault(self) -> str | None:
        """Return what is wrong with the first line that is."""
        for line, cells in self._lines():
            text, fault = "".join(cells), None
            if len(self.separator) > 1 and UNIT_SEPARATOR in text:
                fault = (
                    f"the control character {UNIT_SEPARATOR!r} cannot be read between "
                    f"{self.separator!r}"
                )
            elif len(cells) != self.width:
                fault = f"{len(cells)} fields where the first line has {self.width}"
            elif "\N{REPLACEMENT CHARACTER}" in text:
                fault = f"not {self.encoding}; give the file's encoding, such as latin-1"
            if fault is not None:
                return f"{self.path}, line {line}: {fault}"
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


class _Blocks:
    """Text in blocks of bytes: refused if it is not UTF-8, `separator` replaced, `end` added."""

    def __init__(self, separator: bytes | None, end: str) -> None:
        self._separator, self._end = separator, f"\n{end}\n".encode()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._held = b""  # the beginning of a separator that a block may end in

    def __call__(self, block: pa.Buffer) -> bytes:
        text = bytes(block)
        self._decoder.decode(text, final=not text)  # of columns too that are not read
        if not text:
            text, self._held, self._end = self._held + self._end, b"", b""
        elif self._separator is not None:
            if UNIT_SEPARATOR.encode() in text:
                raise ValueError("the text has the byte that stands for its separator")
            text = (self._held + text).replace(self._separator, UNIT_SEPARATOR.encode())
            lengths = range(len(self._separator))
            held = max(n for n in lengths if text.endswith(self._separator[:n]))
            text, self._held = text[: len(text) - held], text[len(text) - held :]
        return text
