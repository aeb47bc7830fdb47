"""`python -m bench`: the command line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from bench.errors import exit_status
from bench.sweep.hydra_start import sweep, through_hydra


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit status: 0; 1, a run failed; 2, the command was wrong."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    flags = {argument for argument in arguments if argument.startswith("-")}
    if flags - {"-m", "--multirun"}:
        return exit_status(lambda: through_hydra(arguments))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return exit_status(
        lambda: sweep([a for a in arguments if a not in flags], multirun=bool(flags))
    )
