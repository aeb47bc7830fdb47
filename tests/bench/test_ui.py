"""The dashboard as a person sees it, in headless Chromium."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.identity import ROOT
from bench.report.figures import Point, looks, pareto
from bench.tracking import MLflowTracker, Sweep
from tests.bench.chromium import PROGRAM, Chromium
from tests.bench.test_tracking import EXPERIMENT, RESULT, job, track

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
    ),
]
MODE = "?workflowType=machine_learning"


@pytest.fixture(scope="module")
def dashboard(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path
) -> Iterator[tuple[str, str, str]]:
    """The experiment's page, from the address that `bench.ui` prints, a run's, and that of its
    parent.
    """
    directory = tmp_path_factory.mktemp("results")
    shutil.copy(empty_store, directory)
    tracker = MLflowTracker(directory=str(directory))
    asked = Sweep("s", "2 runs", "model.l2=1,2", "mine")
    for l2 in (1.0, 2.0):
        run_id = track(tracker, job(l2), asked, name=f"dummy l2={l2:g}").run_id
    parent = tracker.begin_sweep(EXPERIMENT, asked)
    figure = directory / "pareto"
    points = {"dummy": Point(1.0, 0.3), "other": Point(2.0, 0.2)}
    pareto(points, looks(points), "MSE").draw(figure)
    tracker.log_sweep(parent, RESULT.metrics, [figure.with_suffix(".png")])
    tracker.end(parent, "FINISHED")
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.ui", "--directory", str(directory)],
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
        server.wait(20)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    with Chromium(tmp_path) as chromium:
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
