"""Installed from a wheel, outside the clone: the command `fm-bench`, and what `init` writes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.identity import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("fm", "baselines", "bench", "conf", "hydra_plugins"):
        if (ROOT / name).exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    built = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run(built, check=True, capture_output=True, timeout=200)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site-packages"
    installed = [*pip, "install", *offline, "--target", str(target), str(wheel)]
    subprocess.run(installed, check=True, capture_output=True, timeout=200)
    return target


def fm_bench(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-P", str(site / "bin" / "fm-bench"), *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
        timeout=200,
    )


def test_the_template_runs_from_a_wheel_in_a_folder_of_its_own(site: Path, tmp_path: Path) -> None:
    done = fm_bench(site, tmp_path, "init", "mine")
    assert done.returncode == 0, done.stderr
    mine = tmp_path / "mine"
    for name in ("conf", "bench"):  # own packages of the same names do no harm
        (mine / name).mkdir(exist_ok=True)
        (mine / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    words = ["--config-dir", "conf", "model=my_model", "data=my_data", "split=random"]
    done = fm_bench(site, mine, *words)
    assert done.returncode == 0, done.stderr
    assert "my_model" in done.stdout and "MSE" in done.stdout
    listed = fm_bench(site, mine, "list", "models", "--config-dir", "conf").stdout
    assert "my_model " in listed and "fm_gibbs " in listed


def test_the_tutorial_is_a_walk_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    env = os.environ | {"PYTHONPATH": str(site)}
    programs = f"{site / 'bin'}{os.pathsep}{Path(sys.executable).parent}"
    env["PATH"] = f"{programs}{os.pathsep}{env['PATH']}"
    folder = tmp_path
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "A reader", f"GIT_{who}_EMAIL": "reader@example.org"}
    shown = ""
    for language, code in re.findall(r"```(python|yaml|sh)\n(.*?)```", text, re.S):
        if language != "sh":
            (folder / re.match(r"# (\S+)\n", code)[1]).write_text(code, "utf-8")
            continue
        done = subprocess.run(
            ["bash", "-ec", code],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            env=env,
        )
        entered = re.search(r"^cd (\S+)$", code, re.M)
        folder = folder / entered[1] if entered else folder
        assert done.returncode == int("# status 1" in code), f"{code}{done.stderr}{done.stdout}"
        shown += done.stdout
    assert re.search(r"^\| fm_gibbs +\|", shown, re.M) and "| same numbers " in shown
    again = re.findall(r"\[\d/3\] (\w+): .*\(already computed\)$", shown, re.M)
    assert sorted(again) == ["fm_gibbs", "linear"], "not the model that was edited"
    assert "| worse: fails " in shown and "Tidy up" in shown.partition("became worse in")[2]


def test_the_check_finds_its_experiments_and_reference_in_the_wheel(site: Path) -> None:
    assert list((site / "conf" / "check").glob("*.yaml"))
    assert (site / "bench" / "check" / "reference.yaml").is_file()
    assert not (site / "tests").exists()


def test_lists_say_a_line_for_each_choice(capsys: pytest.CaptureFixture) -> None:
    assert main(["list", "splits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list((ROOT / "conf" / "split").glob("*.yaml")))
    assert all(len(line.split()) > 1 for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lisst"], "did you mean 'list'?"),
        (["list", "modles"], "did you mean 'models'?"),
        (["list"], "list one of"),
        (["list", "models", "--config-dir", "absent"], "there is no folder absent"),
    ],
)
def test_a_wrong_command_is_a_sentence(words, said, capsys: pytest.CaptureFixture) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_init_leaves_a_folder_with_files_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
