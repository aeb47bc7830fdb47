"""Other programs' gradient descent in the time of `sgd`, and libFM's sweeps of ALS beside `als`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations, product
from pathlib import Path
from string import ascii_letters
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from baselines.external import read_predictions, run_program, write_rows
from baselines.peers.libfm import LibFM
from baselines.peers.modern_fm import ModernFM
from bench.measure import Measured
from bench.studies.races import cpu_seconds
from bench.studies.shapes import SHAPES, Problem
from bench.studies.study import TEXTS, Bar, Context, Part, Section, Values, mean_std
from bench.tables import MISSING, markdown_table
from fm.svmlight import write_svmlight

FEW_EPOCHS = 10
"""By which an epoch is timed: what they take beyond one."""
LONG = 10.0
"""Seconds of one epoch and the start, from which on the start counts for little."""
PARTS = (1, 4, 16)
"""Of the time that are tried: who overfits may stop early."""
TOO_LONG = 5.0
"""Times that of `sgd`: whose epoch takes longer is not tried."""
ALS = ", sweep of libFM's ALS"
SGD_OF = ", sgd of "

Peer = Callable[[Problem, str, int, float, float, int], NDArray[np.float64]]


def libfm(
    problem: Problem,
    folder: str,
    n_iter: int,
    step: float,
    l2: float,
    seed: int,
    method: str = "sgd",
) -> NDArray[np.float64]:
    """Fit in a folder for so many epochs, by a step and a penalty; predict the test rows."""
    (program,) = LibFM().located()
    _write(problem, folder, write_svmlight)
    options = f"-task {'c' if problem.of_classes else 'r'} -train train -test test -out predicted"
    options += f" -dim 1,1,{problem.k} -iter {n_iter} -method {method}"
    options += f" -learn_rate {step} -regular {l2} -seed {1 + seed}"
    run_program([program, *options.split()], folder, name="libFM")
    return read_predictions(Path(folder, "predicted"), len(problem.test[1]), "libFM")


def vowpal_wabbit(
    problem: Problem, folder: str, n_iter: int, step: float, l2: float, seed: int
) -> NDArray[np.float64]:
    """Fit with a namespace a group of columns, all pairs of which are crossed; or one with itself.

    See `libfm` for parameters.
    """
    letters = ascii_letters[: len(problem.groups)]

    def write(path: Path, X: sparse.csr_array, y: NDArray[np.float64]) -> None:
        of_column = np.repeat(list(letters), problem.groups)[X.indices]
        cells = [f"|{a} {j}:{x:.6g} " for a, j, x in zip(of_column, X.indices, X.data, strict=True)]
        rows = zip(y, X.indptr[:-1], X.indptr[1:], strict=True)
        write_rows(path, (f"{target:g} {''.join(cells[i:j])}\n" for target, i, j in rows))

    _write(problem, folder, write)
    pairs = list(combinations(letters, 2)) or [("a", "a")]
    loss = "logistic" if problem.of_classes else "squared"
    learn = f"-d train -f model --cache_file cache -k --passes {n_iter} --holdout_off -b 22"
    learn += f" --hash all --loss_function {loss} -l {step} --l2 {l2} --random_seed {seed}"
    learn += "".join(f" --lrq {a}{b}{problem.k}" for a, b in pairs)
    for options in (learn, "-t -d test -i model -p predicted"):
        command = [sys.executable, "-m", "vowpalwabbit", "--quiet", *options.split()]
        run_program(command, folder, name="Vowpal Wabbit")
    score = read_predictions(Path(folder, "predicted"), len(problem.test[1]), "Vowpal Wabbit")
    return expit(score) if problem.of_classes else score


def _write(problem: Problem, folder: str, write: Callable[[Path, Any, Any], None]) -> None:
    """Write the files `train` and `test` where they are not there yet, classes as -1 and 1."""
    for part, (X, y) in (("train", problem.train), ("test", problem.test)):
        if not Path(folder, part).exists():
            write(Path(folder, part), X, 2 * y - 1 if problem.of_classes else y)


def modern_fm(
    problem: Problem, folder: str, n_iter: int, step: float, l2: float, seed: int
) -> NDArray[np.float64]:
    """Fit in this process; see `libfm` for parameters."""
    kind = getattr(ModernFM.module(), "FMClassifier" if problem.of_classes else "FMRegressor")
    given: dict[str, Any] = {"n_factors": problem.k, "learning_rate": step, "max_iter": n_iter}
    model = kind(l2_linear=l2, l2_factors=l2, random_state=seed, n_jobs=1, **given)
    (X, y), (test, _) = problem.train, problem.test
    mean = 0 if problem.of_classes else y.mean()
    model.fit(sparse.csr_matrix(X), y - mean)
    test = sparse.csr_matrix(test)
    return model.predict_proba(test)[:, 1] if problem.of_classes else mean + model.predict(test)


PEERS: Mapping[str, tuple[Peer, Sequence[float], Sequence[float]]] = {
    "libFM": (libfm, (0.001, 0.003, 0.01), (0.01, 0.1)),
    "VW --lrq": (vowpal_wabbit, (0.1, 0.3, 1.0), (1e-5, 1e-3)),
    "modern-fm": (modern_fm, (0.02, 0.05, 0.1), (1e-5, 1e-3)),
}
"""Name -> what fits it, and the steps and penalties that are tried."""


def measure_sgd(shape: str, peer: str, context: Context) -> Mapping[str, Any]:
    """Return the peer's losses in at most the time of `sgd`, one a seed, and its setting.

    The setting is the best on the last fifth of the training rows, by a fit to the others; parts of
    that time are tried as well. Its start and reading of files are not counted.
    """
    problem = SHAPES[shape][0]()
    fit, steps, penalties = PEERS[peer]
    budget = float(np.median(context.values[shape]["sgd"]["seconds"]))
    inner = problem.inner()

    def loss(rows: Problem, *given: Any) -> float:
        try:
            return rows.error(fit(rows, *given))
        except RuntimeError:  # it diverged
            return np.inf

    with TemporaryDirectory() as folder, TemporaryDirectory() as inner_folder:

        def seconds(n_iter: int) -> float:
            return cpu_seconds(fit, problem, folder, n_iter, steps[0], penalties[0], 0)

        seconds(1)  # writes the files
        epoch = once = seconds(1)
        if once < LONG:
            epoch = max((seconds(1 + FEW_EPOCHS) - once) / FEW_EPOCHS, 1e-3)
        if epoch > TOO_LONG * budget:
            return {"epoch": epoch, "budget": budget}
        most = max(1, int(budget / epoch))
        epochs = sorted({max(1, most // part) for part in PARTS})
        setting = min(
            product(epochs, steps, penalties), key=lambda one: loss(inner, inner_folder, *one, 0)
        )
        losses = [loss(problem, folder, *setting, seed) for seed in range(context.repeats)]
    own = context.values[shape]["sgd"]["loss"]
    return {"loss": losses, "setting": setting, "epoch": epoch, "own": own}


def measure_als(shape: str, context: Context) -> Mapping[str, list[float]]:
    """Return CPU seconds of a sweep of `als` and of libFM's, by turns."""
    problem = SHAPES[shape][0]()
    own: list[float] = []
    peer: list[float] = []
    with TemporaryDirectory() as folder:

        def seconds(n_iter: int) -> float:
            return cpu_seconds(libfm, problem, folder, n_iter, 0, 10, 0, "als")

        seconds(1)
        for seed in range(context.repeats):
            ends: list[float] = []
            model = problem.model(solver="als", n_iter=FEW_EPOCHS + 1, random_state=seed)
            model.set_params(callback=lambda *_, ends=ends: ends.append(time.process_time()))
            with Measured(threads=1):
                model.fit(*problem.train)
            own.append(float(np.median(np.diff(ends))))
            peer.append((seconds(1 + FEW_EPOCHS) - seconds(1)) / FEW_EPOCHS)
    return {"own": own, "peer": peer}


def section(values: Values) -> list[Section]:
    """Write the table of losses in equal time and of sweeps."""
    bars, rows = [], []
    for shape in SHAPES:
        cells = []
        for peer in PEERS:
            found = values.get(f"{shape}{SGD_OF}{peer}")
            if not isinstance(found, Mapping):
                cells.append(MISSING)
                continue
            if "loss" not in found:
                cells.append(f"an epoch takes {found['epoch'] / found['budget']:.0f} times as long")
                continue
            n_iter, step, l2 = found["setting"]
            cells.append(f"{mean_std(found['loss'])} ({n_iter}, {step:g}, {l2:g})")
            above = np.array(found["own"]) - np.mean(found["loss"])
            bars.append(Bar(f"{shape}, sgd: loss above {peer}'s in equal time", above, high=0.0))
        als = values.get(f"{shape}{ALS}")
        ratio = MISSING
        if isinstance(als, Mapping):
            of_peer = np.array(als["own"]) / als["peer"]
            bars.append(Bar(f"{shape}: ALS sweep over libFM's", of_peer, high=1.5))
            ratio = f"{np.median(of_peer):.2f}"
        rows.append([shape, *cells, ratio])
    header = ["rows", *(f"{peer} (epochs, step, penalty)" for peer in PEERS), "ALS sweep / libFM's"]
    text = TEXTS["general"]["equal time"].format(table=markdown_table(header, rows))
    return [Section("Other programs in equal time", text, bars)]


PEERS_PART = Part(
    "Other programs in equal time",
    {
        f"{shape}{SGD_OF}{peer}": partial(measure_sgd, shape, peer)
        for shape in SHAPES
        for peer in PEERS
    }
    | {shape + ALS: partial(measure_als, shape) for shape in SHAPES},
    section,
)
