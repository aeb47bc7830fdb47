"""One job, wherever it runs: a trial is computed, unless another process has done so, and kept.

A job of a launcher runs a batch of trials one after another, since Hydra composes every job anew,
which takes a tenth of a second. Batches get smaller towards the end, so that all processes end at
about the same time (Polychronopoulos & Kuck, "Guided Self-Scheduling", IEEE Transactions on
Computers 1987).
"""

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from threadpoolctl import threadpool_limits

from bench.data.dataset import Dataset
from bench.errors import RunFailed, UserError
from bench.processes import TimeUp, time_limit
from bench.progress import Epochs
from bench.run import Job, Pruned, Result, run
from bench.sweep.trials import Trial, job_of, load_data
from bench.tracking import Experiment, MLflowTracker, Record, Sweep, UnsentError
from bench.tracking.job_entry import entry_of, write_files

Batch: TypeAlias = tuple[Trial, ...]
"""Trials of one combination of groups, without their data."""
PER_PROCESS = 4
"""Batches that the trials left make for each process, at least."""


@dataclass(frozen=True)
class JobContext:
    """What every job of a sweep is given: it travels with the task to where that runs.

    `uri` and `directory` are the store and the folder of results. `lease` is the file of the
    sweep's process: a job that does not see it runs on another disk, and sends its result itself.
    `deadline` is when the sweep's time is up, in seconds since 1970, and `job_seconds` a job's
    budget.
    """

    experiment: Experiment
    sweep: Sweep
    uri: str
    directory: Path
    lease: Path
    deadline: float | None = None
    job_seconds: float | None = None
    rerun: bool = False
    fail_fast: bool = False

    @property
    def collected(self) -> bool:
        """Whether the sweep's process sees what a job leaves on this disk."""
        return self.lease.exists()

    @property
    def over(self) -> bool:
        """Whether no job is to begin any more."""
        return self.seconds_left == 0 or self._stopped.exists()

    @property
    def seconds_left(self) -> float | None:
        """Until the deadline; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    @property
    def _stopped(self) -> Path:
        """A file that is there when no further job is to begin."""
        return self.lease.with_suffix(".stop")

    def stop(self) -> None:
        """Let no further job begin, in any process that sees the sweep's disk."""
        if self.collected:
            self._stopped.touch()


def batches(trials: Sequence[Trial], processes: int | None) -> Iterator[Batch]:
    """Divide trials, in order, among `processes`; None, each trial is a batch of its own."""
    for _, group in itertools.groupby(trials, key=lambda trial: trial.overrides):
        left = [replace(trial, dataset=None) for trial in group]
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
        tracker = _tracker(self.context.uri, str(self.context.directory))
        for trial in batch:
            run_trial(self.context, tracker, dataset, trial)
            if not self.context.collected:
                try:
                    list(tracker.send_waiting(self.context.sweep.owner))
                except UnsentError as error:
                    said = f"a result waits in {tracker.queue.outbox}: {error}"
                    raise RunFailed(said) from error


@lru_cache(maxsize=1)
def _tracker(uri: str, directory: str) -> MLflowTracker:
    """Return the tracker of all batches of this process."""
    return MLflowTracker(uri, directory)


def run_trial(
    context: JobContext, tracker: MLflowTracker, dataset: Dataset, trial: Trial
) -> Record | None:
    """Return what came of a trial, which is on disk by then; None where the sweep is over.

    It is not run where another process has done so meanwhile.
    """
    if context.over:
        return None
    job = job_of(trial.config, trial.names, dataset, trial.code, trial.limits)
    with tracker.queue.claimed(trial.digest):
        digests = () if context.rerun else trial.digests
        known = (tracker.settled(context.experiment, digest) for digest in digests)
        return next(filter(None, known), None) or _compute(context, tracker, trial, job)


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
