"""`python -m bench.readme`: puts the headline table of `results/published_gap.md` into README.md."""

from __future__ import annotations

import sys

from bench.files import write_text
from bench.identity import ROOT
from bench.tables import markdown_table

README, PAGE = ROOT / "README.md", ROOT / "results" / "published_gap.md"
BEGIN, END = "<!-- headline: python -m bench.readme -->\n", "<!-- /headline -->"
SHOWN = (0, 1, 2, 3, 6, 7)
"""Columns of the page's table that the README shows."""


def headline(page: str) -> str:
    """The first table of `page`, with the shown columns only."""
    table = next(part for part in page.split("\n\n") if part.startswith("|"))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    header, _, *rows = [[row[i] for i in SHOWN] for row in cells]
    return markdown_table(header, rows)


def renewed(readme: str, page: str) -> str:
    """`readme` with the table between its markers made from `page`."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{headline(page)}\n\n{END}{after}"


def main() -> int:
    write_text(README, renewed(README.read_text("utf-8"), PAGE.read_text("utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
