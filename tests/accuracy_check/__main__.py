"""`python -m tests.accuracy_check`: measure, and write results/accuracy_check.json and its page."""

import sys

from bench.studies.__main__ import main
from tests.accuracy_check.study import STUDY

if __name__ == "__main__":
    sys.exit(main(study=STUDY))
