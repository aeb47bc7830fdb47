"""Tables and values that read alike in a terminal and as Markdown."""

from __future__ import annotations

import math
import re
import shutil
import sys
from collections.abc import Mapping, Sequence

MISSING = "–"
QUOTED = 80
"""Characters of a value from outside that are shown at most."""
SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&$]")
"""What Markdown or HTML would take for markup, in a table or outside one."""


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table with padded cells, its first `left` columns aligned to the left."""
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


def columns_table(
    columns: Mapping[str, Sequence[str]], left: int = 1, dispensable: Sequence[str] = ()
) -> str:
    """Return a Markdown table of named columns, the first ones `left`-aligned.

    On a terminal, dispensable columns are left out, in their order, until it is wide enough.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf
    for n in range(len(dispensable) + 1):
        shown = {name: of for name, of in columns.items() if name not in dispensable[:n]}
        n_left = sum(name in shown for name in list(columns)[:left])
        table = markdown_table(list(shown), list(zip(*shown.values(), strict=True)), n_left)
        if table.index("\n") <= width:
            break
    return table


def quoted(value: object, limit: int | None = QUOTED) -> str:
    r"""Return a value from outside as one printable line of at most `limit` characters.

    >>> quoted("two\nlines")
    'two lines'
    """
    text = " ".join(str(value).split())
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if limit is None or len(text) <= limit else f"{text[: limit - 1]}…"


def escaped(value: object, limit: int | None = QUOTED) -> str:
    r"""Return a value from outside as Markdown that shows it literally.

    >>> print(escaped("a|b <i>"))
    a\|b \<i\>
    """
    return SPECIAL.sub(r"\\\g<0>", quoted(value, limit))


def code(value: object, limit: int | None = QUOTED) -> str:
    r"""Return a value from outside in Markdown's code type, or escaped where that would break it.

    >>> print(code("fm_sgd"), code("a|b"))
    `fm_sgd` a\|b
    """
    text = quoted(value, limit)
    return escaped(value, limit) if not text or re.search(r"[`|<>\\]", text) else f"`{text}`"


def number(value: float | None, places: int = 4) -> str:
    """Return `0.9051`, or a dash for what was not measured (None or NaN)."""
    return MISSING if value is None or value != value else f"{value:,.{places}f}"


def short(value: object) -> str:
    """Return a number with many digits, as searches draw them, to four."""
    text = str(value)
    if len(text) <= 10:
        return text
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def signed(value: float, low: float, high: float) -> str:
    """Return `-0.0510 [-0.0561, -0.0463]`: a gap and its interval."""
    return f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"


def seconds(value: float | None) -> str:
    """Return a time with three significant digits, as times differ by orders of magnitude."""
    return MISSING if value is None or value != value else f"{value:#.3g}".rstrip(".")
