"""Which commit made a result worse: `python -m bench.check find [CHECKS.yaml] NAME --good REV`.

Each commit is checked out into a worktree of its own, and its results are compared with those of
the good and the bad one, with so many seeds that each commit is decided wrongly at most once in a
hundred times.
"""

import argparse
import json
import os
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy import stats

from bench.check.rule import DIRECTIONS
from bench.errors import UserError
from bench.progress import say

ERROR = 0.01
"""Of deciding one commit."""
FIRST_SEEDS, MOST_SEEDS = 4, 96
COMMAND = (sys.executable, "-W", "ignore", "-m", "bench.check")


def main(arguments: Sequence[str]) -> int:
    """Print the commit that made a result worse; return 0."""
    parser = argparse.ArgumentParser("python -m bench.check find", description=__doc__)
    parser.add_argument(
        "checks", nargs="+", help="a file of checks, if not the project's own; NAME"
    )
    parser.add_argument("--good", required=True, help="a revision before it")
    parser.add_argument("--bad", default="HEAD", help="a revision after it (default: HEAD)")
    options = parser.parse_args(arguments)
    bisection = Bisection(options.checks)
    commit = bisection.first_bad(options.good, options.bad)
    print(f"{options.checks[-1]} became worse in\n\n{_git('log', '-1', '--stat', commit)}")
    return 0


@dataclass
class Bisection:
    """Search for the commit at which one result became worse.

    `checks` are what stands after `find`: a file of checks, unless the project's own, and a name.
    `losses` of commits, as far as they have been measured, and `reasons` why their runs fail, are
    by tree; `cache` has results by the digest of what computes them, which many commits share.
    """

    checks: Sequence[str]
    losses: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    cache: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory)

    def first_bad(self, good: str, bad: str) -> str:
        """Return the first commit after `good` whose results are like those of `bad`."""
        commits = _git("rev-list", "--reverse", "--first-parent", f"{good}..{bad}").split()
        if not commits:
            raise UserError(f"there is no commit between {good} and {bad}")
        seeds, worse = self._decision(good, commits[-1])

        def is_bad(commit: str) -> bool:
            say(commit[:12])
            return worse(self.measured(commit, seeds))

        first = bisect_left(commits, True, hi=len(commits) - 1, key=is_bad)
        say()
        return commits[first]

    def _decision(self, good: str, bad: str) -> tuple[int, Callable[[Sequence[float]], bool]]:
        """Return how many seeds decide each commit, and how."""
        z = stats.norm.isf(ERROR)
        seeds = FIRST_SEEDS
        while True:
            before, after = (self.measured(commit, seeds) for commit in (good, bad))
            if np.isinf(before).any():
                raise UserError(
                    f"{self.checks[-1]} cannot be run in {good}: {self.reasons[_tree(good)]}"
                )
            if np.isinf(after).any():
                return seeds, lambda losses: bool(np.isinf(losses).any())
            if np.ptp(after) == 0 < np.ptp(before):  # the seed is ignored
                return seeds, lambda losses: bool(np.ptp(losses) == 0)
            step = np.mean(after) - np.mean(before)
            noise = max(np.std(before, ddof=1), np.std(after, ddof=1))
            # Half the step, as it may be overestimated by as much as its own standard error.
            if step / 2 > z * noise * np.sqrt(2 / seeds):
                middle = (np.mean(before) + np.mean(after)) / 2
                return seeds, lambda losses, middle=middle: bool(np.mean(losses) > middle)
            if seeds >= MOST_SEEDS:
                raise UserError(
                    f"{self.checks[-1]} is not worse in {bad[:12]} than in {good[:12]}, as far as "
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
            path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
            done = subprocess.run(
                [*COMMAND, *self.checks, "--values", str(seeds), "--cache", self.cache.name],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            self.reasons[_tree(commit)] = lines[-1][:300]
            return [np.inf] * seeds
        metrics = json.loads(done.stdout.splitlines()[-1])[self.checks[-1]]
        (better, values), *_ = metrics.values()
        return [DIRECTIONS[better] * value for value in values]


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """Check out `commit` beside the repository; gone when the body ends."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "tree")
        _git("worktree", "add", "--detach", "--quiet", str(path), commit)
        try:
            yield path
        finally:
            _git("worktree", "remove", "--force", str(path))


def _tree(commit: str) -> str:
    return _git("rev-parse", f"{commit}^{{tree}}").strip()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git {arguments[0]}: {done.stderr.strip()[:200]}")
    return done.stdout
