"""A sweep, from what a command line asks for to its report.

    compose.plan     the command: composed, its axes found, checked
    protocol         which trials that makes, one batch after another (trials, search)
    Scheduler        looks them up and runs those that are missing: here, or by a launcher (job)
    Uploader         sends what ended to MLflow
    summarize        the report, the best run's model, the table

Whatever can be wrong with a command is said before any work, and a bad configuration ends neither
the sweep nor its report: a job keeps what came of it, or why it failed, and never raises.
"""

import os
import re
import shlex
import sys
import time
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from bench import models, report
from bench.data.dataset import Dataset
from bench.errors import RunFailed, UserError, first_line
from bench.features import features_of
from bench.identity import code_targets, code_version, computed_by, digest
from bench.processes import workers_at_most
from bench.progress import Progress
from bench.sweep.checks import key_of
from bench.sweep.compose import Plan
from bench.sweep.job import JobContext
from bench.sweep.protocol import jobs_at_most, protocol
from bench.sweep.scheduler import Launch, Scheduler
from bench.sweep.trials import computed, experiment_of, load_data
from bench.tracking import MLflowTracker, Record, RunReader, Sweep, redacted
from bench.tracking.models import register
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
    sweep = _sweep(planned, dataset, overrides, multirun, tracker.queue.owner)
    context = JobContext(
        experiment,
        sweep,
        tracker.uri,
        tracker.directory,
        lease=tracker.queue.leases / sweep.owner,
        deadline=None if cfg.sweep_seconds is None else time.time() + cfg.sweep_seconds,
        job_seconds=cfg.job_seconds,
        rerun=cfg.rerun,
        fail_fast=cfg.fail_fast,
    )
    print(f"{cfg.experiment.title}: {_extent(planned)} on {dataset.source}", flush=True)

    progress = Progress(jobs_at_most(planned))
    scheduler = Scheduler(context, tracker, stored, progress, launch, processes)
    try:
        scheduler.run(trials)
    except BaseException:
        progress.close()
        if scheduler.computed:
            scheduler.uploader.abandon()
        raise
    progress.close()
    summarize(cfg, dataset, scheduler)


# -- before ----------------------------------------------------------------------------------------


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


def _sweep(
    planned: Plan, dataset: Dataset, overrides: list[str], multirun: bool, owner: str
) -> Sweep:
    """Return the sweep, whose identity is what it computes; a single run is one without a name."""
    words = shlex.join(["-m", *overrides] if multirun else overrides)
    chosen = sorted(o for o in overrides_of(words) if not o.startswith("hydra"))
    targets = {name for cfg in planned.jobs for name in code_targets(computed(cfg, dataset.task))}
    code = computed_by(code_version(tuple(sorted(targets))))
    parts = {"overrides": chosen, "data": dataset.digest, "code": code}
    names = dict.fromkeys(cfg.hydra.runtime.choices.model for cfg in planned.jobs)
    swept = f"{len(names)} models" if len(names) > 1 else next(iter(names))
    if len(names) == 1 and planned.varied_all:
        swept += f" over {', '.join(key.removeprefix('model.') for key in planned.varied_all)}"
    name = f"{swept}: {_extent(planned)}" if planned.multirun else ""
    return Sweep(digest(parts)[:12], name, words, owner)


def _extent(planned: Plan) -> str:
    """`12 runs`, or `at most 45 runs`."""
    if planned.selects:
        return f"at most {jobs_at_most(planned)} runs"
    return "1 run" if planned.total == 1 else f"{planned.total} runs"


def _say(sentence: str) -> None:
    print(f"bench: {sentence}", file=sys.stderr)


# -- at the end ------------------------------------------------------------------------------------


def summarize(cfg: DictConfig, dataset: Dataset, sweep: Scheduler) -> None:
    """Send, file and print what came of a sweep.

    `RunFailed` says what failed, was not reached, or is not in the store or the report.
    """
    problems = []
    records = list(sweep.records.values())
    failed = sum(record.status == "FAILED" for record in records)
    if failed:
        problems.append(f"{failed} of {len(records)} runs failed")
    if sweep.unreached:
        problems.append(f"{len(sweep.unreached)} were not reached")
    if sweep.computed or not sweep.uploader.up_to_date:
        problems += _send(cfg, dataset, sweep, failed=bool(problems))
    _print(cfg, sweep)
    if problems:
        raise RunFailed("; ".join(problems))


def _send(cfg: DictConfig, dataset: Dataset, sweep: Scheduler, *, failed: bool) -> list[str]:
    """Send everything and the report; return what could not be done."""
    tracker, uploader = sweep.tracker, sweep.uploader
    uploader.finish()
    if uploader.error is not None:
        waiting = sum(1 for _ in tracker.queue.waiting())
        return [
            f"{waiting} results wait in {tracker.queue.outbox}, since {tracker.shown} did not take "
            f"them ({uploader.error}); the next start sends them"
        ]
    if uploader.parent is None:
        return []
    problems = []
    reader = RunReader(tracker.uri, str(tracker.directory))
    compared = report.comparisons(list(sweep.records.values()))
    best = compared[0].best if len(compared) == 1 else None  # never one across data sets or splits
    try:
        page = report.write(reader, uploader.parent, Path(cfg.results), cfg.report.by).html
        metrics = best.metrics if best else {}
        tracker.log_sweep(uploader.parent, metrics, [page], best.run_id if best else None)
    except Exception as error:  # the results are there, and are shown
        problems.append(f"the report is not complete: {redacted(first_line(error))}")
    uploader.close("KILLED" if problems else "FAILED" if failed else "FINISHED")
    if best is not None and cfg.keep_model:
        _keep_model(reader, best, dataset)
    return problems


def _keep_model(reader: RunReader, best: Record, dataset: Dataset) -> None:
    """Log and register the best run's model; where that fails, say so: no sweep fails by it."""
    try:
        address = models.keep(reader, best.run_id, dataset)
        if address.startswith("models:/"):
            name = re.sub(r"[^\w.-]+", "_", f"{best.model}-{dataset.name}")
            print(f"Model: {register(reader, best.run_id, address, name)}")
    except Exception as error:
        why = str(error) if isinstance(error, UserError) else redacted(first_line(error))
        _say(f"no model is logged: {why}")


def _print(cfg: DictConfig, sweep: Scheduler) -> None:
    """Print the table and the failures, and say where to read on."""
    experiment, of = sweep.context.experiment, sweep.context.sweep
    records = list(sweep.records.values())
    if of.name:
        print("", *report.summary(experiment, records), sep="\n")
    for line in report.failures(records):
        print(line)
    if sweep.unreached:
        print(f"Not reached ({len(sweep.unreached)}): {'; '.join(sweep.unreached)}")
    if of.name:
        folder = Path(cfg.results) / report.sweep_folder(experiment, of.id, of.description)
        if (page := folder / "README.md").exists():
            print(f"Report: {page} (and report.html beside it)")
        print(f"Dashboard: python -m bench.ui {experiment.name}", flush=True)
