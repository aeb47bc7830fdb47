"""A report's parts are Markdown; the same parts make one self-contained HTML file.

Values from outside go through `bench.tables.escaped` or `code` first, so that they stay text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path


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
    return PAGE.format(title=escape(plain), style=STYLE, body=body, script=SCRIPT)


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
code { font-size: 0.9em; background: #f2f2f2; padding: 0.1em 0.25em; border-radius: 3px; }
table { display: block; overflow-x: auto; border-collapse: collapse; font-size: 13px; }
th, td { padding: 0.25rem 0.6rem; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid #888; cursor: pointer; vertical-align: bottom; }
td { border-bottom: 1px solid #e3e3e3; }
td { font-variant-numeric: tabular-nums; }
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
