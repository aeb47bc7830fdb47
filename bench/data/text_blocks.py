"""Text in blocks of bytes, cut anywhere: each class is called with one after another."""

from __future__ import annotations

import re

import pyarrow as pa

UNIT_SEPARATOR = "\x1f"
"""Stands for a separator of several characters, at which pyarrow cannot split."""


class Separators:
    """Replaces a separator of several bytes in text that comes in blocks."""

    within_quotes = False

    def __init__(self, separator: bytes) -> None:
        self._separator = separator
        self._begun = b""

    def __call__(self, block: pa.Buffer) -> bytes:
        if not len(block):
            block, self._begun = self._begun, b""
            return bytes(block)
        text = (self._begun + bytes(block)).replace(self._separator, UNIT_SEPARATOR.encode())
        begun = max(n for n in range(len(self._separator)) if text.endswith(self._separator[:n]))
        self._begun = text[len(text) - begun :]
        return text[: len(text) - begun]


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
