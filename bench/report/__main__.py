"""`python -m bench.report EXPERIMENT`: builds `results/EXPERIMENT/README.md` and its figures from tracked runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.errors import exit_status
from bench.report.page import write
from bench.tracking import RunReader


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("experiment", help="its name, or the id of a sweep's parent run")
    parser.add_argument(
        "--results", default="results", help="folder of store and reports (default: results)"
    )
    asked = parser.parse_args()
    evidence = RunReader(directory=asked.results)
    files = write(evidence, asked.experiment, Path(asked.results))
    print(f"Written: {files[0]} and {len(files) - 1} figure files")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
