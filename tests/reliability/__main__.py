"""`python -m tests.reliability`: inject faults, read malformed files, write the page of results."""

import argparse
import sys

from bench.errors import exit_status
from bench.studies.__main__ import add_options, carry_out
from tests.reliability.study import STUDY

if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m tests.reliability", description=__doc__)
    add_options(parser)
    options = parser.parse_args()
    sys.exit(exit_status(lambda: carry_out(STUDY, options)))
