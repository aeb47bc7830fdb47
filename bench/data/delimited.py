"""Text and Parquet files of named columns, read by pyarrow.

What pyarrow cannot read is looked up line by line, to say where the file is wrong.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bench.errors import UserError, quoted
from fm.validation import nearest

SEPARATORS = ("::", "\t", ",", ";", "|", " ")
"""In the order in which a file's first line is searched for them."""
UNIT_SEPARATOR = "\x1f"
"""Stands for a separator of several characters, at which pyarrow cannot split."""
TEXT = pa.dictionary(pa.int32(), pa.string())
SAMPLE = 1000
"""Rows that are looked at to infer what a column is."""


def open_columns(
    path: str | Path,
    *,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
) -> DelimitedFile | ParquetFile:
    """Open a file of columns: Parquet where its name ends so, otherwise delimited text.

    Raises
    ------
    UserError : no such file, or one that is empty or cannot be read.
    """
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
    """Return the position of each of `columns`, which are known by name or position.

    Raises
    ------
    UserError : a column that is not there, or whose name is there twice; `place` says where.
    """
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


class ParquetFile:
    """A Parquet file's columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.schema = pyarrow.parquet.read_schema(path)
        self.names: list[str] = self.schema.names
        self.has_header = True
        self.where = str(path)

    def read(
        self, columns: Mapping[str, int], types: Mapping[str, pa.DataType] | None = None
    ) -> pa.Table:
        """Return the columns at these positions, named as in `columns`, with their own types."""
        try:
            table = pyarrow.parquet.read_table(
                self.path, columns=[self.names[position] for position in columns.values()]
            )
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{self.path} cannot be read: {quoted(str(error), 300)}") from error
        return table.rename_columns(list(columns))

    def place(self, row: int) -> str:
        """Say where a row (from 0) stands."""
        return f"{self.path}, row {row + 1}"

    def kinds(self) -> list[str]:
        """Return for each column "list", "fraction", "whole" or "text"."""
        kinds = []
        for kind in self.schema.types:
            if pa.types.is_nested(kind):
                kinds.append("list")
            elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
                kinds.append("fraction")
            else:
                kinds.append("whole" if pa.types.is_integer(kind) else "text")
        return kinds


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
            raise UserError(f"{path} is empty: there is no rating in it")
        self.separator = separator or next((s for s in SEPARATORS if s in first), ",")
        cells = next(self._lines())[1]
        self.has_header = header if header is not None else not any(map(_is_number, cells))
        self.names = cells if self.has_header else [str(n) for n in range(len(cells))]
        self.width = len(cells)
        self.skipped = line if self.has_header else 0
        self.where = f"{path}, line {line}"

    def read(
        self, columns: Mapping[str, int], types: Mapping[str, pa.DataType] | None = None
    ) -> pa.Table:
        """Return the columns at these positions, named as in `columns`, as dictionaries of text.

        Columns in `types` have that type where every cell is written so, otherwise they are text.

        Raises
        ------
        UserError : the first line that has too few cells, too many, is not in this encoding or ends
            within quotes.
        """
        types = dict(types or {})
        try:
            content = self._content()
            if _ends_in_quotes(content, self._delimiter, self._quotes):
                raise UserError(f"{self.path}: the file ends within quotes; it has been cut off")
            try:
                return self._parse(content, columns, types)
            except pa.ArrowInvalid:
                return self._parse(content, columns, dict.fromkeys(types, pa.string()))
        except UnicodeDecodeError as error:
            raise UserError(self._first_fault() or f"{self.path}: {error}") from error
        except (OSError, pa.ArrowException) as error:
            fault = self._first_fault() or f"{self.path} cannot be read: {quoted(str(error), 300)}"
            raise UserError(fault) from error

    def place(self, row: int) -> str:
        """Say where a row (from 0) stands."""
        line, _ = next(itertools.islice(self._lines(), row + bool(self.skipped), None))
        return f"{self.path}, line {line}"

    def kinds(self) -> list[str]:
        """Return for each column "fraction", "whole" or "text", from the first rows."""
        cells = []
        with suppress(UserError):  # what is wrong with a line, `read` says
            for _, line in itertools.islice(self._lines(), bool(self.skipped), SAMPLE):
                if len(line) == self.width:
                    cells.append(line)
        columns = zip(*cells, strict=True) if cells else [()] * self.width
        return [_kind([cell for cell in column if cell]) for column in columns]

    @property
    def _quotes(self) -> bool:
        """`::` is written by programs that know no quotes."""
        return len(self.separator) == 1

    @property
    def _delimiter(self) -> str:
        return self.separator if len(self.separator) == 1 else UNIT_SEPARATOR

    def _content(self) -> pa.Buffer:
        """Return the text as UTF-8 with a separator of one character."""
        compressed = self.path.suffix in (".gz", ".bz2", ".zst", ".lz4", ".br")
        stream = pa.input_stream(str(self.path)) if compressed else pa.memory_map(str(self.path))
        with stream:
            content = stream.read_buffer()
        if self.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
            content = pa.py_buffer(content.to_pybytes().decode(self.encoding).encode())
        if len(self.separator) > 1:
            parts = self.separator.encode(), self._delimiter.encode()
            content = pa.py_buffer(content.to_pybytes().replace(*parts))
        return content

    def _parse(
        self, content: pa.Buffer, columns: Mapping[str, int], types: Mapping[str, pa.DataType]
    ) -> pa.Table:
        names = [str(position) for position in range(self.width)]
        kinds = {names[position]: types.get(role, TEXT) for role, position in columns.items()}
        table = pyarrow.csv.read_csv(
            pa.BufferReader(content),
            pyarrow.csv.ReadOptions(column_names=names, skip_rows=self.skipped),
            pyarrow.csv.ParseOptions(
                delimiter=self._delimiter,
                quote_char='"' if self._quotes else False,
                newlines_in_values=self._quotes and _has_quotes(content),
            ),
            pyarrow.csv.ConvertOptions(
                include_columns=[names[position] for position in columns.values()],
                column_types=kinds,
                null_values=[],
            ),
        )
        return table.rename_columns(list(columns))

    def _first_fault(self) -> str | None:
        try:
            for line, cells in self._lines():
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
            yield from _split(text, self.separator, self.path)

    def _text(self) -> io.TextIOWrapper:
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        source = pa.input_stream(str(self.path))
        return io.TextIOWrapper(source, encoding, errors="replace", newline="")


def _split(text: Iterable[str], separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    if len(separator) > 1:
        lines = enumerate((line.rstrip("\r\n") for line in text), start=1)
        yield from ((number, line.split(separator)) for number, line in lines if line)
        return
    reader = csv.reader(text, delimiter=separator)
    try:
        yield from ((reader.line_num, cells) for cells in reader if cells)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error


def _has_quotes(content: pa.Buffer) -> bool:
    return re.search(b'"', memoryview(content)) is not None


def _ends_in_quotes(content: pa.Buffer, delimiter: str, quotes: bool) -> bool:
    """Whether a quoted cell is still open at the end."""
    if not quotes or not _has_quotes(content):
        return False
    start = re.escape(delimiter.encode()) + rb"\r\n"
    cell = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[" + start + rb'])"(?:[^"]++|"")*+("?)')
    return any(not match[1] for match in cell.finditer(memoryview(content)))


def _kind(cells: Sequence[str]) -> str:
    if not cells or not all(map(_is_number, cells)):
        return "text"
    return "whole" if all(re.fullmatch(r"[+-]?\d+", cell) for cell in cells) else "fraction"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
