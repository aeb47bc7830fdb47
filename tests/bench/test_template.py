"""What `fm-bench init` writes, whole: its run, experiment, test, checks and workflow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from bench.check import rule
from bench.cli import main


@pytest.mark.slow
def test_everything_in_the_template_runs(
    tmp_path: Path,
    empty_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "mine"
    assert main(["init", str(mine)]) == 0
    monkeypatch.chdir(mine)
    assert "results/" in Path(".gitignore").read_text()
    monkeypatch.syspath_prepend(mine)
    monkeypatch.setattr(rule, "N_CHECKS", 10_000)
    (mine / "results").mkdir()
    shutil.copy(empty_store, "results")
    commands = [line.strip() for line in Path("README.md").read_text().splitlines()]
    assert "fm-bench --config-dir conf experiment=my_experiment" in commands
    assert main(["-m", "--config-dir", "conf", "experiment=my_experiment", "seed=0,1"]) == 0
    said = capsys.readouterr().out
    assert all(f"| {model} " in said for model in ("my_model", "linear", "fm_gibbs"))
    (page,) = Path("results").glob("sweeps/*/README.md")
    assert "# Is my model any good?" in page.read_text()

    assert main(["list", "models", "--config-dir", "conf"]) == 0
    listed = capsys.readouterr().out
    assert "my_model " in listed and "fm_gibbs " in listed

    steps = yaml.safe_load(Path(".github/workflows/accuracy.yml").read_text())["jobs"]["accuracy"]
    runs = [step["run"] for step in steps["steps"] if "run" in step]
    assert runs[1:] == ["python -m pytest", "fm-bench check checks.yaml"]
    assert pytest.main(["-q", "-p", "no:cacheprovider", f"--rootdir={mine}", str(mine)]) == 0
    assert main(["check", "checks.yaml"]) == 2
    assert 'record it: --record --reason "..."' in capsys.readouterr().err
    assert main(["check", "checks.yaml", "--record", "--reason", "first version"]) == 0
    assert main(["check", "checks.yaml"]) == 0
    said = capsys.readouterr().out
    assert said.count("same numbers") == 3 and "test/mse_clipped of rare items" in said
