"""What sends a sweep's results to MLflow, and again what it did not take."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from bench.errors import first_line
from bench.sweep.job import JobContext
from bench.sweep.results import Results
from bench.tracking import MLflowTracker, redacted

POLL_SECONDS = 0.3
RETRY_SECONDS = 5.0
"""Between two questions to a server, or two attempts to send to one that was away."""
PATIENCE_SECONDS = 90.0
"""For a server that is away at the end, or another sweep that has not sent its results."""


@dataclass(eq=False)
class Uploader:
    """Sends results to MLflow; the only part of a sweep that waits for it.

    `error` says why the last attempt failed; what was not sent waits on disk.
    """

    context: JobContext
    tracker: MLflowTracker
    results: Results
    error: str | None = None
    _parents: dict[str, str] = field(default_factory=dict)
    _begun: bool = False
    _lock: AbstractContextManager = field(default_factory=threading.Lock)
    _next_attempt: float = 0.0
    _next_question: float = 0.0

    @property
    def parent(self) -> str | None:
        """Id of the sweep's own run, once there is one."""
        return self._parents.get(self.context.sweep.id)

    def begin(self) -> None:
        """Make the sweep's own run, and send what sweeps that were killed left behind."""
        if self._begun:
            return
        experiment, sweep = self.context.experiment, self.context.sweep
        if sweep.name:
            self._parents[sweep.id] = self.tracker.begin_sweep(experiment, sweep)
        self.tracker.reconcile()
        self.tracker.queue.close_abandoned()
        self._begun = True
        for _ in self.tracker.send_waiting(self._parents):
            pass

    def attempt(self) -> None:
        """Send what waits, unless MLflow refused a moment ago."""
        something = self.results.waiting() or self.results.shared or self.error
        if something and time.monotonic() >= self._next_attempt:
            self._attempt()

    def _attempt(self) -> None:
        with self._lock:
            try:
                self.begin()
                self.error = None
                owner = self.context.sweep.owner
                for record in self.tracker.send_waiting(self._parents, owner):
                    self.results.add(record)
                self._join_shared()
            except Exception as error:  # what is not sent waits
                self.error = redacted(first_line(error))
                self._next_attempt = time.monotonic() + RETRY_SECONDS

    def _join_shared(self) -> None:
        """Make what other sweeps computed, and have sent, part of this one."""
        experiment = self.context.experiment
        for digest in list(self.results.shared):
            record = self.tracker.queue.settled(experiment, digest)
            if record is not None and record.run_id:
                self.tracker.join(experiment, record, self.context.sweep)
                self.results.records[digest] = record
                del self.results.shared[digest]

    def ask(self, *, now: bool = False) -> None:
        """Ask the store for jobs that run on other disks: now and then, or now."""
        if self.tracker.local or not self.results.pending - set(self.results.records):
            return
        with self._lock:
            if now or time.monotonic() >= self._next_question:
                self._next_question = time.monotonic() + RETRY_SECONDS
                try:
                    self.results.collect_from_store()
                except Exception as error:  # it is asked again
                    self.error = redacted(first_line(error))

    def finish(self) -> None:
        """Send everything, with patience; wait for what another sweep is about to send."""
        until = time.monotonic() + PATIENCE_SECONDS
        self._attempt()
        while (self.error is not None or self.results.shared) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
            self.attempt()
        if self.error is None and self.results.shared:
            self.error = f"another sweep has not sent {len(self.results.shared)} of them"

    def abandon(self, status: str) -> None:
        """Send what there is, once, and end the sweep; it is being stopped, and has no time."""
        self._attempt()
        try:
            self.close(status, reported=False)
        except Exception as error:  # what stops the sweep is said, and not this
            self.error = redacted(first_line(error))

    @property
    def up_to_date(self) -> bool:
        """Whether MLflow has every result, and the end of this sweep and of all others."""
        sweep, queue = self.context.sweep, self.tracker.queue
        return (
            all(r.run_id and sweep.tag in r.tags for r in self.results.shared.values())
            and (not sweep.name or queue.closed(self.context.experiment, sweep))
            and not queue.abandoned()
            and not any(queue.waiting())
        )

    def close(self, status: str, *, reported: bool = True) -> None:
        """End the sweep, and its own run if there is one; the next start reports what was not."""
        sweep = self.context.sweep
        if self.parent is not None:
            self.tracker.end(self.parent, status)
        if sweep.name:
            noted = status if reported else "RUNNING"
            self.tracker.queue.note(self.context.experiment, sweep, noted)
