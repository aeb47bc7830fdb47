"""Who may know whom: the directions in which the project's rooms import."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "fm": {"fm", "numpy", "scipy", "sklearn", "threadpoolctl"},
    "baselines": {"baselines", "fm", "myfm", "numpy", "scipy", "sklearn", "vowpalwabbit"},
}
ONLY_IN = {"hydra": "bench/sweep", "omegaconf": "bench/sweep", "mlflow": "bench/tracking"}
"""Package -> the one room that knows it."""


@cache
def modules(path: Path) -> frozenset[str]:
    """Names of all modules that a file imports, also inside its functions; "." if by a dot."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." if node.level else node.module or "")
    return frozenset(names)


def imported(path: Path) -> set[str]:
    """The packages of these."""
    return {name.partition(".")[0] or "." for name in modules(path)}


@pytest.mark.parametrize("room", ALLOWED)
def test_room_knows_only_what_it_may(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        strangers = imported(path) - ALLOWED[room] - sys.stdlib_module_names
        assert not strangers, f"{path.relative_to(ROOT)} imports {sorted(strangers)}"


@pytest.mark.parametrize("package", ONLY_IN)
def test_one_room_knows(package: str) -> None:
    files = [
        p for room in ("fm", "baselines", "bench", "conf") for p in (ROOT / room).rglob("*.py")
    ]
    knowing = {p.relative_to(ROOT).parent.as_posix() for p in files if package in imported(p)}
    assert knowing - {"bench/studies"} == {ONLY_IN[package]}  # studies measure everything


def test_baselines_know_of_fm_only_its_design_checks_and_text_format() -> None:
    every = {name for path in (ROOT / "baselines").rglob("*.py") for name in modules(path)}
    known = {name for name in every if name.partition(".")[0] == "fm"}
    assert known <= {"fm.design", "fm.validation", "fm.svmlight"}


def test_nothing_imports_a_study() -> None:
    for path in [p for room in ("fm", "baselines", "bench") for p in (ROOT / room).rglob("*.py")]:
        if (ROOT / "bench" / "studies") not in path.parents:
            assert not [name for name in modules(path) if name.startswith("bench.studies")], path


def test_the_library_does_not_load_the_harness() -> None:
    code = (
        "import sys, fm, baselines; "
        "sys.exit(sorted({'hydra', 'mlflow', 'bench'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
