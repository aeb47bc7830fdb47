"""`python -m tests.reliability`: measure, and write results/reliability.json and its page."""

import sys

from bench.studies.__main__ import main
from tests.reliability.study import STUDY

if __name__ == "__main__":
    sys.exit(main(study=STUDY))
