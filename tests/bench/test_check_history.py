"""Which commit made a result worse: bisection over a history of commits."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bench.check import bisection
from bench.check.checking import values_of
from bench.check.experiments import Experiment
from bench.errors import UserError
from bench.studies.study import Context
from tests.accuracy_check import study

pytestmark = pytest.mark.slow


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Thirteen commits; from number 8 on the loss is two standard deviations of a seed higher."""
    monkeypatch.chdir(tmp_path)

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", *who, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    found = []
    for n in range(13):
        (tmp_path / "loss.json").write_text(json.dumps([n, 0.02 if n >= 8 else 0.0]))
        git("add", "-A")
        git("commit", "-qm", f"number {n}")
        found.append(git("rev-parse", "HEAD"))
    return found


def test_a_bug_in_the_code_is_found_at_its_commit(monkeypatch) -> None:
    monkeypatch.setattr(study, "COMMITS", 2)
    (mutant,) = [m for m in study.mutants()["mutants"] if m.bug == "log loss of the other class"]
    where = study.find_mutant(mutant, Context(1, {}))
    assert where["named"] == where["planted"] > 0


def losses(self: bisection.Bisection, commit: str, seeds: int) -> list[float]:
    import random

    with bisection.worktree(commit) as folder:
        n, shift = json.loads((folder / "loss.json").read_text())
    return [random.Random(100 * n + seed).gauss(1 + shift, 0.01) for seed in range(seeds)]


def test_the_first_bad_commit_is_found(commits, monkeypatch) -> None:
    monkeypatch.setattr(bisection.Bisection, "_run", losses)
    search = bisection.Bisection(["mine"])
    assert search.first_bad(commits[0], commits[-1]) == commits[8]
    assert len(search.losses) <= 6
    with pytest.raises(UserError, match="not worse"):
        bisection.Bisection(["mine"]).first_bad(commits[0], commits[5])
    with pytest.raises(UserError, match="no commit between"):
        search.first_bad(commits[5], commits[5])
    with pytest.raises(UserError, match="git rev-list"):
        search.first_bad("nothing", "HEAD")
    assert (
        len(subprocess.run(["git", "worktree", "list"], capture_output=True).stdout.splitlines())
        == 1
    )


def test_a_commit_that_ignores_the_seed_is_found(commits, monkeypatch) -> None:
    def seedless(self: bisection.Bisection, commit: str, seeds: int) -> list[float]:
        measured = losses(self, commit, seeds)
        return measured[:1] * seeds if commits.index(commit) >= 5 else measured

    monkeypatch.setattr(bisection.Bisection, "_run", seedless)
    assert bisection.Bisection(["mine"]).first_bad(commits[0], commits[7]) == commits[5]


def test_values_are_measured_once_for_the_same_digest(tmp_path: Path) -> None:
    words = "data=planted data.n_users=40 data.n_items=40 data.n_ratings=800 test=true"
    of = Experiment("mine", f"model=fm_sgd model.k=2 model.n_iter=2 {words}")
    whole = values_of(of, 3)
    assert values_of(of, 2, tmp_path) == whole[:2] and values_of(of, 3, tmp_path) == whole
    (kept,) = tmp_path.iterdir()
    kept.write_text(json.dumps([{"mse": n} for n in range(3)]))
    assert values_of(of, 2, tmp_path) == [{"mse": 0}, {"mse": 1}]
    assert values_of(replace(of, run=of.run.replace("k=2", "k=3")), 1, tmp_path) != [{"mse": 0}]
    function = Experiment("mine", "a.b", {"mse": "lower"}, function=lambda seed: {"mse": seed})
    assert values_of(function, 2, tmp_path) == [{"mse": 0}, {"mse": 1}]
    assert len(list(tmp_path.iterdir())) == 2, "what a function reads is not known"
