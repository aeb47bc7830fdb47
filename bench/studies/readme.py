"""`python -m bench.studies.readme`: puts the tables of `results/` that README.md shows between their markers."""

from __future__ import annotations

import re
import sys

from bench.files import write_text
from bench.identity import ROOT
from bench.tables import markdown_table

README, RESULTS = ROOT / "README.md", ROOT / "results"
SHOWN = {"published_gap/README": (0, 1, 2, 3, 6, 7), "similar_films": (0, 1, 2)}
"""Page of `results/` -> columns of its first table that the README shows."""


def excerpt(page: str, columns: tuple[int, ...]) -> str:
    """The first table of `page`, these columns only."""
    table = next(part for part in page.split("\n\n") if part.startswith("|"))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    header, rule, *rows = [[row[i] for i in columns] for row in cells]
    return markdown_table(header, rows, left=sum(not cell.endswith(":") for cell in rule))


def renewed(readme: str) -> str:
    """`readme` with what stands between `<!-- page -->` and `<!-- /page -->` made anew."""
    for name, columns in SHOWN.items():
        table = excerpt((RESULTS / f"{name}.md").read_text("utf-8"), columns)
        name = name.partition("/")[0]
        pattern = rf"(<!-- {name}:.*? -->\n).*?(<!-- /{name} -->)"
        readme = re.sub(
            pattern, lambda m, table=table: f"{m[1]}\n{table}\n\n{m[2]}", readme, flags=re.DOTALL
        )
    return readme


def main() -> int:
    write_text(README, renewed(README.read_text("utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
