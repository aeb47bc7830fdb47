"""What a sweep leaves after faults of machine and disk, and how malformed files are read."""

from __future__ import annotations

import pickle
import shutil
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from bench.data import splits
from bench.data.dataset import Dataset
from bench.data.fuzzing import fuzz
from bench.report import page
from bench.run import Job, Result
from bench.studies.fault_injection import (
    FAULTS,
    KILLED,
    count_calls,
    run_undisturbed,
    run_with_fault,
    snapshot,
)
from bench.studies.study import Bar, Context, Part, Section, Study, Values
from bench.tables import markdown_table
from bench.tracking import Experiment, MLflowTracker, Sweep
from bench.tracking.local_store import create_database
from bench.tracking.queue_entry import entry_of, write_files

STRIDE = 7
"""A fault meets every how many calls; each fault begins at an offset of its own."""
N_FILES = 20_000
SURVIVED = "survived"
EXPERIMENT = Experiment("reliability", "# Reliability")
RESULT = Result(
    metrics={"test/mse_clipped": 0.3, "validation/mse_clipped": 1 / 7},
    rows=np.array([2, 0]),
    prediction=np.array([0.1, np.pi]),
    curves={"train_mse": np.linspace(2, 1, 1200), "validation_mse": np.linspace(3, 2, 1200)},
)
VOLATILE = ("attempt", "owner", "alive_at", "worker", "best", "mlflow.parentRunId")
"""Tags that differ from one sweep to the next."""
FAULT_NAMES = {
    "kill": "killed before the call",
    "power": "loss of power: what was not synchronized is gone",
    "full": "the disk is full from the call on",
    "error": "the call fails once: input/output error",
}


def small_sweep(results: Path) -> int:
    """Write down two jobs that are not finished yet, send, report and close them; return 0."""
    tracker = MLflowTracker(directory=str(results))
    tracker.prepare(EXPERIMENT)
    sweep = Sweep("s", "dummy: 2 runs", "-m model=dummy", tracker.owner)
    tracker.queue.note(EXPERIMENT, sweep, "RUNNING")
    for l2 in (1.0, 2.0):
        _put(tracker, _job(l2), sweep, began=l2)
    parent = tracker.begin_sweep(EXPERIMENT, sweep)
    for owner in (None, tracker.owner):
        for _ in tracker.send_waiting({sweep.id: parent}, owner):
            pass
    tracker.reconcile()
    tracker.queue.close_stale()
    with patch.object(page, "draw", lambda *_: iter(())):  # figures take seconds
        files = [page.write(tracker, parent, results).html]
    best = min(tracker.records(EXPERIMENT, sweep.id), key=lambda record: record.name).run_id
    tracker.log_sweep(parent, RESULT.metrics, files, best)
    tracker.end(parent, "FINISHED")
    tracker.queue.note(EXPERIMENT, sweep, "FINISHED")
    return 0


def _job(l2: float) -> Job:
    rows = pd.DataFrame({"user": [1, 1, 2], "item": [7, 8, 7], "rating": [1.0, 2.5, 1 / 3]})
    dataset = Dataset("tiny", rows, (0.0, 5.0), "three rows made here", simulated=True)
    names = {"data": "tiny", "split": "none", "features": "ids", "model": "dummy"}
    config = {"model": {"l2": l2}, "seed": 3}
    return Job(names, config, dataset, splits.random, ("ids",), BaseEstimator())


def _put(tracker: MLflowTracker, job: Job, sweep: Sweep, began: float) -> None:
    """Write down what a worker does of a job that is not finished."""
    with tracker.queue.claimed(EXPERIMENT, job.digest):
        if tracker.queue.settled(EXPERIMENT, job.digest) is None:
            entry = entry_of(
                job,
                RESULT,
                experiment=EXPERIMENT,
                sweep=sweep,
                name="dummy",
                digest=job.digest,
                began=began,
            )
            tracker.queue.put(entry, lambda folder: write_files(folder, job, RESULT))


def left_in(results: Path) -> list[tuple]:
    """Return the snapshot of a results folder, read by a process of its own."""
    file = results.parent / "snapshot"

    def write(folder: Path) -> int:
        file.write_bytes(pickle.dumps(list(snapshot(folder, lambda tag: tag in VOLATILE))))
        return 0

    if run_undisturbed(write, results) != 0:
        raise RuntimeError(f"what is left in {results} cannot be read")
    return pickle.loads(file.read_bytes())


def undisturbed(store: Path, folder: Path) -> tuple[int, list[tuple]]:
    """Return how many calls the sweep makes from an empty `store` on, and what it leaves."""
    small_sweep(_copied(store, folder / "imports"))  # before the process is copied
    results = _copied(store, folder / "undisturbed")
    return count_calls(small_sweep, results), left_in(results)


def trial(store: Path, folder: Path, fault: str, call: int, expected: list[tuple]) -> str:
    """Return `SURVIVED`, or what is wrong after a fault at a call and a second sweep."""
    results = _copied(store, folder)
    status = run_with_fault(small_sweep, results, fault, call)
    if status == 0 and left_in(results) != expected:
        return "another result with status 0"
    if fault in ("kill", "power") and status != KILLED:
        return f"no fault: status {status}"
    if run_undisturbed(small_sweep, results) != 0:
        return "the same command fails"
    return SURVIVED if left_in(results) == expected else "another result after the same command"


def _copied(store: Path, folder: Path) -> Path:
    results = folder / "results"
    results.mkdir(parents=True)
    shutil.copy(store, results)
    return results


def measure_faults(fault: str, _: Context) -> Mapping[str, object]:
    """Return the number of calls and of trials, and the outcome of each trial that failed."""
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        store = folder / "mlflow.db"
        create_database(store)
        calls, expected = undisturbed(store, folder)
        failed, tried = {}, range(1 + FAULTS.index(fault) * STRIDE // 4, calls + 1, STRIDE)
        for call in tried:
            outcome = trial(store, folder / str(call), fault, call, expected)
            shutil.rmtree(folder / str(call))
            if outcome != SURVIVED:
                failed[str(call)] = outcome
    return {"calls": calls, "stride": STRIDE, "trials": len(tried), "failed": failed}


def measure_files(_: Context) -> Mapping[str, object]:
    """Return how many files were read, and the findings by kind."""
    return {"files": N_FILES, "findings": Counter(finding.kind for finding in fuzz(N_FILES))}


def fault_section(values: Values) -> list[Section]:
    """Write the section of the faults."""
    measured = {fault: values[fault] for fault in FAULTS if fault in values}
    rows, bars, failures = [], [], []
    for fault, of in measured.items():
        n, failed = of["trials"], of["failed"]
        rows.append([FAULT_NAMES[fault], *map(str, (of["calls"], n, n - len(failed)))])
        bars.append(Bar(f"{fault}: trials that did not survive", np.array([len(failed)]), high=0))
        failures += [f"- {fault} at call {call}: {outcome}." for call, outcome in failed.items()]
    header = ["fault", "calls of the sweep", "trials", "survived"]
    stride = next(iter(measured.values()))["stride"]
    text = f"""\
{markdown_table(header, rows)}

A call changes a file below the results folder or the database. A trial injects a fault at one call
and starts the same sweep again. It survived if the second start ends with status 0, and all runs,
parameters, metrics, files and the report's bytes are those of an undisturbed sweep; and if, where
the first start ended with status 0 in spite of the fault, they were that already.

Every {stride}th call was tried, each fault from an offset of its own: calls between are not covered
here. The sweep writes down, sends and reports two made-up results in one process. Not covered:
fits, figures, launchers with several processes, a server. SQLite synchronizes its own files, which
loss of power leaves as they are."""
    return [Section("Faults", "\n\n".join([text, "\n".join(failures)]).rstrip(), bars)]


def file_section(values: Values) -> list[Section]:
    """Write the section of the files."""
    n, findings = values["files"]["files"], values["files"]["findings"]
    kinds = ("traceback", "misread", "refused though valid")
    bars = [Bar(f"files: {kind}", np.array([findings.get(kind, 0)]), high=0) for kind in kinds]
    rows = [[kind, str(findings.get(kind, 0))] for kind in kinds]
    text = f"""\
{markdown_table(["finding", "files"], rows)}

{n:,} files of one to six ratings with five separators were drawn from one seed; about half were
damaged in one to three places. What the loader reads must equal what Python's `csv`, `int` and
`float` read; a damaged file may be refused. Not covered: Parquet, svmlight, archives, `fm.load`."""
    return [Section("Malformed files", text, bars)]


STUDY = Study(
    "reliability",
    "What survives faults and malformed files?",
    "faults at calls to disk and database, malformed files",
    "Each count is of one run of the study; a bar is that nothing fails. Linux only.",
    (
        Part("Faults", {fault: partial(measure_faults, fault) for fault in FAULTS}, fault_section),
        Part("Malformed files", {"files": measure_files}, file_section),
    ),
)
