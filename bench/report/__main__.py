"""`python -m bench.report EXPERIMENT`: build page, figures and `report.html` of tracked runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.errors import exit_status
from bench.report.page import write
from bench.tracking import RunReader


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the report that the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("experiment", help="its name, or the id of a sweep's parent run")
    parser.add_argument(
        "--results", default="results", help="folder of store and reports (default: results)"
    )
    parser.add_argument("--by", help="field whose levels get a table of their own errors")
    options = parser.parse_args(arguments)
    reader = RunReader(directory=options.results)
    report = write(reader, options.experiment, Path(options.results), options.by)
    print(f"Written: {report.page}, {report.html} and {len(report.figures)} figures")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
