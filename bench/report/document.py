"""A report's parts, written as Markdown and as one self-contained HTML file from the same source.

Text is Markdown of four kinds: `code`, **bold**, *emphasis* and lines that begin with `- `. Values
from outside go through `bench.tables.escaped` or `code` first, so that they are text, nothing else.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

from bench.tables import markdown_table

INLINE = re.compile(r"\\(.)|`([^`]+)`|\*\*(.+?)\*\*|\*(.+?)\*")


@dataclass(frozen=True)
class Heading:
    """A heading of a `level` from 1."""

    text: str
    level: int = 2

    def markdown(self) -> str:
        """Return it as Markdown."""
        return f"{'#' * self.level} {self.text}"

    def html(self) -> str:
        """Return it as HTML."""
        return f"<h{self.level}>{inline_html(self.text)}</h{self.level}>"


@dataclass(frozen=True)
class Text:
    """Paragraphs and lists."""

    text: str

    def markdown(self) -> str:
        """Return it as Markdown."""
        return self.text.strip()

    def html(self) -> str:
        """Return it as HTML."""
        parts = []
        for paragraph in re.split(r"\n{2,}", self.text.strip()):
            lines = paragraph.split("\n")
            for is_list, of in groupby(lines, key=lambda line: line.startswith("- ")):
                if is_list:
                    items = "".join(f"<li>{inline_html(line[2:])}</li>" for line in of)
                    parts.append(f"<ul>{items}</ul>")
                else:
                    parts.append(f"<p>{inline_html(' '.join(of))}</p>")
        return "\n".join(parts)


@dataclass(frozen=True)
class Table:
    """A table, its first `left` columns text; in HTML a click on a column's head sorts by it."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1

    def markdown(self) -> str:
        """Return it as Markdown."""
        return markdown_table(self.header, self.rows, self.left)

    def html(self) -> str:
        """Return it as HTML."""
        head = "".join(f"<th>{inline_html(name)}</th>" for name in self.header)
        body = "\n".join(f"<tr>{self._cells(row)}</tr>" for row in self.rows)
        return (
            f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _cells(self, row: Sequence[str]) -> str:
        kinds = ["<td>"] * self.left + ['<td class="n">'] * (len(row) - self.left)
        return "".join(
            f"{kind}{inline_html(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)
        )


@dataclass(frozen=True)
class Image:
    """A figure, drawn into `path`."""

    title: str
    path: Path

    def markdown(self) -> str:
        """Return it as Markdown, for a page beside the file."""
        return f"![{self.title}]({self.path.name})"

    def html(self) -> str:
        """Return it as HTML that holds the whole figure."""
        data = base64.b64encode(self.path.read_bytes()).decode()
        return f'<img alt="{escape(plain(self.title))}" src="data:image/png;base64,{data}">'


Block = Heading | Text | Table | Image


def as_markdown(blocks: Sequence[Block]) -> str:
    """Return a page of Markdown, whose figures lie beside it."""
    return "\n\n".join(block.markdown() for block in blocks) + "\n"


def as_html(title: str, blocks: Sequence[Block]) -> str:
    """Return one HTML file that needs no other; the same blocks give the same bytes."""
    body = "\n".join(block.html() for block in blocks)
    return PAGE.format(title=escape(plain(title)), style=STYLE, body=body, script=SCRIPT)


def inline_html(text: str) -> str:
    """Return a line of Markdown as HTML."""
    parts, end = [], 0
    for match in INLINE.finditer(text):
        parts.append(escape(text[end : match.start()]))
        literal, code, bold, emphasis = match.groups()
        if literal is not None:
            parts.append(escape(literal))
        elif code is not None:
            parts.append(f"<code>{escape(code)}</code>")
        elif bold is not None:
            parts.append(f"<b>{inline_html(bold)}</b>")
        else:
            parts.append(f"<em>{inline_html(emphasis)}</em>")
        end = match.end()
    return "".join([*parts, escape(text[end:])])


def plain(text: str) -> str:
    """Return a line of Markdown without its marks."""
    return INLINE.sub(lambda m: next(group for group in m.groups() if group is not None), text)


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
code { font-size: 0.9em; background: #f2f2f2; padding: 0.1em 0.25em; border-radius: 3px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 0.25rem 0.6rem; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid #888; cursor: pointer; vertical-align: bottom; }
td { border-bottom: 1px solid #e3e3e3; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
th[aria-sort=ascending]::after { content: " \\25B4"; }
th[aria-sort=descending]::after { content: " \\25BE"; }
img { max-width: 100%; }
"""
SCRIPT = """
const value = row => cell => {
  const text = row.cells[cell].textContent.trim(), number = parseFloat(text.replace(/,/g, ""));
  return isNaN(number) ? text : number;
};
for (const head of document.querySelectorAll("th")) head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex;
  const rising = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const compare = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0)
    : typeof a === "number" ? -1 : 1;
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a)(column), value(b)(column)];
    return rising || typeof x !== typeof y ? compare(x, y) : compare(y, x);
  });
  body.append(...rows);
});
"""
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""
