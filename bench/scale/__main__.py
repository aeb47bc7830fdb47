"""`python -m bench.scale`: from a hundred thousand to 25 million ratings; writes `results/scale.md` with its figures."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence

from bench.identity import ROOT
from bench.scale import by_k
from bench.scale.cell import MODELS, OURS, Cell, epochs
from bench.scale.page import Cells, sections, write

ROWS = (100_000, 1_000_000, 10_000_000)
MOST_ROWS = 25_000_000
"""For our own models alone."""
THREADED = "fm_gibbs"
LIMIT_SECONDS = 420
"""For set-up, fits and predictions of one model on one number of ratings."""


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--max-rows", type=int, default=MOST_ROWS, help="largest data set (%(default)s)")
    parser.add_argument(
        "--limit", type=int, default=LIMIT_SECONDS, help="seconds a model may take at each size (%(default)s)"
    )
    asked = parser.parse_args(arguments)
    if unknown := set(asked.models) - set(MODELS):
        parser.error(f"there is no model {min(unknown)!r}; there are {', '.join(MODELS)}")
    cells: Cells = {}
    for name in asked.models or MODELS:
        for rows in (*ROWS, *([MOST_ROWS] if name in OURS else [])):
            if rows > asked.max_rows:
                break
            before = cells.get((name, rows // 10, 1))
            if isinstance(before, Cell) and 10 * epochs(name, rows) * before.fit > asked.limit:
                cells[name, rows, 1] = f"not tried, since a tenth of them took {before.fit:.0f} s to fit"
                break
            cells[name, rows, 1] = measured(name, rows, 1, asked.limit)
            if isinstance(cells[name, rows, 1], str):
                break
            if name == THREADED and rows == ROWS[-1]:
                cells[name, rows, 2] = measured(name, rows, 2, asked.limit)
    found = [*sections(cells), by_k.section(by_k.measure())] if not asked.models else sections(cells)
    if asked.models or asked.max_rows < MOST_ROWS:
        print(*(section.text for section in found), sep="\n\n")
    else:
        print(
            f"Written: {write(found, shlex.join(['python', '-m', 'bench.scale', *arguments]), ROOT / 'results')}"
        )
    return 0


def measured(name: str, rows: int, threads: int, limit: float) -> Cell | str:
    """By a process of its own; or why there is nothing."""
    if sys.stderr.isatty():
        print(f"\r{name}, {rows:,} ratings, {threads} thread(s)\x1b[K", end="", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "bench.scale.cell", name, str(rows), str(threads)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    try:
        out, said = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not within {limit:,} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode < 0:
        return f"killed by {signal.Signals(-process.returncode).name} (out of memory?)"
    if process.returncode:
        return said.strip().splitlines()[-1]
    return Cell(**json.loads(out.splitlines()[-1]))


if __name__ == "__main__":
    sys.exit(main())
