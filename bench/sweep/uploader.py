"""What sends a sweep's results to MLflow, and again what it did not take."""

import time
from dataclasses import dataclass

from bench.errors import first_line
from bench.progress import Progress
from bench.sweep.job import JobContext
from bench.tracking import MLflowTracker, Record, redacted

POLL_SECONDS = 0.3
RETRY_SECONDS = 5.0
"""Between two attempts to send to a server that was away."""
PATIENCE_SECONDS = 90.0
"""For a server that is away at the end, or another sweep that has not sent its results."""


@dataclass(eq=False)
class Uploader:
    """Sends results to MLflow; the only part of a sweep that waits for it.

    The `records` of the sweep's trials, by digest, get their run ids here. `error` says why the
    last attempt failed; what was not sent waits on disk.
    """

    context: JobContext
    tracker: MLflowTracker
    records: dict[str, Record]
    progress: Progress
    error: str | None = None
    _begun: bool = False
    _next_attempt: float = 0.0

    @property
    def parent(self) -> str | None:
        """Id of the sweep's own run, once there is one."""
        return self.tracker.parents.get(self.context.sweep.id)

    def begin(self) -> None:
        """Make the sweep's own run, and send what sweeps that were killed left behind."""
        if self._begun:
            return
        experiment, sweep = self.context.experiment, self.context.sweep
        if sweep.name:
            self.tracker.begin_sweep(experiment, sweep)
        self._begun = True
        try:
            list(self.tracker.send_waiting())
        finally:
            self.tracker.close_abandoned()

    def attempt(self) -> None:
        """Send what waits, if anything does, unless MLflow refused a moment ago."""
        something = self.error or self._others() or any(self.tracker.queue.outbox.glob("[!.]*"))
        if something and time.monotonic() >= self._next_attempt:
            self.send()

    def send(self) -> None:
        """Send what waits, and make what other sweeps computed part of this one."""
        try:
            self.begin()
            self.error = None
            for record in self.tracker.send_waiting(self.context.sweep.owner):
                self.records[record.digest] = record
                self.progress.add(record)
            self._join_others()
        except Exception as error:  # what is not sent waits
            self.error = redacted(first_line(error))
            self._next_attempt = time.monotonic() + RETRY_SECONDS

    def _others(self) -> list[Record]:
        """Return the records that are no part of this sweep in the store, or not there at all."""
        tag = self.context.sweep.tag
        return [r for r in self.records.values() if not r.run_id or tag not in r.tags]

    def _join_others(self) -> None:
        for other in self._others():
            sent = other
            if not other.run_id:
                sent = self.tracker.settled(self.context.experiment, other.digest) or other
            if sent.run_id:
                self.records[other.digest] = self.tracker.join(sent, self.context.sweep)
        if left := len(self._others()):
            self.error = f"another sweep has not sent {left} of them"

    def finish(self) -> None:
        """Send everything, with patience; wait for what another sweep is about to send."""
        until = time.monotonic() + PATIENCE_SECONDS
        self.send()
        while self.error is not None and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
            self.attempt()

    @property
    def up_to_date(self) -> bool:
        """Whether MLflow has every result, and the end of this sweep."""
        experiment, sweep = self.context.experiment, self.context.sweep
        return (
            not self._others()
            and not any(self.tracker.queue.waiting())
            and (not sweep.name or self.tracker.closed(experiment, sweep))
        )

    def close(self, status: str) -> None:
        """End the sweep's own run, if there is one; the next start reports what is KILLED."""
        if self.parent is not None:
            self.tracker.end(self.parent, status)

    def abandon(self) -> None:
        """Send what there is, once, and end the sweep; it is being stopped, and has no time."""
        self.send()
        try:
            self.close("KILLED")
        except Exception as error:  # what stops the sweep is said, and not this
            self.error = redacted(first_line(error))
