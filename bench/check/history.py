"""Past checks, and which commit made a result worse.

    python -m bench.check history FILE         each result over commits, steps marked
    python -m bench.check compare HEAD.json [BASE.json]
    python -m bench.check find [CHECKS.yaml] NAME --good REV --bad REV

`find` bisects: each commit is checked out into a worktree of its own and its results are compared
with those of the good and the bad one, with so many seeds that each commit is decided wrongly at
most once in a hundred times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy import stats

from bench.check.experiments import DIRECTIONS
from bench.check.outcome import Outcome
from bench.errors import UserError, sentence
from bench.files import write_text
from bench.identity import code_version
from bench.progress import say
from bench.tables import MISSING, markdown_table, number

ERROR = 0.01
"""Of deciding one commit."""
FIRST_SEEDS, MOST_SEEDS = 4, 96
COMMANDS = ("history", "compare", "find")
COMMAND = (sys.executable, "-W", "ignore", "-m", "bench.check")


def main(arguments: Sequence[str]) -> int:
    """Show past checks, or find the commit that made a result worse."""
    parser = argparse.ArgumentParser("python -m bench.check", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    past = commands.add_parser("history", help="each result over commits")
    past.add_argument("file", type=Path, help="written by --history")
    two = commands.add_parser(
        "compare", help="a check beside that of another revision, as Markdown"
    )
    two.add_argument("files", nargs="+", type=Path, help="written by --json")
    find = commands.add_parser("find", help="the commit that made a result worse")
    find.add_argument("checks", nargs="+", help="a file of checks, if not the project's own; NAME")
    find.add_argument("--good", required=True, help="a revision before it")
    find.add_argument("--bad", default="HEAD", help="a revision after it (default: HEAD)")
    asked = parser.parse_args(arguments)
    if asked.command == "history":
        print(shown(read(asked.file)))
        return 0
    if asked.command == "compare":
        print(compared(*map(_outcomes, asked.files)))
        return 0
    bisection = Bisection(asked.checks)
    commit = bisection.first_bad(asked.good, asked.bad)
    print(f"{bisection.label} became worse in\n\n{_git('log', '-1', '--stat', commit)}")
    return 0


def append(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Add a check to the file of past ones."""
    before = path.read_text("utf-8") if path.exists() else ""
    check = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": code_version(),
        "outcomes": [outcome.as_json() for outcome in outcomes],
    }
    write_text(path, f"{before}{json.dumps(check)}\n")


def read(path: Path) -> list[Mapping[str, Any]]:
    """Return past checks, the oldest first."""
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the history {path}: {sentence(error)}") from error


def _outcomes(path: Path) -> list[Mapping[str, Any]]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the outcome {path}: {sentence(error)}") from error


def compared(head: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return a row a result: what it is, was at the base, and was when it was recorded."""
    before = {(of["experiment"], of["metric"]): _now(of) for of in base}
    failed = [of for of in head if of["failure"]]
    verdict = f"{len(failed)} of {len(head)} results got worse" if failed else "nothing got worse"
    rows = [
        [
            of["experiment"],
            of["metric"],
            of["verdict"] or "failed",
            number(of["reference"], 5),
            number(before.get((of["experiment"], of["metric"])), 5),
            number(_now(of), 5),
            MISSING if of["slowdown"] is None else f"{of['slowdown']:.2f}",
        ]
        for of in head
    ]
    header = ["experiment", "metric", "verdict", "recorded", "base", "here", "time, × recorded"]
    reasons = [f"- **{of['experiment']}**: {of['failure']}" for of in failed]
    parts = [f"### Accuracy: {verdict}", markdown_table(header, rows, left=3), "\n".join(reasons)]
    return "\n\n".join(parts).rstrip()


def _now(of: Mapping[str, Any]) -> float | None:
    return None if of["change"] is None else of["reference"] + of["change"]


def shown(checks: Sequence[Mapping[str, Any]]) -> str:
    """Return a table a result; a step is a change that chance does not explain."""
    rows: dict[tuple[str, str], list[list[str]]] = {}
    last: dict[tuple[str, str], float] = {}
    for check in checks:
        for of in check["outcomes"]:
            if of["change"] is None:
                continue
            key = (of["experiment"], of["metric"])
            now = of["reference"] + of["change"]
            step = key in last and abs(now - last[key]) > of["allowed"]
            last[key] = now
            commit = check["code"].get("commit", check["code"]["source"])[:12]
            row = [check["date"][:10], commit, number(now, 5), f"±{of['allowed']:.5f}"]
            rows.setdefault(key, []).append([*row, of["verdict"], "step" if step else ""])
    header = ["date", "code", "mean", "chance explains", "against the reference", ""]
    return "\n\n".join(
        f"{name}, {metric}\n\n{markdown_table(header, of, left=2)}"
        for (name, metric), of in rows.items()
    )


@dataclass
class Bisection:
    """Search for the commit at which one result became worse.

    Attributes
    ----------
    checks : what stands after `find`: a file of checks, unless the project's own, and a name.
    losses : of commits, by tree, as far as they have been measured.
    reasons : why the runs of a commit fail, by tree.
    """

    checks: Sequence[str]
    losses: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.checks[-1]

    def first_bad(self, good: str, bad: str) -> str:
        """Return the first commit after `good` whose results are like those of `bad`."""
        commits = _git("rev-list", "--reverse", "--first-parent", f"{good}..{bad}").split()
        if not commits:
            raise UserError(f"there is no commit between {good} and {bad}")
        seeds, threshold = self._decision(good, commits[-1])
        low, high = 0, len(commits) - 1
        while low < high:
            middle = (low + high) // 2
            say(f"{commits[middle][:12]}: {high - low + 1} commits left")
            worse = np.mean(self.measured(commits[middle], seeds)) > threshold
            low, high = (low, middle) if worse else (middle + 1, high)
        say()
        return commits[low]

    def _decision(self, good: str, bad: str) -> tuple[int, float]:
        """Return the seeds needed, and the mean loss above which a commit is like `bad`."""
        z = stats.norm.isf(ERROR)
        seeds = FIRST_SEEDS
        while True:
            before, after = (self.measured(commit, seeds) for commit in (good, bad))
            if np.isinf(before).any():
                raise UserError(
                    f"{self.label} cannot be run in {good}: {self.reasons[_tree(good)]}"
                )
            if np.isinf(after).any():
                return seeds, np.finfo(float).max
            step = np.mean(after) - np.mean(before)
            noise = max(np.std(before, ddof=1), np.std(after, ddof=1))
            # Half the step, as it may be overestimated by as much as its own standard error.
            if step / 2 > z * noise * np.sqrt(2 / seeds):
                return seeds, float(np.mean([np.mean(before), np.mean(after)]))
            if seeds >= MOST_SEEDS:
                raise UserError(
                    f"{self.label} is not worse in {bad[:12]} than in {good[:12]}, as far as "
                    f"{seeds} seeds tell: {step:+.5f}"
                )
            seeds *= 2

    def measured(self, commit: str, seeds: int) -> list[float]:
        """Return the losses of a commit's first seeds; a run that fails is infinitely bad."""
        tree = _tree(commit)
        if len(self.losses.get(tree, ())) < seeds:
            self.losses[tree] = self._run(commit, seeds)
        return self.losses[tree][:seeds]

    def _run(self, commit: str, seeds: int) -> list[float]:
        with worktree(commit) as folder:
            done = subprocess.run(
                [*COMMAND, *self.checks, "--values", str(seeds)],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": _path_first(folder)},
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            self.reasons[_tree(commit)] = lines[-1][:300]
            return [np.inf] * seeds
        metrics = json.loads(done.stdout.splitlines()[-1])[self.label]
        (better, values), *_ = metrics.values()
        return [DIRECTIONS[better] * value for value in values]


@contextmanager
def worktree(commit: str):
    """Check out `commit` beside the repository; gone when the body ends."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "tree")
        _git("worktree", "add", "--detach", "--quiet", str(path), commit)
        try:
            yield path
        finally:
            _git("worktree", "remove", "--force", str(path))


def _path_first(folder: Path) -> str:
    """Return the module search path with `folder` before what it has now."""
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def _tree(commit: str) -> str:
    return _git("rev-parse", f"{commit}^{{tree}}").strip()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git {arguments[0]}: {done.stderr.strip()[:200]}")
    return done.stdout
