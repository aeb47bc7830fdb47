"""A fault at the n-th call that changes a file or the database costs no result and doubles none."""

import os
import pickle
import shutil
from pathlib import Path

import pytest

from bench.report import page
from bench.studies.fault_injection import (
    FAULTS,
    KILLED,
    count_calls,
    run_undisturbed,
    run_with_fault,
    snapshot,
)
from bench.tracking import MLflowTracker, Sweep
from tests.bench.test_tracking import EXPERIMENT, RESULT, job, put

STRIDE = int(os.environ.get("FAULT_STRIDE", "59"))
"""Every how many calls a fault is injected, at each of four offsets; FAULT_STRIDE=1 tries all."""
JOBS = (1.0, 2.0)
VOLATILE = ("attempt", "owner", "alive_at", "worker", "best", "mlflow.parentRunId")


def small_sweep(results: Path) -> int:
    """Two jobs, computed if they are not known, sent, reported and closed."""
    tracker = MLflowTracker(directory=str(results))
    tracker.prepare(EXPERIMENT)
    sweep = Sweep("s", "dummy: 2 runs", "-m model=dummy", tracker.owner)
    tracker.queue.note(EXPERIMENT, sweep, "RUNNING")
    for asked in map(job, JOBS):
        with tracker.queue.claimed(EXPERIMENT, asked.digest):
            if tracker.queue.settled(EXPERIMENT, asked.digest) is None:
                put(tracker, asked, sweep)
    parent = tracker.begin_sweep(EXPERIMENT, sweep)
    for owner in (None, tracker.owner):
        for _ in tracker.send_waiting({sweep.id: parent}, owner):
            pass
    tracker.reconcile()
    tracker.queue.close_stale()
    page.draw = lambda *_: iter(())  # figures take seconds
    files = [page.write(tracker, parent, results).html]
    best = min(tracker.records(EXPERIMENT, sweep.id), key=lambda record: record.name).run_id
    tracker.log_sweep(parent, RESULT.metrics, files, best)
    tracker.end(parent, "FINISHED")
    tracker.queue.note(EXPERIMENT, sweep, "FINISHED")
    return 0


def write_snapshot(results: Path) -> int:
    left = list(snapshot(results, lambda tag: tag in VOLATILE))
    (results.parent / "snapshot").write_bytes(pickle.dumps(left))
    return 0


def left_in(results: Path) -> list[tuple]:
    assert run_undisturbed(write_snapshot, results) == 0
    return pickle.loads((results.parent / "snapshot").read_bytes())


@pytest.fixture(scope="module")
def undisturbed(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list]:
    """How many calls the sweep makes, and what it leaves."""
    for name in ("first", "undisturbed"):
        results = tmp_path_factory.mktemp(name) / "results"
        results.mkdir()
        shutil.copy(empty_store, results)
        if name == "first":
            small_sweep(results)  # which imports all that it needs before the process is copied
    return count_calls(small_sweep, results), left_in(results)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_loses_nothing_and_doubles_nothing(
    tmp_path: Path, empty_store: Path, undisturbed: tuple[int, list], fault: str
) -> None:
    calls, expected = undisturbed
    assert calls > 80 and any("README.md" in str(what[0]) for what in expected)
    for call in range(1 + FAULTS.index(fault) * STRIDE // len(FAULTS), calls + 1, STRIDE):
        results = tmp_path / str(call) / "results"
        results.mkdir(parents=True)
        shutil.copy(empty_store, results)
        status = run_with_fault(small_sweep, results, fault, call)
        if status == 0:
            assert left_in(results) == expected, f"{fault} at call {call} was not said"
        else:
            assert status == KILLED or fault in ("full", "error")
        assert run_undisturbed(small_sweep, results) == 0, f"after {fault} at call {call}"
        assert left_in(results) == expected, f"after {fault} at call {call}"
