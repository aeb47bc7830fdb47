"""The fixture `accuracy`, in a pytest of its own."""

import subprocess
import sys
from pathlib import Path

TEST = """
import random
import pathlib

def evaluate(seed):
    shift = float(pathlib.Path(__file__).with_name("shift").read_text())
    return {"loss": random.Random(seed).gauss(1, 0.01) + shift}

def test_accuracy(accuracy):
    accuracy.check("mine", evaluate, metrics={"loss": "lower"}, seeds=8)
"""


def test_record_check_break(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(TEST)

    def pytest(shift: str, *arguments: str) -> subprocess.CompletedProcess:
        (tmp_path / "shift").write_text(shift)
        plugin = ["-p", "bench.check.plugin", "-p", "no:cacheprovider", "-q", *arguments]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *plugin, "test_own.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    missing = pytest("0")
    assert missing.returncode == 1 and "record it: pytest --accuracy-record" in missing.stdout
    assert pytest("0", "--accuracy-record", "a start").returncode == 0
    assert (tmp_path / "accuracy.reference.yaml").exists()
    assert pytest("0").returncode == 0
    broken = pytest("0.1")
    assert broken.returncode == 1 and "worse: fails" in broken.stdout
