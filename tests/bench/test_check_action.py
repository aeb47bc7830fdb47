"""The GitHub Action's script, run here: with a base revision, and a stand-in for `gh`."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from bench.check.checking import record
from bench.check.experiments import Experiment

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".github" / "actions" / "accuracy" / "check.sh"
MODULE = """
import random
def evaluate(seed):
    return {"loss": random.Random(seed).gauss(1, 0.01) + SHIFT}
"""
CHECKS = "mine: {_target_: own_model.evaluate, metrics: {loss: lower}, seeds: 8}\n"
GH = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
*PATCH* | *POST*) for a; do [ "$a" = "${a#body=@}" ] || cat "${a#body=@}" >> "$LOG"; done ;;
*) cat "$IDS" ;;
esac
"""


def loss(seed: int) -> dict[str, float]:
    return {"loss": random.Random(seed).gauss(1, 0.01)}


@pytest.mark.slow
def test_the_action_fails_and_comments_once(tmp_path: Path) -> None:
    work = tmp_path / "work"
    tools = tmp_path / "bin"
    for folder in (work, tools):
        folder.mkdir()
    (tools / "gh").write_text(GH)
    (tools / "gh").chmod(0o755)
    (tmp_path / "ids").write_text("")
    environment = os.environ | {
        "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LOG": str(tmp_path / "log"),
        "IDS": str(tmp_path / "ids"),
        "CHECKS": "checks.yaml",
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }

    def run(*command: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=work, env=environment | more, capture_output=True, text=True, check=False
        )

    def commit(shift: str) -> str:
        (work / "own_model.py").write_text(f"SHIFT = {shift}\n{MODULE}")
        run("git", "add", "-A")
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        run("git", *who, "commit", "-qm", shift)
        return run("git", "rev-parse", "HEAD").stdout.strip()

    (work / "checks.yaml").write_text(CHECKS)
    run("git", "init", "-q")
    experiment = Experiment("mine", "own_model.evaluate", {"loss": "lower"}, 8, function=loss)
    list(record([experiment], work / "checks.reference.yaml", "a start"))
    base = commit("0.001")
    commit("0.1")
    done = run(str(SCRIPT), BASE=base, PULL_REQUEST="7")
    assert done.returncode == 1, done.stderr
    log = (tmp_path / "log").read_text()
    assert "POST repos/a/b/issues/7/comments" in log and "1 of 1 results got worse" in log
    row = next(line for line in log.splitlines() if line.startswith("| mine"))
    recorded_loss, at_base, here = (float(cell) for cell in row.split("|")[4:7])
    assert abs(at_base - recorded_loss) < 0.02 and here - at_base > 0.09
    (tmp_path / "ids").write_text("42\n")
    run(str(SCRIPT), PULL_REQUEST="7")
    assert "PATCH repos/a/b/issues/comments/42" in (tmp_path / "log").read_text()
    assert "worse: fails" in (tmp_path / "summary").read_text()
    assert len(run("git", "worktree", "list").stdout.splitlines()) == 1
