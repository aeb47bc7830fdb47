"""Tab completion: what a word may become, and that bash asks for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import completions, main
from bench.identity import ROOT


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fm-bench model=quad", ["quadratic", "quadratic_logistic"]),
        ("fm-bench -m model=linear,fm_g", ["linear,fm_gibbs"]),
        ("fm-bench -m seed=0,1 split=ua", ["ua", "ua_by_user"]),
        ("fm-bench li", ["list"]),
        ("fm-bench run mo", ["model="]),
        ("fm-bench list sp", ["splits"]),
        ("fm-bench model=no", []),
    ],
)
def test_what_a_word_may_become(line: str, words: list[str]) -> None:
    assert completions(line) == words


def test_own_choices_are_completed(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "fm_of_mine.yaml").write_text("_target_: my_models.Mine\n")
    assert completions(f"fm-bench --config-dir {tmp_path} model=fm_o") == [
        "fm_of_mine",
        "fm_ordinal",
    ]


def test_bash_completes(capsys: pytest.CaptureFixture) -> None:
    assert main(["completion", "bash"]) == 0
    asked = capsys.readouterr().out + (
        f'\nfm-bench() {{ "{sys.executable}" -m bench "$@"; }}\n'
        'COMP_LINE="fm-bench model=fm_als,fm_g"; COMP_POINT=${#COMP_LINE}\n'
        '_fm_bench; echo "${COMPREPLY[*]}"'
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "fm_als,fm_gibbs\n"
    assert main(["completion", "fish"]) == 2
    assert "bash or zsh" in capsys.readouterr().err


def test_a_word_is_completed_without_what_takes_seconds_to_import() -> None:
    code = (
        "import sys; from bench.cli import main; main(['complete', 'fm-bench model=fm_']); "
        "sys.exit(sorted({'hydra', 'mlflow', 'numpy', 'sklearn'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
