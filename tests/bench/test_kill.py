"""A sweep that is killed at any moment and started again ends as one that was not."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.identity import ROOT
from bench.tracking import MLflowTracker

pytestmark = pytest.mark.slow
SWEEP = ["-m", "data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000"]
SWEEP += ["model=linear,fm_sgd", "model.l2=1,4,9"]
MOMENTS = int(os.environ.get("KILL_MOMENTS", "2"))
"""How many random moments, each a kill and a new start; KILL_MOMENTS=20 tries twenty."""


def command(results: Path, jobs: int) -> list[str]:
    return [sys.executable, "-m", "bench", *SWEEP, f"jobs={jobs}", f"results={results}"]


def table(results: Path) -> dict[str, tuple[float, float]]:
    """Errors by run, to the last digit; every run FINISHED once, none RUNNING."""
    tracker = MLflowTracker(directory=str(results))
    errors = {}
    for experiment in tracker.client.search_experiments():
        for run in tracker.search([experiment.experiment_id], "attributes.status != 'DELETED'"):
            assert run.info.status != "RUNNING", run.info.run_name
            if run.info.status == "FINISHED" and "digest" in run.data.tags:
                metrics = run.data.metrics
                assert run.info.run_name not in errors
                errors[run.info.run_name] = (
                    metrics["validation/mse_clipped"],
                    metrics["test/mse_raw"],
                )
    assert not list(tracker.queue.waiting())
    return errors


def of_the_sweep(results: Path) -> list[int]:
    """Processes that were told of this folder."""
    mark, found = str(results).encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "cmdline").read_bytes() + (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[dict, float]:
    results = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(empty_store, results)
    began = time.monotonic()
    subprocess.run(command(results, 1), check=True, capture_output=True, cwd=ROOT, timeout=300)
    return table(results), time.monotonic() - began


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_at_a_random_moment(
    tmp_path: Path, undisturbed: tuple[dict, float], empty_store: Path, moment: int
) -> None:
    expected, seconds = undisturbed
    shutil.copy(empty_store, tmp_path)
    stop = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[moment % 3]
    jobs = 2 - moment % 2
    sweep = subprocess.Popen(
        command(tmp_path, jobs),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=os.environ | {"KILL_TEST": str(tmp_path)},
    )
    time.sleep(random.Random(moment).uniform(0, seconds))
    sweep.send_signal(stop)
    sweep.wait(60)
    deadline = time.monotonic() + 20
    while of_the_sweep(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not of_the_sweep(tmp_path)
    done = subprocess.run(
        command(tmp_path, jobs), check=False, capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert table(tmp_path) == expected


def test_two_sweeps_begin_at_once_in_an_empty_folder(
    tmp_path: Path, undisturbed: tuple[dict, float]
) -> None:
    both = [
        subprocess.Popen(command(tmp_path, 1), stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    said = [sweep.communicate(timeout=300)[0] for sweep in both]
    assert [sweep.returncode for sweep in both] == [0, 0], said
    assert table(tmp_path) == undisturbed[0]


def test_a_worker_whose_sweep_was_killed_before_it_began_ends() -> None:
    code = (
        "import sys; from bench.processes import begin_worker; "
        "begin_worker(int(sys.argv[1])); print('goes on')"
    )
    for parent, said in ((os.getpid(), "goes on\n"), (1, "")):
        done = subprocess.run(
            [sys.executable, "-c", code, str(parent)],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert (done.returncode, done.stdout) == (0 if said else 1, said), done.stderr
