"""A small sweep that meets faults, in each way in which jobs may run and results be kept."""

from __future__ import annotations

import gc
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from copy import deepcopy
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from unittest.mock import patch

from hydra.core.utils import JobReturn, JobStatus
from sqlalchemy import event
from sqlalchemy.engine import Connection as DatabaseConnection
from sqlalchemy.engine import Engine

from bench.errors import exit_status
from bench.measure import Measured
from bench.sweep import plan
from bench.sweep.compose import Plan
from bench.sweep.job import SweepTask
from bench.sweep.sweeper import run_sweep
from bench.tracking.local_store import create_database
from tests.reliability.fault_injection import Ended, Injector, forked, snapshot
from tests.reliability.store_server import StoreServer

MODES = {
    "here": ("jobs=1", "in the sweep's own process"),
    "workers": ("jobs=2", "in two worker processes"),
    "server": (
        "tracking.uri=http://127.0.0.1:{port}",
        "in its own process, results kept by a server",
    ),
}
"""Where jobs run: the option, and in words."""
DATA = ("data=planted", "data.n_users=40", "data.n_items=40", "data.n_ratings=800")
COMMAND = (*DATA, "model=linear", "model.l2=1,4", "keep_model=false")
VOLATILE = ("attempt", "owner", "worker", "best", "mlflow.", "sweep", "data.path")
"""Beginnings of tags that differ from one sweep to the next."""
SURVIVED, NOT_REACHED = "survived", "not reached"
N_WORKERS = 8
IMPATIENT = ("PATIENCE_SECONDS", "RETRY_SECONDS", "POLL_SECONDS")


class SameCost(Measured):
    """Every fit takes the same time and memory, so that reports can be compared."""

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for name in Measured.__annotations__:
            setattr(self, name, 0.5)


class FaultySweep:
    """Two small fits, sent and reported; `trial` runs them with a fault and again without.

    `mode` is one of MODES; everything is written into `folder`. `calls` are those that an
    undisturbed sweep makes, in all its processes.
    """

    def __init__(self, mode: str, folder: Path) -> None:
        self.mode = mode
        self.folder, self.results = folder, folder / "trial" / "results"
        self._n_workers = N_WORKERS if mode == "workers" else 0
        self._server = StoreServer(self.database, self._artifacts) if mode == "server" else None
        port = self._server.port if self._server else 0
        overrides = [*COMMAND, MODES[mode][0].format(port=port), f"results={self.results}"]
        self._planned = overrides, plan(overrides, multirun=True)
        self._engines: set[Engine] = set()
        event.listen(Engine, "engine_connect", self._note_engine)
        create_database(folder / "mlflow.db")
        self._import_everything()
        gc.collect()
        gc.freeze()  # what copies of the process never look at need not be copied
        injector = Injector(self.results)
        self._expected: list = []
        with self._served():
            ended = self._run(injector)
        if ended.status != 0:
            raise RuntimeError(f"the undisturbed sweep failed: {ended.said}")
        self.calls, self._expected = injector.count.value, self.left()

    def trial(self, fault: str, call: int) -> str:
        """Return `SURVIVED`, `NOT_REACHED`, or what is wrong after a fault and a second sweep."""
        injector = Injector(self.results, fault, call)
        with self._served():
            first = self._run(injector)
            if not injector.reached:
                return NOT_REACHED
            if first.status == 0 and self.left() != self._expected:
                return "another result with status 0"
            second = self._run(None)
        if second.status != 0:
            return f"the same command fails: {second.said[:200]}"
        return SURVIVED if self.left() == self._expected else "another result in the end"

    def left(self) -> list:
        """Return what the sweep has left in its store and its reports."""
        reports = self.results / "sweeps"
        state = self.results.glob("outbox/[!.]*")
        return [*snapshot(self.database, self._artifacts, reports, VOLATILE), *state]

    @property
    def database(self) -> Path:
        return (self.folder / "trial" if self.mode == "server" else self.results) / "mlflow.db"

    @property
    def _artifacts(self) -> Path:
        return self.database.with_name("mlartifacts")

    def _note_engine(self, connection: DatabaseConnection) -> None:
        self._engines.add(connection.engine)

    def _import_everything(self) -> None:
        """Run the sweep in this process, so that copies of it need not import or connect."""
        self._empty()
        with ExitStack() as stack:
            if self._server is not None:
                server = self._server.listening()
                thread = Thread(target=server.serve_forever, args=(0.01,))
                thread.start()
                stack.callback(thread.join)
                stack.callback(server.shutdown)
            stack.enter_context(redirect_stdout(io.StringIO()))
            self._sweep(0)

    def _run(self, injector: Injector | None) -> Ended:
        log = self.folder / "log"
        return forked(lambda: self._sweep(self._n_workers), log, injector)

    def _empty(self) -> None:
        """Begin with a store that has MLflow's tables, whose creation takes seconds."""
        shutil.rmtree(self.folder / "trial", ignore_errors=True)
        self.results.mkdir(parents=True)
        shutil.copy(self.folder / "mlflow.db", self.database)

    def _sweep(self, n_workers: int) -> int:
        overrides, asked = self._planned
        with ExitStack() as stack:
            stack.enter_context(patch("bench.run.Measured", SameCost))
            stack.enter_context(patch("bench.report.page.drawn", lambda *_: iter(())))
            stack.enter_context(patch("bench.tracking.run_writer.code_changes", lambda: "+x"))
            for name in IMPATIENT:
                stack.enter_context(patch(f"bench.sweep.uploader.{name}", 0.02))
            stack.enter_context(patch("bench.sweep.scheduler.POLL_SECONDS", 0.02))
            workers = Workers(asked, n_workers)

            def command() -> int:
                run_sweep(asked, overrides, True, workers.launch)
                return 0

            return exit_status(command)

    @contextmanager
    def _served(self) -> Iterator[None]:
        """Begin with an empty store for the body; a server has a process of its own."""
        self._empty()
        for engine in self._engines:
            engine.dispose()  # no copy of the process may use its connections
        if self._server is not None:
            self._server.start()
        try:
            yield
        finally:
            if self._server is not None:
                self._server.stop()


class Workers:
    """Forked before there are threads; two run the batches of a launch, as joblib's would.

    The death of one ends a launch with an error, and the other ends what it has begun.
    """

    def __init__(self, planned: Plan, n: int) -> None:
        self._configurations = {c.overrides: c.cfg for c in planned.combinations}
        self._idle: list[Connection] = []
        for _ in range(n):
            here, there = Pipe()
            if os.fork() == 0:
                for connection in (*self._idle, here):
                    connection.close()
                self._work(there)
            there.close()
            self._idle.append(here)

    def launch(
        self, task: SweepTask, overrides: Sequence[Sequence[str]], workers: int | None
    ) -> Sequence[JobReturn]:
        """Run the batches of a task; raise EOFError where a process ended instead."""
        busy = [self._idle.pop() for _ in range(2)]
        for begin, connection in enumerate(busy):
            connection.send((task, range(begin, len(overrides), 2)))
        errors = [error for connection in busy for error in connection.recv()]
        status = {True: JobStatus.COMPLETED, False: JobStatus.FAILED}
        return [JobReturn(_return_value=of, status=status[of is None]) for of in errors]

    def _work(self, asked: Connection) -> None:
        """Run what is asked, and end when nobody asks any more."""
        try:
            task, numbers = asked.recv()
            asked.send([self._outcome(task, number) for number in numbers])
        except (EOFError, BrokenPipeError):
            pass
        finally:
            os._exit(0)

    def _outcome(self, task: SweepTask, number: int) -> Exception | None:
        cfg = deepcopy(self._configurations[task.batches[number][0].overrides])
        try:
            task.run(number, cfg)
        except Exception as error:
            return error
        return None
