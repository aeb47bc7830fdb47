"""The records of a sweep's trials: looked up before any is computed, collected as they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.progress import Progress
from bench.sweep.job import JobContext
from bench.sweep.trials import Trial
from bench.tracking import MLflowTracker, Record
from bench.tracking.run_record import Entry

Find = Callable[[str], Record | None]
"""Finds a job that need not be run again, by its digest."""
ENDED = ("FINISHED", "FAILED", "PRUNED")


@dataclass(eq=False)
class Results:
    """The `records` of a sweep's trials, by digest; `pending` are those that are being computed.

    `shared` are those that another sweep computed: the store, whose jobs `stored` finds, may not
    have them as part of this one. `here`: trials are computed in this process, one after another.
    """

    context: JobContext
    tracker: MLflowTracker
    stored: Find
    progress: Progress
    here: bool
    records: dict[str, Record] = field(default_factory=dict)
    shared: dict[str, Record] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    _collected: set[Path] = field(default_factory=set)
    _lock: AbstractContextManager = field(default_factory=threading.RLock)

    def missing(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the trials that have no record, each once."""
        trials = {trial.digest: trial for trial in trials}.values()
        return [trial for trial in trials if trial.record_in(self.records) is None]

    def look_up(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials to compute: those that neither this disk nor the store has."""
        for find in () if self.context.rerun else (self._on_disk, self.stored):
            for trial in self.missing(trials):
                record = next(filter(None, map(find, trial.digests)), None)
                if record is not None:
                    self.shared[record.digest] = self.records[record.digest] = record
                    self.progress.add(record, computed=False)
        return self.missing(trials)

    def _on_disk(self, digest: str) -> Record | None:
        return self.tracker.queue.settled(self.context.experiment, digest)

    def waiting(self) -> list[tuple[Path, Entry]]:
        """Return the results of this sweep's jobs that are not sent yet."""
        owner = self.context.sweep.owner
        return [(p, e) for p, e in self.tracker.queue.waiting() if e.sweep.owner == owner]

    def collect(self) -> None:
        """Take what has ended since on this disk, whichever sweep computed it."""
        with self._lock:
            for path, entry in self.waiting():
                if path not in self._collected:
                    self._collected.add(path)
                    self.add(entry.record)
            for digest in () if self.context.rerun else self.pending - set(self.records):
                settled = self._on_disk(digest)
                if settled is not None:
                    self.shared[digest] = settled
                    self.add(settled)
        self.show()

    def show(self) -> None:
        """Draw the live line anew, with the number of trials that are being computed now."""
        left = self.pending - set(self.records)
        queue, experiment = self.tracker.queue, self.context.experiment
        running = len(left) if self.here else sum(bool(queue.running(experiment, d)) for d in left)
        self.progress.running = min(1, running) if self.here else running
        self.progress.show()

    def collect_from_store(self) -> None:
        """Take what has ended where the disk is another, and jobs sent their results themselves."""
        sweep, rerun = self.context.sweep, self.context.rerun
        for record in self.tracker.records(self.context.experiment, sweep.id):
            own = record.tags.get("owner") == sweep.owner and record.status in ENDED
            if record.digest not in self.records and (own or (record.settled and not rerun)):
                self.add(record)

    def add(self, record: Record) -> None:
        """Take a record of a job that has ended, or has got its run id since."""
        with self._lock:
            self.records[record.digest] = record
            self.progress.add(record)
            if record.status == "FAILED" and self.context.fail_fast:
                self.context.stop()
