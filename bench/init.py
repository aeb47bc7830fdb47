"""`fm-bench init FOLDER`: write a small benchmark of one's own, which runs as it is."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.data import planted
from bench.errors import UserError, exit_status
from bench.files import write_text

TEMPLATE = Path(__file__).parent / "template"
"""Its files, with `.txt` at the end so that no tool takes them for this project's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the template into a folder that is new or empty; return 0."""
    parser = argparse.ArgumentParser(prog="fm-bench init", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new or empty folder")
    folder = parser.parse_args(arguments).folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder: give the name of a new one")
    for path in sorted(TEMPLATE.rglob("*.txt")):
        name = path.relative_to(TEMPLATE).as_posix().removesuffix(".txt")
        name = f".{name}" if name.startswith("git") else name
        write_text(folder / name, path.read_text("utf-8"))
    ratings = planted(n_users=60, n_items=80, n_ratings=2000).rows
    write_text(folder / "ratings.csv", ratings[["user", "item", "rating"]].to_csv(index=False))
    print(f"Written: {folder}. Its README.md says how to run it.")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
