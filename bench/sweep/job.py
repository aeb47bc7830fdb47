"""One job, wherever it runs: a trial is computed, unless another process has done so, and kept."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits

from bench import report
from bench.errors import RunFailed, UserError
from bench.processes import TimeUp, time_limit
from bench.progress import Epochs, say
from bench.run import Job, Pruned, Result, run
from bench.sweep.context import JobContext
from bench.sweep.job_batch import Batch
from bench.sweep.overrides import key_of
from bench.sweep.protocol import pruned_digest
from bench.sweep.trials import choices_of, experiment_of, job_of, load_data, run_name
from bench.tracking import MLflowTracker, Record, Sweep, UnsentError
from bench.tracking.job_entry import entry_of, write_files


@dataclass(frozen=True)
class SweepTask:
    """Hydra's task function of a sweep: its n-th job runs the n-th of `batches`."""

    context: JobContext
    batches: tuple[Batch, ...]

    def __call__(self, cfg: DictConfig) -> None:
        """Run the batch that Hydra's job is."""
        self.run(HydraConfig.get().job.num, cfg)

    def run(self, number: int, cfg: DictConfig) -> None:
        """Run a batch.

        Raises
        ------
        UserError
            The data are not those that the sweep was started with; `run_batch` says so of the code.
        """
        batch = self.batches[number]
        dataset = load_data(cfg)
        if dataset.digest != batch.data:
            raise UserError(
                f"the data here ({dataset.source}) are not those that the sweep was started with"
            )
        tracker = self.context.tracker()
        for _ in run_batch(self.context, tracker, cfg, batch):
            if not self.context.collected:
                _send(tracker, self.context.sweep)


def run_alone(cfg: DictConfig) -> float:
    """Run a job that another of Hydra's sweepers started; return its validation error, or NaN.

    Raises
    ------
    RunFailed
        The run failed; the sweeper learns of it in no other way.
    """
    hydra = HydraConfig.get()
    dataset = load_data(cfg)
    tracker: MLflowTracker = instantiate(cfg.tracking)
    tracker.check()
    keys = [key_of(override) for override in hydra.overrides.task]
    context = JobContext(
        experiment_of(cfg, dataset),
        Sweep("", "", "", tracker.queue.owner),
        tracker.uri,
        tracker.directory,
        tuple(key for key in keys if key != "model"),
        job_seconds=cfg.job_seconds,
        rerun=cfg.rerun,
    )
    names = choices_of(hydra.runtime.choices, dataset)
    batch = Batch((), names, dataset.digest, {}, (({}, {}),))
    (record,) = run_batch(context, tracker, cfg, batch)
    assert record is not None  # nothing ends it before it begins
    print(f"{record.name}: {report.outcome(record)}", flush=True)
    _send(tracker, context.sweep)
    if record.status == "FAILED":
        raise RunFailed(f"{record.name}: {report.outcome(record)}")
    error = record.validation_error
    return math.nan if error is None else error


def _send(tracker: MLflowTracker, sweep: Sweep) -> None:
    try:
        for _ in tracker.send_waiting({}, owner=sweep.owner):
            pass
    except UnsentError as error:
        raise RunFailed(f"a result waits in {tracker.queue.outbox}: {error}") from error


def run_batch(
    context: JobContext, tracker: MLflowTracker, cfg: DictConfig, batch: Batch
) -> Iterator[Record | None]:
    """Run trials one after another; yield the record of each, None once the sweep is over.

    What came of a trial, a failure too, is on disk when it is yielded.
    """
    OmegaConf.set_struct(cfg, False)
    for values, limits in batch.trials:
        if context.over:
            yield None
            continue
        for key, value in values.items():
            OmegaConf.update(cfg, key, value)
        job = job_of(cfg, batch.names, load_data(cfg), batch.code, limits)
        with tracker.queue.claimed(context.experiment, job.digest):
            record = _known(context, tracker, job) or _compute(context, tracker, job)
        yield record


def _known(context: JobContext, tracker: MLflowTracker, job: Job) -> Record | None:
    """Return what another process made of the job meanwhile."""
    if context.rerun:
        return None
    digests = [job.digest, *([pruned_digest(job.digest, job.limits)] if job.limits else [])]
    records = (tracker.queue.settled(context.experiment, digest) for digest in digests)
    return next((record for record in records if record is not None), None)


def _compute(context: JobContext, tracker: MLflowTracker, job: Job) -> Record | None:
    """Run the job and keep what came of it; None if the sweep's time was up before."""
    began = time.time()
    outcome: Result | Exception
    budgets = [s for s in (context.job_seconds, context.seconds_left) if s is not None]
    if not context.sweep.name and sys.stderr.isatty():  # a single run
        job = replace(job, shown=Epochs())
    try:
        with threadpool_limits(job.threads), time_limit(min(budgets, default=None)):
            outcome = run(job)
    except TimeUp as error:
        if context.seconds_left == 0:
            return None
        outcome = error
    except Exception as error:  # whatever it is, it is one job's
        outcome = error
    if job.shown is not None:
        say()  # leave the line to what comes next
    pruned = isinstance(outcome, Pruned)
    entry = entry_of(
        job,
        outcome,
        experiment=context.experiment,
        sweep=context.sweep,
        name=run_name(job.config, job.names, context.varied, simulated=job.dataset.simulated),
        digest=pruned_digest(job.digest, job.limits) if pruned else job.digest,
        began=began,
    )

    def files(folder: Path) -> None:
        write_files(folder, job, outcome)

    tracker.queue.put(entry, files)
    if context.fail_fast and entry.record.status == "FAILED":
        context.stop()  # before the next trial begins
    return entry.record
