"""One job, wherever it runs: a trial is computed, unless another process has done so, and kept.

A job of a launcher runs a batch of trials one after another, since Hydra composes every job anew,
which takes a tenth of a second. Batches get smaller towards the end, so that all processes end at
about the same time (Polychronopoulos & Kuck, "Guided Self-Scheduling", IEEE Transactions on
Computers 1987).
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits

from bench.errors import RunFailed, UserError
from bench.processes import TimeUp, time_limit
from bench.progress import Epochs
from bench.run import Job, Pruned, Result, run
from bench.sweep.trials import Trial, job_of, load_data
from bench.tracking import Experiment, MLflowTracker, Record, Sweep, UnsentError
from bench.tracking.job_entry import entry_of, write_files

Batch: TypeAlias = tuple[Trial, ...]
"""Trials of one combination of groups, without its configuration."""
STOP = "stop"
"""File in a sweep's folder: no further job is to begin."""
PER_PROCESS = 4
"""Batches that the trials left make for each process, at least."""


@dataclass(frozen=True)
class JobContext:
    """What every job of a sweep is given: it travels with the task to where that runs.

    `uri` and `directory` are the store and the folder of results. `home` is the sweep's own folder:
    a job that does not see it runs on another disk than the sweep's process, and sends its result
    itself. `deadline` is when the sweep's time is up, in seconds since 1970, and `job_seconds` a
    job's budget.
    """

    experiment: Experiment
    sweep: Sweep
    uri: str
    directory: Path
    home: Path
    deadline: float | None = None
    job_seconds: float | None = None
    rerun: bool = False
    fail_fast: bool = False

    @property
    def collected(self) -> bool:
        """Whether the sweep's process sees what a job leaves on this disk."""
        return self.home.exists()

    @property
    def over(self) -> bool:
        """Whether no job is to begin any more."""
        return self.seconds_left == 0 or (self.home / STOP).exists()

    @property
    def seconds_left(self) -> float | None:
        """Until the deadline; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    def stop(self) -> None:
        """Let no further job begin, in any process that sees the sweep's folder."""
        if self.collected:
            (self.home / STOP).touch()


def batches(trials: Sequence[Trial], processes: int | None) -> Iterator[Batch]:
    """Divide trials, in order, among `processes`; None, each trial is a batch of its own."""
    for _, group in itertools.groupby(trials, key=lambda trial: trial.overrides):
        left = [replace(trial, cfg=None) for trial in group]
        while left:
            n = 1 if processes is None else max(1, len(left) // (PER_PROCESS * processes))
            yield tuple(left[:n])
            left = left[n:]


@dataclass(frozen=True)
class SweepTask:
    """Hydra's task function of a sweep: its n-th job runs the n-th of `batches`."""

    context: JobContext
    batches: tuple[Batch, ...]

    def __call__(self, cfg: DictConfig) -> None:
        """Run the batch that Hydra's job is."""
        self.run(HydraConfig.get().job.num, cfg)

    def run(self, number: int, cfg: DictConfig) -> None:
        """Run a batch; UserError if data or code are not those that the sweep began with."""
        batch, dataset = self.batches[number], load_data(cfg)
        if dataset.digest != batch[0].data:
            raise UserError(
                f"the data here ({dataset.source}) are not those that the sweep was started with"
            )
        tracker = MLflowTracker(self.context.uri, str(self.context.directory))
        for _ in run_batch(self.context, tracker, cfg, batch):
            if not self.context.collected:
                try:
                    list(tracker.send_waiting({}, owner=self.context.sweep.owner))
                except UnsentError as error:
                    said = f"a result waits in {tracker.queue.outbox}: {error}"
                    raise RunFailed(said) from error


def run_batch(
    context: JobContext, tracker: MLflowTracker, cfg: DictConfig, batch: Batch
) -> Iterator[Record | None]:
    """Run trials one after another; yield the record of each, None once the sweep is over.

    What came of a trial, a failure too, is on disk when it is yielded.
    """
    OmegaConf.set_struct(cfg, False)
    for trial in batch:
        if context.over:
            yield None
            continue
        for key, value in trial.values.items():
            OmegaConf.update(cfg, key, value)
        job = job_of(cfg, trial.names, load_data(cfg), trial.code, trial.limits)
        with tracker.queue.claimed(context.experiment, trial.digest):
            record = _known(context, tracker, trial) or _compute(context, tracker, trial, job)
        yield record


def _known(context: JobContext, tracker: MLflowTracker, trial: Trial) -> Record | None:
    """Return what another process made of the trial meanwhile."""
    digests = () if context.rerun else trial.digests
    records = (tracker.queue.settled(context.experiment, digest) for digest in digests)
    return next(filter(None, records), None)


def _compute(context: JobContext, tracker: MLflowTracker, trial: Trial, job: Job) -> Record | None:
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
    if isinstance(job.shown, Epochs):
        job.shown.close()
    digest = trial.digests[-1] if isinstance(outcome, Pruned) else trial.digest
    entry = entry_of(job, outcome, context.experiment, context.sweep, trial.name, digest, began)
    tracker.queue.put(entry, lambda folder: write_files(folder, job, outcome))
    if context.fail_fast and entry.record.status == "FAILED":
        context.stop()  # before the next trial begins
    return entry.record
