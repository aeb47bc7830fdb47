"""The fixture `accuracy`, in a session of its own."""

from pathlib import Path

import pytest

from bench.check import rule

pytestmark = pytest.mark.slow

TEST = """
import random
import pathlib

def evaluate(seed):
    shift = float(pathlib.Path(__file__).with_name("shift").read_text())
    return {"loss": random.Random(seed).gauss(1, 0.01) + shift}

def test_accuracy(accuracy):
    accuracy.check("mine", evaluate, metrics={"loss": "lower"}, seeds=8)
"""


def test_record_check_break(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "N_CHECKS", 10_000)
    (tmp_path / "test_own.py").write_text(TEST)

    def run(shift: str, *arguments: str) -> tuple[int, str]:
        (tmp_path / "shift").write_text(shift)
        plugins = ["-p", "bench.check.plugin", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
        status = pytest.main([*plugins, "-q", *arguments, str(tmp_path / "test_own.py")])
        return status, capsys.readouterr().out

    status, said = run("0")
    assert status == 1 and "record it: pytest --accuracy-record" in said
    assert run("0", "--accuracy-record", "a start")[0] == 0
    assert (tmp_path / "accuracy.reference.yaml").exists()
    assert run("0")[0] == 0
    status, said = run("0.1")
    assert status == 1 and "worse: fails" in said
