"""A sweep under way: batches of a protocol, launched, collected and sent on."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from hydra.plugins.launcher import Launcher

from bench.errors import UserError, first_line
from bench.progress import Progress
from bench.sweep import job
from bench.sweep.job_batch import shares, write
from bench.sweep.protocol import Protocol
from bench.sweep.trials import Trial
from bench.tracking import Experiment, MLflowTracker, Record, Sweep, redacted
from bench.tracking.queue_entry import Entry

POLL_SECONDS = 0.3
ASK_SECONDS = 5.0
"""Between two questions to a server, or two attempts to send to one that was away."""
ENDED = ("FINISHED", "FAILED", "PRUNED")
PATIENCE_SECONDS = 90.0
"""For a server that is away when all is computed, or another sweep that has not sent what it computed."""


class Missing(Exception):
    """There is something to compute."""


class Running:
    """The state of one sweep in the process that started it.

    told : what every job is told of the sweep, as overrides.
    processes : of this machine that the launcher starts; 1, jobs run in this process, one after another; None,
        it starts them somewhere else.
    """

    def __init__(
        self,
        tracker: MLflowTracker,
        experiment: Experiment,
        sweep: Sweep,
        *,
        total: int,
        rerun: bool,
        told: Iterable[str] = (),
        processes: int | None = 1,
        fail_fast: bool = False,
        deadline: float | None = None,
    ) -> None:
        self.tracker = tracker
        self.experiment = experiment
        self.sweep = sweep
        self.told = list(told)
        self.processes = processes
        self.inline = processes == 1
        self.rerun = rerun
        self.fail_fast = fail_fast
        self.deadline = deadline
        self.home = tracker.directory / ".sweeps" / f"{sweep.id}.{sweep.owner.replace(' ', '.')}"
        self.records: dict[str, Record] = {}
        self.known: dict[str, Entry] = {}
        self.parents: dict[str, str] = {}
        self.unsent: str | None = None
        self.unreached: list[str] = []
        self.progress = Progress(total, self._running)
        self._pending: set[str] = set()
        self._stored: Callable[[str], Entry | None] | None = None
        self._greeted = False
        self._seen: set[Path] = set()
        self._try_at = self._ask_at = 0.0
        self._noting, self._sending = threading.RLock(), threading.Lock()

    # -- what is known ------------------------------------------------------------------------------------

    def drive(self, protocol: Protocol, launcher: Launcher | None) -> None:
        """Goes through the protocol.

        Raises
        ------
        Missing : something has to be computed, and `launcher` is None.
        """
        batch = next(protocol)
        try:
            while True:
                missing = self._look_up(batch)
                if missing and launcher is None:
                    raise Missing
                if missing:
                    self._compute(missing, launcher)
                batch = protocol.send(self.records)
        except StopIteration:
            return

    def _look_up(self, batch: list[Trial]) -> list[Trial]:
        """Which of the batch have to be computed."""
        batch = [t for t in {t.digest: t for t in batch}.values() if self._record(t) is None]
        if self.rerun:
            return batch
        self._find(batch, lambda name: self.tracker.queue.settled(self.experiment, name))
        left = [t for t in batch if self._record(t) is None]
        if left and self._stored is None:
            # One search for everything. A store on this disk has nothing that the disk does not know.
            elsewhere = not self.tracker.empty and not (
                self.tracker.local and self.tracker.queue.knows(self.experiment)
            )
            self._stored = self.tracker.settled(self.experiment) if elsewhere else lambda _: None
        if left:
            self._find(left, self._stored)
        return [t for t in batch if self._record(t) is None]

    def _find(self, trials: list[Trial], look: Callable[[str], Entry | None]) -> None:
        for trial in trials:
            for name in filter(None, (trial.digest, trial.pruned_digest)):
                entry = look(name)
                if entry is not None:
                    self.known[name] = entry
                    self.records[name] = entry.record
                    self.progress.known(entry.record)
                    break

    def _record(self, trial: Trial) -> Record | None:
        return self.records.get(trial.digest) or self.records.get(trial.pruned_digest or "")

    def nothing_to_tell(self) -> bool:
        """Whether MLflow has everything already, and was told of the end of this sweep and all others."""
        tag = f"sweep.{self.sweep.id}"
        joined = all(e.record.run_id and tag in e.record.tags for e in self.known.values())
        closed = self.tracker.queue.closed(self.experiment, self.sweep) or not self.sweep.name
        return (
            joined
            and closed
            and self.tracker.queue.all_closed()
            and not any(self.tracker.queue.waiting())
        )

    def tell(self) -> None:
        """Makes MLflow know what it does not: what others left behind, and the jobs that this sweep found."""
        if not self._greeted:
            if self.sweep.name:
                self.parents[self.sweep.id] = self.tracker.begin_sweep(self.experiment, self.sweep)
            for _ in self.tracker.send_waiting(self.parents):
                pass
            self.tracker.reconcile()
            self.tracker.queue.close_stale()
            self._greeted = True
        for digest in list(self.known):
            entry = self.tracker.queue.settled(self.experiment, digest)
            if entry is not None and entry.record.run_id:
                self.tracker.join(entry, self.sweep)
                self.records[digest] = entry.record
                del self.known[digest]

    def tell_if_possible(self) -> None:
        """The same, and what another sweep is about to send is waited for; where the store does not take it,
        `unsent` says why."""
        until = time.monotonic() + PATIENCE_SECONDS
        try:
            self.tell()
            while self.known and time.monotonic() < until:
                time.sleep(POLL_SECONDS)
                self.tell()
        except Exception as error:  # noqa: BLE001  what is not told waits
            self.unsent = redacted(first_line(error))

    # -- what is computed ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        if self.sweep.name:
            self.tracker.queue.note(self.experiment, self.sweep, "RUNNING")
        if not (self.inline or self.tracker.local):
            self.tell()  # jobs that send for themselves find the sweep's run, and none makes another
        self._stopped = threading.Event()
        self._threads = []
        if self.inline:
            job.ended = self.collect
        else:
            # MLflow takes seconds at times: what has ended is seen meanwhile.
            self._threads = [self._again_and_again(self._show), self._again_and_again(self.collect)]
        return self

    def close(self, status: str) -> None:
        """The sweep ends, and its own run if MLflow was told of it."""
        if self.sweep.id in self.parents:
            self.tracker.end(self.parents[self.sweep.id], status)
        if self.sweep.name:
            self.tracker.queue.note(self.experiment, self.sweep, status)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        job.ended = None
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        until = time.monotonic() + (PATIENCE_SECONDS if kind is None else 0)
        self._try_at = 0.0
        self.collect()
        while self.unsent is not None and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
            self.collect()
        self.progress.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def _compute(self, trials: list[Trial], launcher: Launcher) -> None:
        """Launches the trials; again, and at last one by one, those that a process which died took along."""
        self._pending = {t.digest for t in trials}
        suspects: list[Trial] = []
        left = trials
        while left and not self._over():
            died = self._launch(launcher, left)
            self.collect(finally_ask=not self.inline)
            left = [t for t in left if self._record(t) is None]
            if died is None:
                break
            cut = [
                t for t in left if self.tracker.queue.running(self.experiment, t.digest) is False
            ]
            if not cut:
                raise UserError(f"the launcher failed: {first_line(died)}") from died
            suspects += cut
            left = [t for t in left if t not in cut]
        for trial in suspects:
            if not self._over() and (died := self._launch(launcher, [trial])) is not None:
                self._lost(trial)
        self.collect()
        self._pending = set()
        self.unreached += [t.name for t in trials if self._record(t) is None]

    def _launch(self, launcher: Launcher, trials: list[Trial]) -> Exception | None:
        """The error that ended the launcher, if one did; a job never does."""
        if self.processes is None:
            told = [
                [*t.overrides, *self.told, f"sweep.limits={_mapping(t.limits)}"] for t in trials
            ]
        else:
            parts = shares(trials, self.processes)
            told = [
                [*p[0].combination, *self.told, f"sweep.share={write(self.home, p)}"] for p in parts
            ]
        try:
            returns = launcher.launch(told, initial_job_idx=len(self.records))
        except Exception as error:  # noqa: BLE001  joblib and Ray have their own, when a worker dies
            return error
        for returned in returns:
            if returned.status.name == "FAILED":
                raise UserError(f"a job could not begin: {first_line(returned._return_value)}")
        return None

    def _lost(self, trial: Trial) -> None:
        """A job whose process was killed, twice."""
        reason = "its process was killed (out of memory?)"
        tags = {"digest": trial.digest, "model": trial.model, "reason": reason}
        record = Record("", trial.name, trial.model, "FAILED", reason, {}, {}, tags)
        now = int(1000 * time.time())
        entry = Entry(self.experiment, self.sweep, record, now, now, {})
        self.tracker.queue.put(entry, lambda folder: None)

    def _over(self) -> bool:
        stopped = self.fail_fast and any(r.status == "FAILED" for r in self.records.values())
        return stopped or (self.deadline is not None and time.time() >= self.deadline)

    def _running(self) -> int:
        return sum(
            bool(self.tracker.queue.running(self.experiment, d))
            for d in self._pending - set(self.records)
        )

    # -- what has ended -----------------------------------------------------------------------------------

    def _again_and_again(self, act: Callable[[], None]) -> threading.Thread:
        """A thread that does it until the sweep has ended."""

        def work() -> None:
            while not self._stopped.wait(POLL_SECONDS):
                act()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def _show(self) -> None:
        self._note_ended()
        self.progress.show()

    def collect(self, finally_ask: bool = False) -> None:
        """Takes note of the jobs that have ended since, and sends them on."""
        with self._sending:
            waiting = self._note_ended()
            if waiting and time.monotonic() >= self._try_at:
                self._send(waiting)
            self._note_others(finally_ask)

    def _note_ended(self) -> list[tuple[Path, Entry]]:
        """The jobs of this sweep that wait to be sent."""
        with self._noting:
            waiting = [
                (path, entry)
                for path, entry in self.tracker.queue.waiting()
                if entry.sweep.owner == self.sweep.owner
            ]
            for path, entry in waiting:
                if path not in self._seen:
                    self._seen.add(path)
                    self._note(entry.record)
            return waiting

    def _note(self, record: Record) -> None:
        with self._noting:
            self.records[record.digest] = record
            self.progress.ended(record)

    def _send(self, waiting: list[tuple[Path, Entry]]) -> None:
        try:
            if not self._greeted:
                self.tell()
            for path, entry in waiting:
                sent = self.tracker.send(path, entry, self.parents)
                if sent is not None:
                    self.records[entry.record.digest] = sent
            self.unsent = None
        except Exception as error:  # noqa: BLE001  the entries wait
            self.unsent = redacted(first_line(error))
            self._try_at = time.monotonic() + ASK_SECONDS

    def _note_others(self, now: bool) -> None:
        """Jobs that another process computed, or that ran where the disk is another."""
        for digest in () if self.rerun else self._pending - set(self.records):
            entry = self.tracker.queue.settled(self.experiment, digest)
            if entry is not None:
                self.known[digest] = entry
                self._note(entry.record)
        if self.inline or self.tracker.local or not self._pending - set(self.records):
            return
        if now or time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + ASK_SECONDS
            try:
                for record in self.tracker.records(self.experiment, self.sweep.id):
                    own = record.tags.get("owner") == self.sweep.owner and record.status in ENDED
                    if record.digest not in self.records and (
                        own or (record.settled and not self.rerun)
                    ):
                        self._note(record)
            except Exception as error:  # noqa: BLE001  it is asked again
                self.unsent = redacted(first_line(error))


def _mapping(pairs: Iterable[tuple[object, object]]) -> str:
    """As it is written on Hydra's command line."""
    return "{" + ",".join(f"{key}:{value!r}" for key, value in pairs) + "}"
