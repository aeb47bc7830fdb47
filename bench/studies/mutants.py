"""Plausible bugs, one at a time: does the check notice? Each is a text patch to a copy of the code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.check.outcome import Case, cases
from bench.errors import UserError
from bench.identity import ROOT

COPIED = ("fm", "baselines", "bench", "conf", "results/reference.yaml")


@dataclass(frozen=True)
class Mutant:
    """`old` stands once in `path` and is replaced by `new`; `touches` are the experiments that are run."""

    bug: str
    touches: tuple[str, ...]
    path: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "the regularizer has the wrong sign",
        ("fm_sgd",),
        "fm/sgd.py",
        "shrink = (self.penalty_v - squares)",
        "shrink = (-self.penalty_v - squares)",
    ),
    Mutant(
        "half the learning rate",
        ("fm_sgd",),
        "fm/sgd.py",
        "rate = learning_rate / (",
        "rate = 0.5 * learning_rate / (",
    ),
    Mutant(
        "biases dropped from predictions",
        ("fm_als", "fm_sgd"),
        "fm/model.py",
        "q[:], alone[:] = V[:n], w[:n]",
        "q[:], alone[:] = V[:n], 0",
    ),
    Mutant(
        "a feature interacts with itself: Lemma 3.1 without its second sum, in the gradient",
        ("fm_sgd",),
        "fm/sgd.py",
        "self.penalty_v - squares",
        "self.penalty_v - 0 * squares",
    ),
    Mutant(
        "off by one in the levels of the first block, in predictions",
        ("fm_als",),
        "fm/model.py",
        'first.take(blocks[0].levels[rows], axis=0, out=total, mode="wrap")',
        'first.take(blocks[0].levels[rows] - 1, axis=0, out=total, mode="wrap")',
    ),
    Mutant(
        "off by one in the class numbers of ordered probit",
        ("fm_ordinal",),
        "fm/likelihoods.py",
        "self._classes = y[self._order]",
        "self._classes = np.maximum(y[self._order] - 1, 0)",
    ),
    Mutant(
        "ratings centred by the mean of the test rows",
        ("linear", "fm_als"),
        "bench/run.py",
        "    y, scale = dataset.y, dataset.scale\n",
        "    y, scale = dataset.y, dataset.scale\n"
        "    y = y + (y[split.test].mean() - y[split.development].mean()) * np.isin(range(len(y)), split.development)\n",
    ),
    Mutant(
        "stale factors: a block's new coefficients are not passed on to the next",
        ("fm_als", "fm_gibbs"),
        "fm/sweep.py",
        "        rows.absorb(s, _machine(theta[columns], part))\n",
        "",
    ),
    Mutant(
        "one block is never updated",
        ("fm_als", "fm_gibbs"),
        "fm/sweep.py",
        "        rest = theta[columns]\n",
        "        if s == 0:\n            continue\n        rest = theta[columns]\n",
    ),
    Mutant(
        "clipping to the rating scale lost",
        ("linear", "quadratic"),
        "bench/metrics.py",
        "np.clip(prediction, *scale)",
        "np.asarray(prediction)",
    ),
    Mutant(
        "seed ignored",
        ("fm_sgd", "fm_als"),
        "fm/base.py",
        "rng=np.random.default_rng(self.random_state)",
        "rng=np.random.default_rng(0)",
    ),
    Mutant(
        "penalties of weights and factors swapped",
        ("fm_als",),
        "fm/als.py",
        "np.array([l2_w] + [l2] * k, np.float64)",
        "np.array([l2] + [l2_w] * k, np.float64)",
    ),
    Mutant(
        "the refit leaves the validation rows out",
        ("linear", "fm_als"),
        "bench/run.py",
        "fit(settled, split.development, split.development[:0], {})",
        "fit(settled, split.train, split.development[:0], {})",
    ),
    Mutant(
        "only the last draw is kept, not the posterior's mean",
        ("fm_gibbs",),
        "fm/gibbs.py",
        "kept = [sweep for sweep in sweeps if sweep > burn_in and (sweep - burn_in) % thin == 0]",
        "kept = [first + n_iter]",
    ),
    Mutant(
        "draws have half the noise they should have",
        ("fm_gibbs",),
        "fm/conditional.py",
        "else rng.standard_normal(linear.shape)",
        "else 0.5 * rng.standard_normal(linear.shape)",
    ),
    Mutant(
        "who rated what is not scaled to length 1",
        ("fm_gibbs_implicit",),
        "bench/features/implicit.py",
        "return sparse.csr_array(matrix.multiply(1 / np.maximum(lengths, 1)[:, None]))",
        "return sparse.csr_array(matrix)",
    ),
    Mutant(
        "test rows encoded in another order than their ratings",
        ("linear",),
        "bench/run.py",
        "X_test = X[split.test]",
        "X_test = X[np.sort(split.test)]",
    ),
    Mutant(
        "time stamps in single precision, which tells spans of 64 seconds apart at best",
        ("linear_sessions",),
        "bench/features/context.py",
        "self.dataset.rows[self.dataset.time].to_numpy()",
        "self.dataset.rows[self.dataset.time].to_numpy().astype(np.float32).astype(np.int64)",
    ),
)

HARMLESS = (
    Mutant(
        "single precision in the truncated normal's tails",
        ("fm_ordinal",),
        "fm/truncated_normal.py",
        "p = self._below + self.mass * rng.random(len(self.mass))",
        "p = (self._below + self.mass * rng.random(len(self.mass))).astype(np.float32)",
    ),
    Mutant(
        "half precision in the weights that gradient descent updates",
        ("fm_sgd",),
        "fm/sgd.py",
        "state.theta[columns] -= step\n",
        "state.theta[columns] = (state.theta[columns] - step).astype(np.float16)\n",
    ),
    Mutant(
        "single precision in the normal equations' residual",
        ("linear", "quadratic"),
        "baselines/linear.py",
        'X = sparse.hstack([np.ones((X.shape[0], 1)), X], format="csr")',
        'X = sparse.hstack([np.ones((X.shape[0], 1)), X], format="csr").astype(np.float32)\n'
        "    y = y.astype(np.float32)",
    ),
)
"""Coarser rounding that a fit by these models should bear: the check is to stay quiet."""


def patched(mutant: Mutant) -> str:
    """The file with the bug in it; UserError when the code has moved on and the patch no longer fits."""
    text = (ROOT / mutant.path).read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise UserError(
            f"{mutant.path} has {mutant.old!r} {text.count(mutant.old)} times: renew the mutant {mutant.bug!r}"
        )
    return text.replace(mutant.old, mutant.new)


def check_mutant(mutant: Mutant, data: str) -> dict[str, Case]:
    """What the check says of a copy of the code with the bug, by experiment."""
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source, target = ROOT / name, copy / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        (copy / mutant.path).write_text(patched(mutant), "utf-8")
        return run_check(copy, data, {}, mutant.touches)


def run_check(
    root: Path, data: str, environment: dict[str, str], experiments: Sequence[str] = ()
) -> dict[str, Case]:
    """Runs the check of the code in `root` as a program of its own; all experiments unless some are named,
    whose verdicts are the same as in a check of all."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "junit.xml"
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "bench.check",
            *experiments,
            "--data",
            data,
            "--junit",
            str(path),
        ]
        done = subprocess.run(
            command,
            cwd=root,
            env=os.environ | environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if not path.exists():
            raise UserError(f"the check did not end as it should: {done.stderr[-1000:]}")
        return cases(path.read_text("utf-8"))
