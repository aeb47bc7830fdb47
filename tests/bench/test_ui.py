"""The dashboard as a person sees it, in headless Chromium."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from bench.figures import Point, pareto
from bench.identity import ROOT
from bench.processes import this_process
from bench.track import MLflowTracker, Sweep
from tests.bench.test_track import EXPERIMENT, RESULT, job, track

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
    ),
]
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-dev-shm-usage --window-size=2400,1200 --virtual-time-budget=30000 --timeout=60000"

CHARTS, LINE = np.s_[300:520, 230:1400], (34, 114, 180)
"""Where the charts page has its first row of charts, and the colour of a run's line."""
MODE = "?workflowType=machine_learning"


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """The experiment's page, from the address that `bench.ui` prints, a run's, and that of its parent."""
    directory = tmp_path_factory.mktemp("results")
    tracker = MLflowTracker(directory=str(directory))
    asked = Sweep("s", "2 runs", "model.l2=1,2", this_process())
    for l2 in (1.0, 2.0):
        run_id = track(tracker, job(l2), asked, name=f"dummy l2={l2:g}").run_id
    parent = tracker.begin_sweep(EXPERIMENT, asked)
    figure = directory / "pareto"
    pareto({"dummy": Point(1.0, 0.3), "other": Point(2.0, 0.2)}, figure)
    tracker.log_sweep(parent, RESULT.metrics, [figure.with_suffix(".png")])
    tracker.end(parent, "FINISHED")
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.ui", "--directory", str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        page = re.fullmatch(r"question: (http://127\.0\.0\.1:\d+/\S+)\n", server.stdout.readline())[1]
        yield page, *(re.sub(r"/runs.*", f"/runs/{run}{MODE}", page) for run in (run_id, parent))
    finally:
        server.terminate()
        server.wait(20)


def browse(address: str, profile: Path, what: str) -> str:
    """What Chromium writes of the page after its scripts have run."""
    command = [BROWSER, *FLAGS.split(), f"--user-data-dir={profile}", what, address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def dom(address: str, profile: Path) -> str:
    return browse(address, profile, "--dump-dom")


def text(address: str, profile: Path) -> str:
    return re.sub(r"<[^>]+>", " ", dom(address, profile))


def test_leaderboard_shows_runs_with_readable_names_and_metrics(
    dashboard: tuple[str, str, str], tmp_path: Path
) -> None:
    shown = text(dashboard[0], tmp_path)
    for expected in ("Question", "dummy l2=1", "dummy l2=2", "2 runs", "validation/mse_clipped", "0.142"):
        assert expected in shown, expected


def test_run_shows_its_parameters_metrics_and_curves(dashboard: tuple[str, str, str], tmp_path: Path) -> None:
    shown = text(dashboard[1], tmp_path)
    for expected in (
        "dummy l2=2",
        "model.l2",
        "test/mse_clipped",
        "curve/validation_mse",
        "tiny (simulated)",
    ):
        assert expected in shown, expected
    assert "0.300" in shown


def test_run_shows_its_learning_curve(dashboard: tuple[str, str, str], tmp_path: Path) -> None:
    """As pixels: Chromium draws the charts only when it has a picture to make."""
    picture = tmp_path / "shown.png"
    browse(dashboard[1].replace("?", "/model-metrics?"), tmp_path, f"--screenshot={picture}")
    pixels = (255 * imread(picture)[CHARTS][..., :3]).astype(int)
    drawn = np.abs(pixels - LINE).max(axis=-1) < 30
    assert drawn.any(axis=0).mean() > 0.3, "no line is drawn"


def test_parent_shows_its_children_and_a_figure(dashboard: tuple[str, str, str], tmp_path: Path) -> None:
    shown = text(dashboard[2], tmp_path)
    for expected in ("2 runs", "Child runs", "dummy l2=1", "dummy l2=2", "test/mse_clipped"):
        assert expected in shown, expected
    artifacts = dom(dashboard[2].replace("?", "/artifacts/pareto.png?"), tmp_path)
    assert re.search(r'<img[^>]*src="blob:', artifacts), "no figure is shown"
