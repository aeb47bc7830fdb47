"""What runs the trials of a sweep: batch after batch, in this process or by Hydra's launcher."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field

from hydra.core.utils import JobReturn

from bench.errors import UserError, first_line
from bench.sweep.job import JobContext, SweepTask, batches, run_batch
from bench.sweep.protocol import Protocol
from bench.sweep.results import Results
from bench.sweep.trials import Trial
from bench.sweep.uploader import POLL_SECONDS, Uploader
from bench.tracking import MLflowTracker, Record
from bench.tracking.run_record import Entry

MAX_LAUNCHES = 3
"""Launches in a row that may end without a result."""

Launch = Callable[[SweepTask, Sequence[Sequence[str]], int | None], Sequence[JobReturn]]
"""Runs a job for each list of overrides, by so many processes of this machine; None: elsewhere."""


@dataclass(eq=False)
class Scheduler:
    """Runs a protocol: looks trials up, has the missing ones computed, and sends it the records.

    Of the `processes` that compute on this machine 1 is this one, which runs one trial after
    another; None: the launcher decides where jobs run. `unreached` are the names of trials that
    were not computed; `computed` says whether any was to be.
    """

    context: JobContext
    tracker: MLflowTracker
    results: Results
    uploader: Uploader
    launch: Launch
    processes: int | None
    unreached: list[str] = field(default_factory=list)
    computed: bool = False

    def run(self, protocol: Protocol) -> None:
        """Run the protocol to its end."""
        with ExitStack() as stack:
            trials = next(protocol)
            while True:
                missing = self.results.look_up(trials)
                if missing and not self.computed:
                    self.computed = True
                    stack.enter_context(self._computing())
                if missing:
                    self._compute(missing)
                try:
                    trials = protocol.send(self.results.records)
                except StopIteration:
                    return

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Keep the sweep's folder and the threads that collect and send for the body."""
        home, elsewhere = self.context.home, self.processes != 1
        home.mkdir(parents=True, exist_ok=True)
        if self.context.sweep.name:
            self.tracker.queue.note(self.context.experiment, self.context.sweep, "RUNNING")
        if elsewhere and not self.tracker.local:
            self.uploader.begin()  # before jobs send for themselves: each makes the sweep's run
        try:
            with ExitStack() as stack:
                # MLflow takes seconds at times: what has ended is shown meanwhile.
                sent = (self.uploader.attempt, self.uploader.ask)
                for acts in ((self.results.collect,), sent) if elsewhere else ():
                    stack.enter_context(_repeating(acts))
                yield
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def _compute(self, trials: list[Trial]) -> None:
        self.results.pending = {trial.digest for trial in trials}
        self.results.show()
        if self.processes == 1:
            self._compute_here(trials)
        else:
            self._compute_launched(trials)
        self.results.pending = set()
        self.unreached += [trial.name for trial in self.results.missing(trials)]

    def _compute_here(self, trials: list[Trial]) -> None:
        configurations = {trial.overrides: trial.cfg for trial in trials}
        for batch in batches(trials, 1):
            cfg = deepcopy(configurations[batch[0].overrides])
            assert cfg is not None
            for _ in run_batch(self.context, self.tracker, cfg, batch):
                self.results.collect()
                self.uploader.attempt()  # between fits, so that it costs none of them time

    def _compute_launched(self, trials: list[Trial]) -> None:
        """Launch trials; again those that a dead process took along, and what it ran, alone."""
        suspects: list[Trial] = []
        left, fruitless = trials, 0
        while left and not self.context.over:
            died = self._launched(left)
            if died is None:
                break
            missing = self.results.missing(left)
            suspects += [trial for trial in missing if self._was_cut_off(trial)]
            remaining = [trial for trial in missing if trial not in suspects]
            fruitless = fruitless + 1 if len(remaining) == len(left) else 0
            if fruitless == MAX_LAUNCHES:
                raise UserError(f"the launcher failed: {first_line(died)}") from died
            left = remaining
        for trial in suspects:
            if not self.context.over and self._launched([trial]) is not None:
                self._give_up(trial)

    def _launched(self, trials: Sequence[Trial]) -> Exception | None:
        """Launch trials once; return the error that ended the launcher, if one did."""
        work = tuple(batches(trials, self.processes))
        overrides = [batch[0].overrides for batch in work]
        # One process would be this one.
        workers = self.processes and max(2, min(self.processes, len(work)))
        try:
            returns = self.launch(SweepTask(self.context, work), overrides, workers)
        except Exception as error:  # joblib and Ray have their own, when a worker dies
            return error
        finally:
            self.results.collect()
            self.uploader.ask(now=True)
        for returned in returns:
            if returned.status.name == "FAILED":
                raise UserError(f"a job could not begin: {first_line(returned._return_value)}")
        return None

    def _was_cut_off(self, trial: Trial) -> bool:
        return self.tracker.queue.running(self.context.experiment, trial.digest) is False

    def _give_up(self, trial: Trial) -> None:
        """Keep a failure of a job whose process was killed, twice."""
        if trial.record_in(self.results.records) is not None:
            return
        reason = "its process was killed (out of memory?)"
        tags = {"digest": trial.digest, "model": trial.model, "reason": reason}
        now = int(1000 * time.time())
        record = Record("", trial.name, trial.model, "FAILED", reason, {}, {}, tags, {}, now, now)
        self.tracker.queue.put(Entry(self.context.experiment, self.context.sweep, record, {}))
        self.results.collect()


@contextmanager
def _repeating(acts: Sequence[Callable[[], None]]) -> Iterator[None]:
    """Call functions again and again in a thread of their own."""
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
