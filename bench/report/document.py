"""A report's parts are Markdown; the same parts make one self-contained HTML file.

Values from outside go through `bench.tables.escaped` or `code` first, so that they stay text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

PAGE = Path(__file__).with_name("page.html")


def heading(text: str, level: int = 2) -> str:
    """Return a heading of a `level` from 1."""
    return f"{'#' * level} {text}"


def as_markdown(parts: Sequence[str]) -> str:
    """Return a page, whose figures lie beside it."""
    return "\n\n".join(part.strip() for part in parts) + "\n"


def as_html(title: str, markdown: str, folder: Path) -> str:
    """Return one HTML file that needs no other: figures of `folder` inside, sortable tables."""
    from markdown_it import MarkdownIt

    def inline(image: re.Match[str]) -> str:
        data = base64.b64encode((folder / image[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = re.sub(r'src="([^":/]+\.png)"', inline, body)
    plain = re.sub(r"\\(.)|`", r"\1", title)
    return Template(PAGE.read_text("utf-8")).substitute(title=escape(plain), body=body)
