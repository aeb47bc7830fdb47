"""Tables that read alike in a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

MISSING = "–"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table with padded cells: the first `left` columns to the left, the rest to the right."""
    widths = [max(3, *(len(row[i]) for row in (header, *rows))) for i in range(len(header))]
    rule = ["-" * width if i < left else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    cells = [
        [
            cell.ljust(w) if i < left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in (header, *rows)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:]))


def number(value: float | None, places: int = 4) -> str:
    """`0.9051`, or a dash for what was not measured."""
    return MISSING if value is None else f"{value:,.{places}f}"


def short(value: object) -> str:
    """Of a number with many digits, as searches draw them, the four that are enough to tell it by."""
    text = str(value)
    if len(text) <= 10:
        return text
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def signed(value: float, low: float, high: float) -> str:
    """`-0.0510 [-0.0561, -0.0463]`: a gap and its interval."""
    return f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"


def seconds(value: float | None) -> str:
    """Three significant digits, as times differ by orders of magnitude."""
    return MISSING if value is None else f"{value:#.3g}".rstrip(".")
