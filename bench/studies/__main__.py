"""`python -m bench.studies NAME`: measure, and write a record, a page and figures."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.errors import checked, exit_status
from bench.identity import ROOT, computed_by
from bench.studies import STUDIES
from bench.studies.study import Record, Study
from fm.validation import check_choice, check_integer

PROGRAM = "python -m bench.studies"
RESULTS = ROOT / "results"


def main(arguments: Sequence[str] | None = None, study: Study | None = None) -> int:
    """Run the command line, of all studies or of the one given; return the exit status."""
    about = __doc__ if study is None else study.summary
    parser = argparse.ArgumentParser(study.command if study else PROGRAM, description=about)
    add = parser.add_argument
    if study is None:
        add("study", help=f"list, or one of {', '.join(STUDIES)}")
    add("--draw", action="store_true", help="measure nothing: write the page of what was measured")
    add("--repeats", type=int, help="measurements of each quantity")
    add("--results", type=Path, default=RESULTS, help="folder of records and pages (%(default)s)")
    options = parser.parse_args(arguments)
    if study is None and options.study == "list":
        for name in STUDIES:
            print(f"{name:<18} {_study(name).summary}")
        return 0
    return exit_status(lambda: _carry_out(study or _chosen(options.study), options))


def _carry_out(study: Study, options: argparse.Namespace) -> int:
    """Measure what is lacking, unless asked only to draw, and write the page; return 0."""
    repeats = study.repeats if options.repeats is None else options.repeats
    with checked():
        check_integer("--repeats", repeats, low=1)
    path = options.results / f"{study.name}.json"
    if options.draw:
        record = Record.read(path)
    else:
        record = _going_on(path, Record(repeats=repeats), study.any_code)
        study.measure(record, lambda: record.write(path))
    print(f"Written: {study.write(record, options.results)}")
    return 0


def _chosen(name: str) -> Study:
    with checked():
        check_choice("study", name, STUDIES)
    return _study(name)


def _study(name: str) -> Study:
    return importlib.import_module(f"bench.studies.{name}").STUDY


def _going_on(path: Path, now: Record, any_code: bool) -> Record:
    """Return what `path` has of the same machine, code and repeats, else an empty record."""
    kept = Record.read(path) if path.exists() else now
    same = (kept.machine, kept.repeats) == (now.machine, now.repeats)
    return kept if same and (any_code or computed_by(kept.code) == computed_by(now.code)) else now


if __name__ == "__main__":
    sys.exit(main())
