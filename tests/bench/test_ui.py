"""The dashboard as a person sees it, in headless Chromium."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.identity import ROOT
from bench.report.figures.style import Drawing
from bench.tracking import MLflowTracker, Sweep
from bench.ui import main
from tests.bench.chromium import PROGRAM, Chromium
from tests.bench.test_tracking import EXPERIMENT, RESULT, job, track

pytestmark = pytest.mark.slow
MODE = "?workflowType=machine_learning"


@pytest.fixture(scope="module")
def dashboard(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path
) -> Iterator[tuple[str, str, str]]:
    """The experiment's page, from the address that `bench.ui` prints, a run's, and that of its
    parent.
    """
    if PROGRAM is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    directory = tmp_path_factory.mktemp("results")
    shutil.copy(empty_store, directory)
    tracker = MLflowTracker(directory=str(directory))
    asked = Sweep("s", "2 runs", "model.l2=1,2", "mine")
    for l2 in (1.0, 2.0):
        run_id = track(tracker, job(l2), asked, name=f"dummy l2={l2:g}").run_id
    parent = tracker.begin_sweep(EXPERIMENT, asked)
    figure = directory / "pareto"
    line = Drawing("A line", "pareto", (4, 3), lambda figure: figure.add_subplot().plot([1, 2]))
    line.draw(figure)
    tracker.log_sweep(parent, RESULT.metrics, [figure.with_suffix(".png")])
    tracker.end(parent, "FINISHED")
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.ui", "--results", str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        page = re.fullmatch(r"question: (http://127\.0\.0\.1:\d+/\S+)\n", server.stdout.readline())[
            1
        ]
        yield page, *(re.sub(r"/runs.*", f"/runs/{run}{MODE}", page) for run in (run_id, parent))
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


def test_leaderboard_shows_runs_with_readable_names_and_metrics(
    dashboard: tuple[str, str, str], browser: Chromium
) -> None:
    browser.open(dashboard[0])
    browser.wait_for_text(
        "Question", "dummy l2=1", "dummy l2=2", "2 runs", "validation/mse_clipped", "0.142"
    )


def test_run_shows_its_parameters_metrics_and_curves(
    dashboard: tuple[str, str, str], browser: Chromium
) -> None:
    browser.open(dashboard[1])
    browser.wait_for_text("dummy l2=2", "model.l2", "test/mse_clipped", "curve/validation_mse")
    browser.wait_for_text("tiny (simulated)", "0.300")


def test_run_shows_its_learning_curve(dashboard: tuple[str, str, str], browser: Chromium) -> None:
    browser.open(dashboard[1].replace("?", "/model-metrics?"))
    browser.wait_for_text("dummy l2=2 (curve/train_mse)", "dummy l2=2 (curve/validation_mse)")
    browser.wait_for("""[...document.querySelectorAll("path.js-line")]
        .map(line => line.getBoundingClientRect())
        .filter(box => box.width > 100 && box.height > 100).length >= 2""")


def test_parent_shows_its_children_and_a_figure(
    dashboard: tuple[str, str, str], browser: Chromium
) -> None:
    browser.open(dashboard[2])
    browser.wait_for_text(
        "2 runs", "Child runs", "dummy l2=1", "dummy l2=2", "best/test/mse_clipped"
    )
    browser.open(dashboard[2].replace("?", "/artifacts/pareto.png?"))
    browser.wait_for(
        """[...document.querySelectorAll('img[src^="blob:"]')].some(i => i.naturalWidth > 100)"""
    )


def test_a_port_in_use_is_one_sentence(store: MLflowTracker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(UserError, match=rf"^port {port} is in use: give another --port"):
            main(["--results", str(store.directory), "--port", port])


@pytest.mark.skipif(sys.platform != "linux", reason="what ends with its parent is Linux's")
def test_no_server_outlives_a_killed_dashboard() -> None:
    code = (
        "import subprocess, sys; from bench.ui import die_with_parent; "
        "server = subprocess.Popen(['sleep', '60'], preexec_fn=die_with_parent); "
        "print(server.pid, flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as dashboard:
        server = int(dashboard.stdout.readline())
        os.kill(server, 0)
        dashboard.kill()
    deadline = time.monotonic() + 20
    while is_running(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
