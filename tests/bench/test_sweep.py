"""A sweep from end to end: budgets, failures, what is looked up, what is imported."""

import io
import itertools
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest

from bench import processes
from bench.cli import main
from bench.identity import ROOT
from bench.processes import TimeUp, time_limit
from bench.progress import Progress
from bench.sweep import uploader
from bench.tracking import MLflowTracker, Record

pytestmark = pytest.mark.slow

TINY = ["data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000"]
FIRST = ["-m", *TINY, "model=linear", "model.l2=1,4"]


def statuses(results: Path) -> list[tuple[str, str]]:
    return sorted((r.name, r.status) for r in MLflowTracker(directory=str(results)).all_records())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep."""
    directory = tmp_path_factory.mktemp("results")
    assert main([*FIRST, "keep_model=false", f"results={directory}"]) == 0
    return directory


def test_what_computes_nothing_does_not_wait_for_mlflow(results: Path) -> None:
    again, wrong_key, wrong_split = (
        [*FIRST, "keep_model=false"],
        [*FIRST, "model.l3=2"],
        [*FIRST, "split=none"],
    )
    commands = [[*c, f"results={results}"] for c in (again, wrong_key, wrong_split)]
    code = f"""
import sys
from bench import processes
from bench.cli import main
print("statuses", [main(c) for c in {commands}])
try:
    main(["--help"])
finally:
    print("imported", {{"mlflow", "matplotlib", "optuna"}} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "[2/2] linear l2=4",
        "statuses [0, 2, 2]",
        "== Groups (GROUP=CHOICE) ==",
        "imported set()",
    ):
        assert said in done.stdout, said


def test_a_sweep_is_named_by_what_it_asks(results: Path) -> None:
    client = MLflowTracker(directory=str(results)).client
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {
        "linear over l2: 2 runs", "linear l2=1 (simulated)", "linear l2=4 (simulated)"
    }  # fmt: skip


def test_a_wider_grid_computes_what_is_new(results: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([*FIRST[:-1], "model.l2=1,4,9", "keep_model=false", f"results={results}"]) == 0
    out = capsys.readouterr().out
    assert out.count("(already computed)") == 2 and "[3/3] linear l2=9 (simulated): MSE" in out


def test_the_sweeper_is_a_plugin_of_hydra(
    results: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert main(["--config-name=config", *FIRST, "keep_model=false", f"results={results}"]) == 0
    assert capsys.readouterr().out.count("(already computed)") == 2


def test_a_failed_run_is_an_exit_status_however_hydra_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    command = ["--config-name=config", "-m", *TINY, "model=linear", "split=u1,u2"]
    assert main([*command, "job_seconds=1e-6", f"results={tmp_path}"]) == 1
    assert {status for _, status in statuses(tmp_path)} == {"FAILED"}
    assert "FAILED" in "".join(capsys.readouterr())


def test_rerun_forces_and_the_newest_counts(results: Path) -> None:
    before = len(statuses(results))
    assert main([*FIRST, "rerun=true", "keep_model=false", f"results={results}"]) == 0
    assert len(statuses(results)) == before + 2


def test_search_with_repeats_is_tested_once_a_repeat_and_gone_through_again(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["-m", *TINY, "model=fm_als", "model.n_iter=12", "search=default", "search.startup=2"]
    command += ["budget=6", "seeds=2", "keep_model=false", f"results={tmp_path}"]
    assert main(command) == 0
    first = capsys.readouterr().out
    records = MLflowTracker(directory=str(tmp_path)).all_records()
    tested = [r for r in records if "test/mse_clipped" in r.metrics]
    assert len(tested) == 2 and len({r.params["model.l2"] for r in tested}) == 1
    assert main(command) == 0
    again = capsys.readouterr().out
    assert again.count("(already computed)") == first.count("\n[") == len(records)
    assert len(MLflowTracker(directory=str(tmp_path)).all_records()) == len(records)


def test_budgets_of_time_end_a_job_and_a_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    long = [
        "-m",
        *TINY,
        "model=fm_gibbs",
        "model.n_iter=1000000",
        f"results={tmp_path}",
        "seed=0,1",
    ]
    assert main([*long, "job_seconds=0.3"]) == 1
    out = capsys.readouterr().out
    assert out.count("FAILED fm_gibbs seed=") == 2 and "stopped after 0.3 s" in out
    began = time.monotonic()
    assert main([*long, "sweep_seconds=2"]) == 1
    assert time.monotonic() - began < 60
    assert (
        "Not reached (2): fm_gibbs seed=0 (simulated); fm_gibbs seed=1" in capsys.readouterr().out
    )


@pytest.mark.parametrize(("refused", "waiting"), [(1, ""), (10**6, "2 results wait in")])
def test_what_the_store_does_not_take_at_once_is_sent_later(
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    refused: int,
    waiting: str,
) -> None:
    send, calls = MLflowTracker.send, itertools.count(1)

    def away(*arguments):
        if next(calls) <= refused:
            raise OSError("the server is away")
        return send(*arguments)

    command = [*FIRST, "keep_model=false", f"results={tmp_path}"]
    with monkeypatch.context() as patched:
        patched.setattr(MLflowTracker, "send", away)
        patched.setattr(uploader, "PATIENCE_SECONDS", 0)
        assert main(command) == int(bool(waiting))
    assert waiting in capsys.readouterr().err
    assert main(command) == 0
    assert capsys.readouterr().out.count("(already computed)") == 2
    assert [status for _, status in statuses(tmp_path)] == ["FINISHED"] * 2


def test_fail_fast_leaves_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["-m", *TINY, "model=fm_sgd", "model.learning_rate=1e6,0.02", f"results={tmp_path}"]
    assert main([*command, "fail_fast=true"]) == 1
    out = capsys.readouterr().out
    assert (
        "FAILED fm_sgd learning_rate=1000000.0" in out
        and "Not reached (1): fm_sgd learning_rate=0.02" in out
    )


def test_a_worker_that_is_killed_costs_its_job_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["-m", *TINY, "model=linear", "model.l2=1,4,9", "jobs=2", f"results={tmp_path}"]
    assert main([*command, "model._target_=tests.bench.killer.Killer", "keep_model=false"]) == 1
    said = capsys.readouterr().out
    assert "FAILED linear l2=4 (simulated): its process was killed" in said
    assert [status for _, status in statuses(tmp_path)] == ["FINISHED", "FAILED", "FINISHED"]


def test_a_worker_that_dies_between_jobs_costs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAG", str(tmp_path / "flag"))
    results = tmp_path / "results"
    command = ["-m", *TINY, "model=linear", "model.l2=1,4,9", "jobs=2", f"results={results}"]
    target = "model._target_=tests.bench.killer.DiesBetweenJobs"
    assert main([*command, target, "keep_model=false"]) == 0
    assert (tmp_path / "flag").exists()
    assert [status for _, status in statuses(results)] == ["FINISHED"] * 3


def test_no_more_workers_than_cores_and_memory_bear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "memory_available", lambda: None)
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert processes.workers_at_most(1) == (8, "there are 8 cores, and threads=1")
    assert processes.workers_at_most(3)[0] == 2
    monkeypatch.setattr(processes, "memory_available", lambda: 0)
    assert processes.workers_at_most(1)[0] == 2 and "memory" in processes.workers_at_most(1)[1]


def test_time_limit_is_over_with_its_body() -> None:
    with pytest.raises(TimeUp, match=r"stopped after 0.05 s"), time_limit(0.05):
        time.sleep(5)
    with time_limit(0.05):
        pass
    time.sleep(0.1)


def test_time_is_up_though_a_finalizer_swallowed_the_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow:
        def __del__(self) -> None:
            time.sleep(0.2)

    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    monkeypatch.setattr(processes, "RING_AGAIN", 0.05)
    with pytest.raises(TimeUp), time_limit(0.05):
        time.sleep(5 if Slow() else 0)
    monkeypatch.setattr(processes, "RING_AGAIN", 5.0)
    with pytest.raises(TimeUp), time_limit(0.05):
        Slow()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(number: int, error: float, status: str = "FINISHED") -> Record:
    metrics = {"validation/mse_clipped": error, "time/fit_seconds": 1.0}
    reason = None if status == "FINISHED" else "diverged"
    return Record("", f"run {number}", "m", status, reason, {}, metrics, {"digest": str(number)})


def test_a_pipe_gets_a_plain_line_a_job() -> None:
    pipe = io.StringIO()
    progress = Progress(3, pipe)
    progress.add(record(1, 0.5), computed=False)
    progress.add(record(2, 0.25, "FAILED"))
    progress.add(record(2, 0.25, "FAILED"))
    assert pipe.getvalue().splitlines() == [
        "[1/3] run 1: validation MSE 0.5000, fit 1.00 s (already computed)",
        "[2/3] run 2: FAILED, diverged",
    ]


def test_a_single_run_says_what_it_found_on_a_terminal_too() -> None:
    terminal = Terminal()
    Progress(1, terminal).add(record(1, 0.5))
    assert terminal.getvalue() == "[1/1] run 1: validation MSE 0.5000, fit 1.00 s\n"


def test_a_terminal_gets_one_line_that_is_drawn_anew() -> None:
    terminal = Terminal()
    progress = Progress(4, terminal)
    progress.running = 2
    progress.add(record(1, 0.5), computed=False)
    assert "left" not in terminal.getvalue()
    progress.add(record(2, 0.25))
    assert "\n" not in terminal.getvalue()
    line = terminal.getvalue().rpartition("\r")[2]
    assert line.startswith("[##########          ] 2 of 4 ended, 2 running, 0 failed, ")
    assert ", best 0.2500 run 2; " in line and " left, until " in line
    progress.add(record(3, 0.1, "FAILED"))
    shown = terminal.getvalue()
    assert "run 3: FAILED, diverged\n" in shown and "1 failed" in shown.rpartition("\r")[2]
    progress.close()
    assert terminal.getvalue().rpartition("\r")[0].endswith(" ")


def test_the_live_line_keeps_no_record() -> None:
    progress, ended = Progress(2, Terminal()), record(1, 0.5)
    kept = weakref.ref(ended)
    progress.add(ended)
    del ended
    assert kept() is None
