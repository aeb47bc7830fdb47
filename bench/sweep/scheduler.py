"""What runs the trials of a sweep: batch after batch, in this process or by Hydra's launcher."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from hydra.core.utils import JobReturn

from bench.errors import UserError, first_line
from bench.progress import Progress
from bench.sweep.job import JobContext, SweepTask, batches, run_trial
from bench.sweep.protocol import Protocol
from bench.sweep.trials import Trial
from bench.sweep.uploader import POLL_SECONDS, RETRY_SECONDS, Uploader
from bench.tracking import MLflowTracker, Record, redacted
from bench.tracking.run_record import Entry

MAX_LAUNCHES = 3
"""Launches in a row that may end without a result."""

Launch = Callable[[SweepTask, Sequence[Sequence[str]], int | None], Sequence[JobReturn]]
"""Runs a job for each list of overrides, by so many processes of this machine; None: elsewhere."""


@dataclass(eq=False)
class Scheduler:
    """Runs a protocol: looks trials up, has the missing ones computed, and sends it the records.

    `stored` finds a job of the store that need not be run again, by its digest. Of the `processes`
    that compute on this machine 1 is this one, which runs one trial after another; None: the
    launcher decides where jobs run. `records` are those of the trials that have ended, by digest;
    `pending` trials are being computed; `unreached` are the names of those that were not computed;
    `computed` says whether any was to be.
    """

    context: JobContext
    tracker: MLflowTracker
    stored: Callable[[str], Record | None]
    progress: Progress
    launch: Launch
    processes: int | None
    records: dict[str, Record] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    unreached: list[str] = field(default_factory=list)
    computed: bool = False
    _next_question: float = 0.0

    def __post_init__(self) -> None:
        self.uploader = Uploader(self.context, self.tracker, self.records, self.progress)

    def run(self, protocol: Protocol) -> None:
        """Run the protocol to its end."""
        trials = next(protocol)
        while True:
            missing = self._looked_up(trials)
            if missing and self.processes != 1 and not self.tracker.local:
                self.uploader.begin()  # before jobs do, which may send for themselves
            if missing:
                self._compute(missing)
            try:
                trials = protocol.send(self.records)
            except StopIteration:
                return

    # -- records ----------------------------------------------------------------------------------

    def _missing(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the trials that have no record, each once."""
        trials = {trial.digest: trial for trial in trials}.values()
        return [trial for trial in trials if trial.record_in(self.records) is None]

    def _looked_up(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials to compute: those that neither this disk nor the store has."""
        waiting = partial(self.tracker.queue.settled, self.context.experiment)
        for find in () if self.context.rerun else (waiting, self.stored):
            for trial in self._missing(trials):
                record = next(filter(None, map(find, trial.digests)), None)
                if record is not None:
                    self.records[record.digest] = record
                    self.progress.add(record, computed=False)
        return self._missing(trials)

    def _add(self, record: Record) -> None:
        """Take the record of a job that has ended."""
        self.records[record.digest] = record
        self.progress.add(record)
        if record.status == "FAILED" and self.context.fail_fast:
            self.context.stop()

    def collect(self) -> None:
        """Take what has ended on this disk and waits to be sent, whichever sweep computed it."""
        for _, entry in self.tracker.queue.waiting():
            if entry.experiment.name == self.context.experiment.name:
                self._take(entry.record, entry.sweep.owner)
        self._show()

    def _show(self) -> None:
        """Draw the live line anew, with the number of trials that are being computed now."""
        left = self.pending - self.records.keys()
        running = 1
        if self.processes != 1:
            running = sum(map(bool, map(self.tracker.queue.running, left)))
        self.progress.running = min(running, len(left))
        self.progress.show()

    def _take(self, record: Record, owner: str) -> None:
        """Take a record of this sweep, or of a pending job that another sweep has computed."""
        own = owner == self.context.sweep.owner
        other = record.settled and record.digest in self.pending and not self.context.rerun
        if (own or other) and record.digest not in self.records:
            self._add(self.tracker.with_curve(record) if record.run_id else record)

    def _ask(self, *, now: bool = False) -> None:
        """Ask the store, now and then, for what other disks and other sweeps have sent to it."""
        left = self.pending - self.records.keys()
        due = now or time.monotonic() >= self._next_question
        if not left or not due or self.tracker.empty:
            return
        self._next_question = time.monotonic() + RETRY_SECONDS
        try:
            for record in self.tracker.records(self.context.experiment):
                self._take(record, record.tags.get("owner", ""))
        except Exception as error:  # it is asked again
            self.uploader.error = redacted(first_line(error))

    # -- computing --------------------------------------------------------------------------------

    def _compute(self, trials: list[Trial]) -> None:
        self.computed = True
        self.pending = {trial.digest for trial in trials}
        self._show()
        if self.processes == 1:
            self._compute_here(trials)
        else:
            self._compute_launched(trials)
        self.pending = set()
        self.unreached += [trial.name for trial in self._missing(trials)]

    def _compute_here(self, trials: list[Trial]) -> None:
        for trial in trials:
            assert trial.dataset is not None  # in this process
            record = run_trial(self.context, self.tracker, trial.dataset, trial)
            if record is not None:
                self._add(record)
                self._show()
                self.uploader.attempt()  # between fits, so that it costs none of them time

    def _compute_launched(self, trials: list[Trial]) -> None:
        """Launch trials; again those that a dead process took along, and what it ran, alone."""
        fruitless = 0
        while trials and not self.context.over:
            died = self._launched(trials)
            if died is None:
                return
            for trial in self._missing(trials):
                cut_off = self.tracker.queue.running(trial.digest) is False
                if cut_off and not self.context.over and self._launched([trial]) is not None:
                    self._give_up(trial)
            left = self._missing(trials)
            fruitless = fruitless + 1 if len(left) == len(trials) else 0
            if fruitless == MAX_LAUNCHES:
                raise UserError(f"the launcher failed: {first_line(died)}") from died
            trials = left

    def _launched(self, trials: Sequence[Trial]) -> Exception | None:
        """Launch trials once; return the error that ended the launcher, if one did."""
        work = tuple(batches(trials, self.processes))
        overrides = [batch[0].overrides for batch in work]
        # One process would be this one.
        workers = self.processes and max(2, min(self.processes, len(work)))
        try:
            with _repeating(self.collect, self.uploader.attempt, self._ask):
                returns = self.launch(SweepTask(self.context, work), overrides, workers)
        except Exception as error:  # joblib and Ray have their own, when a worker dies
            return error
        finally:
            self.collect()
            self._ask(now=True)
        for returned in returns:
            if returned.status.name == "FAILED":
                raise UserError(f"a job could not begin: {first_line(returned._return_value)}")
        return None

    def _give_up(self, trial: Trial) -> None:
        """Keep a failure of a job whose process was killed, twice."""
        if trial.record_in(self.records) is not None:
            return
        reason = "its process was killed (out of memory?)"
        model, now = trial.names["model"], int(1000 * time.time())
        tags = {"digest": trial.digest, "model": model, "reason": reason}
        record = Record("", trial.name, model, "FAILED", reason, {}, {}, tags, {}, now, now)
        self.tracker.queue.put(Entry(self.context.experiment, self.context.sweep, record, {}))
        self.collect()


@contextmanager
def _repeating(*acts: Callable[[], None]) -> Iterator[None]:
    """Call functions again and again in a thread of their own during the body, and only then."""
    stopped = threading.Event()

    def work() -> None:
        try:
            while not stopped.wait(POLL_SECONDS):
                for act in acts:
                    act()
        except BrokenPipeError:  # the main thread meets it too, and ends the program
            return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
