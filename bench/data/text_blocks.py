"""Text in blocks of bytes, cut anywhere, and the batches of rows that are parsed from them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv

TEXT = pa.dictionary(pa.int32(), pa.string())
UNIT_SEPARATOR = "\x1f"
"""Stands for a separator of several characters, at which pyarrow cannot split."""


class Separators:
    """Replaces a separator of several bytes in text that comes in blocks.

    Text that has the replacement already is refused.
    """

    within_quotes = False

    def __init__(self, separator: bytes) -> None:
        self._separator = separator
        self._begun = b""

    def __call__(self, block: pa.Buffer) -> bytes:
        if not len(block):
            block, self._begun = self._begun, b""
            return bytes(block)
        if UNIT_SEPARATOR.encode() in bytes(block):
            raise ValueError("the text has the byte that stands for its separator")
        text = (self._begun + bytes(block)).replace(self._separator, UNIT_SEPARATOR.encode())
        begun = max(n for n in range(len(self._separator)) if text.endswith(self._separator[:n]))
        self._begun = text[len(text) - begun :]
        return text[: len(text) - begun]


class Utf8:
    """Refuses blocks that are not UTF-8, of columns too that are not read, and hands them on."""

    def __init__(self, blocks: Quotes | Separators) -> None:
        self._blocks = blocks
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._within = False

    def __call__(self, block: pa.Buffer) -> pa.Buffer:
        text = bytes(block)
        if self._within or not text.isascii():
            self._decoder.decode(text, final=not text)  # an empty block ends the text
            self._within = bool(self._decoder.getstate()[0])
        return self._blocks(block)


class Quotes:
    """Follows the quotes in text that comes in blocks, which it leaves as they are."""

    def __init__(self, separator: bytes) -> None:
        other = rb"[^" + re.escape(separator) + rb"\r\n]*+"
        opened = rb'"(?:[^"]++|"")*+'
        cell = rb"(?:" + opened + rb'"' + other + rb'|(?!")' + other + rb")"
        self._ends = tuple(bytes([byte]) for byte in separator + b"\r\n")
        self._opened = re.compile(opened)
        self._cells = re.compile(rb"(?:" + cell + rb"[" + re.escape(separator) + rb"\r\n])*+")
        self._last = b""  # stands for what was read of the last cell

    @property
    def within_quotes(self) -> bool:
        return self._last == b'"'

    def __call__(self, block: pa.Buffer) -> pa.Buffer:
        text = bytes(block)
        if b'"' not in text and not self.within_quotes:
            self._last = b"" if text.endswith(self._ends) else b"x"
            return block
        text = self._last + text.removeprefix(b"\xef\xbb\xbf")
        whole = self._cells.match(text)
        last = text[whole.end() if whole else 0 :]
        opened = self._opened.match(last)
        if opened is None:
            self._last = last[:1]
        else:  # open, or closed by its last byte, or closed with more text behind
            self._last = b'"' + b'"x'[: len(last) - opened.end()]
        return block


def joined(batches: pyarrow.csv.CSVStreamingReader, names: Sequence[str]) -> pa.Table:
    """Join batches to a table whose columns of text are in one piece, to be released one by one."""
    parts: list[_Codes | list[pa.Array]]
    parts = [_Codes() if kind == TEXT else [] for kind in batches.schema.types]
    for batch in batches:
        for part, array in zip(parts, batch.columns, strict=True):
            part.append(array)
    arrays = [
        part.array() if isinstance(part, _Codes) else pa.chunked_array(part, kind)
        for part, kind in zip(parts, batches.schema.types, strict=True)
    ]
    return pa.table(arrays, names=list(names))


class _Codes:
    """A column of text that grows by dictionary arrays."""

    def __init__(self) -> None:
        self._codes = np.empty(0, dtype=np.int32)
        self._n_rows = self._n_words = 0
        self._words: list[pa.Array] = [pa.array([], pa.string())]

    def append(self, array: pa.DictionaryArray) -> None:
        start, self._n_rows = self._n_rows, self._n_rows + len(array)
        if self._n_rows > len(self._codes):
            self._codes.resize(self._n_rows + self._n_rows // 8, refcheck=False)
        codes = self._codes[start : self._n_rows]
        np.add(array.indices.to_numpy(), np.int32(self._n_words), out=codes)
        self._words.append(array.dictionary)
        self._n_words += len(array.dictionary)

    def array(self) -> pa.DictionaryArray:
        words = pa.concat_arrays(self._words).dictionary_encode()
        codes = words.indices.to_numpy()[self._codes[: self._n_rows]]
        self._codes = np.empty(0, dtype=np.int32)
        return pa.DictionaryArray.from_arrays(codes, words.dictionary)
