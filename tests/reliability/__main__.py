"""`python -m tests.reliability`: measure, and write results/reliability.json and its page."""

import sys

from bench.studies.__main__ import run_study
from tests.reliability.study import STUDY

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
