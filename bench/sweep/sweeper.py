"""A sweep, from what a command line asks for to its report.

    compose.plan     the command: composed, its axes found, checked
    protocol         which trials that makes, one batch after another (trials, search)
    Results          which of them have been run, and the records of the others as they end
    Scheduler        runs those that are missing: here, or by Hydra's launcher (job)
    Uploader         sends what ended to MLflow
    sweep_summary    the table, the report, the best run's model

Whatever can be wrong with a command is said before any work, and a bad configuration ends neither
the sweep nor its report: a job keeps what came of it, or why it failed, and never raises.
"""

from __future__ import annotations

import os
import shlex
import sys
import time

from hydra.utils import instantiate
from omegaconf import DictConfig

from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.features import features_of
from bench.identity import code_targets, code_version, computed_by, digest
from bench.processes import workers_at_most
from bench.progress import Progress
from bench.sweep.compose import Plan
from bench.sweep.job import JobContext
from bench.sweep.overrides import key_of
from bench.sweep.protocol import jobs_at_most, protocol
from bench.sweep.results import Results
from bench.sweep.scheduler import Launch, Scheduler
from bench.sweep.sweep_summary import summarize
from bench.sweep.trials import computed, experiment_of, load_data
from bench.sweep.uploader import Uploader
from bench.tracking import MLflowTracker, Sweep
from bench.tracking.run_record import overrides_of


def run_sweep(planned: Plan, overrides: list[str], multirun: bool, launch: Launch) -> None:
    """Run what the words `overrides` of a command were composed to, a sweep (`-m`) or one run.

    A wrong command is a UserError, and `RunFailed` what `summarize` says.
    """
    cfg = planned.jobs[0]
    processes = _processes(cfg)
    if processes == 1 and "hydra.sweep.dir" in map(key_of, overrides):
        raise UserError("hydra.sweep.dir is for launchers of other processes: it needs jobs=2")
    for model, reason in planned.skipped.items():
        _say(f"model={model} is left out: {reason}")
    dataset = load_data(cfg)
    features_of(dataset, cfg.features.names)
    trials = protocol(planned)  # refuses a model that is not for the data
    tracker: MLflowTracker = instantiate(cfg.tracking)
    experiment = experiment_of(cfg, dataset, planned.skipped)
    stored = tracker.prepare(experiment)
    sweep = _sweep(planned, dataset, overrides, multirun, tracker.queue.leases.owner)
    context = JobContext(
        experiment,
        sweep,
        tracker.uri,
        tracker.directory,
        home=tracker.directory / ".sweeps" / f"{sweep.id}.{sweep.owner}",
        deadline=None if cfg.sweep_seconds is None else time.time() + cfg.sweep_seconds,
        job_seconds=cfg.job_seconds,
        rerun=cfg.rerun,
        fail_fast=cfg.fail_fast,
    )
    print(f"{cfg.experiment.title}: {_extent(planned)} on {dataset.source}", flush=True)

    progress = Progress(jobs_at_most(planned))
    results = Results(context, tracker, stored, progress, here=processes == 1)
    uploader = Uploader(context, tracker, results)
    scheduler = Scheduler(context, tracker, results, uploader, launch, processes)
    try:
        scheduler.run(trials)
    except BaseException as error:
        progress.close()
        if scheduler.computed:
            uploader.abandon("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    progress.close()
    summarize(cfg, dataset, scheduler)


def _sweep(
    planned: Plan, dataset: Dataset, overrides: list[str], multirun: bool, owner: str
) -> Sweep:
    """Return the sweep, whose identity is what it computes; a single run is one without a name."""
    words = shlex.join(["-m", *overrides] if multirun else overrides)
    chosen = sorted(o for o in overrides_of(words) if not o.startswith("hydra"))
    targets = {name for cfg in planned.jobs for name in code_targets(computed(cfg, dataset.task))}
    code = computed_by(code_version(tuple(sorted(targets))))
    parts = {"overrides": chosen, "data": dataset.digest, "code": code}
    name = f"{_swept(planned)}: {_extent(planned)}" if planned.multirun else ""
    return Sweep(digest(parts)[:12], name, words, owner)


def _swept(planned: Plan) -> str:
    """`linear over l2, split`, or `22 models`."""
    models = dict.fromkeys(cfg.hydra.runtime.choices.model for cfg in planned.jobs)
    if len(models) > 1:
        return f"{len(models)} models"
    over = ", ".join(key.removeprefix("model.") for key in planned.varied_all)
    return f"{next(iter(models))} over {over}" if over else next(iter(models))


def _extent(planned: Plan) -> str:
    """`12 runs`, or `at most 45 runs`."""
    if planned.selects:
        return f"at most {jobs_at_most(planned)} runs"
    return "1 run" if planned.total == 1 else f"{planned.total} runs"


def _processes(cfg: DictConfig) -> int | None:
    """Return how many processes compute here, 1 being this one; None if others do elsewhere."""
    kind = cfg.hydra.launcher._target_.rpartition(".")[2]
    if kind not in ("BasicLauncher", "JoblibLauncher"):
        return None
    processes = cfg.hydra.launcher.get("n_jobs") or 1
    if processes == 1:
        return 1
    most, why = workers_at_most(cfg.threads)
    if not 0 < processes <= most:
        _say(f"jobs={processes}, but {most} work at a time: {why}")
        return most
    cores = os.cpu_count() or 1
    if processes * cfg.threads > cores:
        _say(f"jobs={processes} of {cfg.threads} threads on {cores} cores: times will say little")
    return processes


def _say(sentence: str) -> None:
    print(f"bench: {sentence}", file=sys.stderr)
