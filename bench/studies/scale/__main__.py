"""`python -m bench.studies.scale`: from a hundred thousand to 25 million ratings; writes `results/scale.md` with its figures.

What was measured is kept in `results/scale.json`, so that an interrupted measurement by the same code goes on. With
names of models only these are measured, and printed; nothing is written.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from bench.errors import UserError, checked, exit_status
from bench.identity import ROOT
from bench.progress import say
from bench.studies.scale import by_k
from bench.studies.scale.cell import MODELS, OURS, Cell, n_epochs
from bench.studies.scale.page import sections, write
from bench.studies.scale.race import TURNS, TWO_THREADS, Race
from bench.studies.scale.record import Record, cell_of, race_of
from fm.validation import check_choice

ROWS = (100_000, 1_000_000, 10_000_000)
MOST_ROWS = 25_000_000
"""For our own models alone."""
RACES = (("fm_gibbs", TWO_THREADS), ("fm_gibbs", "peer_myfm"), ("fm_sgd", "vw_rank"))
RACE_ROWS = 10_000_000
LIMIT_SECONDS = 900
"""For set-up, fits and predictions of one model on one number of ratings; each turn of a race has as much."""
RESULTS = ROOT / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m bench.studies.scale", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument(
        "--max-rows", type=int, default=MOST_ROWS, help="largest data set (%(default)s)"
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=LIMIT_SECONDS,
        help="seconds a model may take at each size (%(default)s)",
    )
    parser.add_argument(
        "--draw", action="store_true", help="measure nothing, write the page of what was measured"
    )
    asked = parser.parse_args(arguments)
    return exit_status(lambda: _run(asked))


def _run(asked: argparse.Namespace) -> int:
    kept = RESULTS / "scale.json"
    with checked():
        for name in asked.models:
            check_choice("MODEL", name, MODELS)
    if asked.draw:
        if not kept.exists():
            raise UserError(f"there is no {kept}; measure first, by python -m bench.studies.scale")
        record = Record.read(kept)
    elif asked.models or asked.max_rows < MOST_ROWS:
        record = Record()
        _measure_cells(record, asked, lambda: None)
        print(*(section.text for section in sections(record)), sep="\n\n")
        return 0
    else:
        record = Record.going_on(kept)
        _measure_races(record, asked, lambda: record.write(kept))
        record.by_k = record.by_k or by_k.measure()
        _measure_cells(record, asked, lambda: record.write(kept))
    print(f"Written: {write(record, 'python -m bench.studies.scale', RESULTS)}")
    return 0


def _measure_cells(record: Record, asked: argparse.Namespace, keep: Callable[[], None]) -> None:
    """What is not there yet; `keep` is called after each."""
    for name in asked.models or MODELS:
        for rows in (*ROWS, *([MOST_ROWS] if name in OURS else [])):
            if rows > asked.max_rows:
                break
            if (name, rows) not in record.cells:
                record.cells[name, rows] = _cell(record, name, rows, asked.limit)
                keep()
            if isinstance(record.cells[name, rows], str):
                break


def _cell(record: Record, name: str, rows: int, limit: float) -> Cell | str:
    tenth = rows // 10
    before = record.cells.get((name, tenth))
    if (
        before is not None
        and 10 * before.fit * n_epochs(name, rows) / n_epochs(name, tenth) > limit
    ):
        return f"not tried, since a tenth of them took {before.fit:.0f} s to fit"
    return measured("cell", name, rows, limit=limit)


def _measure_races(record: Record, asked: argparse.Namespace, keep: Callable[[], None]) -> None:
    for race in RACES:
        if race not in record.races:
            record.races[race] = measured("race", *race, RACE_ROWS, limit=2 * TURNS * asked.limit)
            keep()


def measured(what: str, *of: str | int, limit: float) -> Cell | Race | str:
    """By the module `what` in a process of its own; or why there is nothing."""
    say(f"{what}: {', '.join(map(str, of))}")
    command = [sys.executable, "-m", f"bench.studies.scale.{what}", *map(str, of)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        out, said = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not within {limit:,} s"
    finally:
        say()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode < 0:
        return f"killed by {signal.Signals(-process.returncode).name} (out of memory?)"
    if process.returncode:
        return said.strip().splitlines()[-1]
    return {"cell": cell_of, "race": race_of}[what](json.loads(out.splitlines()[-1]))


if __name__ == "__main__":
    sys.exit(main())
