"""`python -m bench`: from the command line to tracked runs.

Whatever can be wrong with a command is found before any work: the configurations it asks for are
composed, their models built and checked, the data loaded and split. Only then does Hydra's launcher
start; each of its jobs is `run_job`, which tracks what it computes and never raises, so that one bad
configuration ends neither the sweep nor its report.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from hydra.utils import instantiate

from bench.app.compose import plan
from bench.app.finish import finish
from bench.app.job import experiment_of, load_data, run_job
from bench.errors import exit_status
from bench.identity import digest, source_digest
from bench.track import MLflowTracker

HOW = ("jobs", "rerun", "fail_fast", "results")
"""Keys that say how to compute, not what."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit status: 0; 1, a run failed; 2, the command was wrong."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    flags = {argument for argument in arguments if argument.startswith("-")}
    if flags - {"-m", "--multirun"}:
        sys.argv[1:] = arguments
        run_job()
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return exit_status(lambda: _start([a for a in arguments if a not in flags], multirun=bool(flags)))


def _start(overrides: list[str], multirun: bool) -> int:
    planned = plan(overrides, multirun)
    cfg = planned.jobs[0]
    dataset = load_data(cfg)
    for job in planned.jobs:
        instantiate(job.split)(dataset)
    if cfg.hydra.runtime.choices.data == "auto":
        # What was found is said to every job, so that none looks for itself.
        overrides = [o for o in overrides if not o.startswith("data=")] + [f"data={dataset.name}"]
    experiment = experiment_of(cfg, dataset)
    tracker: MLflowTracker = instantiate(cfg.tracking)
    print(f"{cfg.experiment.title}: {planned.total} runs on {dataset.source}", flush=True)
    asked = sorted(o for o in overrides if o.partition("=")[0] not in HOW)
    sweep = digest({"overrides": asked, "data": dataset.digest, "code": source_digest()})[:12]
    parent = None
    if planned.multirun:
        parent = tracker.begin_sweep(experiment, sweep, f"{planned.total} runs", " ".join(overrides))
    told = {"id": sweep, "parent": parent or "null", "total": planned.total, "varied": planned.varied}
    sys.argv[1:] = [
        *overrides,
        *(f"sweep.{key}={value}".replace("'", "").replace(" ", "") for key, value in told.items()),
        *(["-m"] if multirun else []),
    ]
    try:
        run_job()
    except KeyboardInterrupt:
        if parent is not None:
            tracker.end(parent, "KILLED")
        raise
    except SystemExit:
        # Hydra's answer to a run that raised, which only `fail_fast` lets it do: report it as any other.
        pass
    return finish(cfg, dataset, tracker, experiment, sweep, parent)
