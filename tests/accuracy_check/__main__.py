"""`python -m tests.accuracy_check`: measure, and write results/accuracy_check.json and its page."""

import sys

from bench.studies.__main__ import run_study
from tests.accuracy_check.study import STUDY

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
