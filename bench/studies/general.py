"""FMs on general features, with neither users nor items; writes `results/general.md`.

    python -m bench.studies.general             on data sets that come with scikit-learn
    python -m bench.studies.general rows.svm    on libSVM text of one's own, to standard output: of two values of y FMs are
                                        classifiers, of more regressors

Everything goes by libSVM text and sparse matrices, in scikit-learn's own pipelines and searches.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from bench.errors import UserError, exit_status
from bench.files import write_text
from bench.identity import ROOT, code_version
from bench.intervals import grouped_gap
from bench.measure import Measured, environment
from bench.metrics import squared_errors
from bench.progress import say
from bench.tables import MISSING, markdown_table, seconds, signed
from fm import FMClassifier, FMRegressor
from fm.svmlight import read_svmlight, write_svmlight

PAGE = ROOT / "results" / "general.md"
SEEDS = range(5)
"""Of which rows are test and validation, and of the models."""
HELD_OUT = 0.2
N_ITER = 100
"""Sweeps of Gibbs sampling."""
STRENGTHS = (0.1, 2.0, 50.0, 1000.0)
TREES = {"learning_rate": (0.03, 0.1), "max_leaf_nodes": (7, 31)}
FACTORS = {"k": (0, 2, 4, 8)}

Grid = Mapping[str, Sequence[float]]
Candidate = tuple[BaseEstimator, Grid]


@dataclass(frozen=True, eq=False)
class Problem:
    """X (n_rows, n_features) and y; two values of y are classes."""

    name: str
    what: str
    X: sparse.csr_array
    y: NDArray[np.float64]

    @property
    def of_classes(self) -> bool:
        return len(np.unique(self.y)) == 2


@dataclass(frozen=True, eq=False)
class Outcome:
    """Of one model, over all test rows of all seeds: loss of each row, whether its class was missed, and the row; and
    of each seed mean loss, share of missed classes, and seconds of the fit that was tested."""

    losses: NDArray[np.float64]
    rows: NDArray[np.intp]
    loss: NDArray[np.float64]
    missed: NDArray[np.float64]
    fit_seconds: NDArray[np.float64]


def candidates(of_classes: bool, seed: int) -> dict[str, Candidate]:
    """Name -> a model and its four configurations; the first is what the others are held against."""
    if of_classes:
        return {
            "logistic regression": (LogisticRegression(max_iter=5000), {"C": STRENGTHS}),
            "always the same": (DummyClassifier(), {}),
            "gradient boosting": (HistGradientBoostingClassifier(random_state=seed), TREES),
            "`FMClassifier`, gibbs": (FMClassifier(n_iter=N_ITER, random_state=seed), FACTORS),
            "`FMClassifier`, sgd": (
                FMClassifier(solver="sgd", random_state=seed),
                {"l2": STRENGTHS},
            ),
        }
    return {
        "ridge regression": (Ridge(), {"alpha": STRENGTHS}),
        "always the same": (DummyRegressor(), {}),
        "gradient boosting": (HistGradientBoostingRegressor(random_state=seed), TREES),
        "`FMRegressor`, gibbs": (FMRegressor(n_iter=N_ITER, random_state=seed), FACTORS),
        "`FMRegressor`, als": (FMRegressor(solver="als", random_state=seed), {"l2": STRENGTHS}),
    }


def measure(problem: Problem) -> dict[str, Outcome]:
    """Of each seed a fifth of the rows is test; of the others a fifth is validation, by which one of a model's
    configurations is chosen and fitted to all of them."""
    parts: dict[str, list[tuple]] = {}
    for seed in SEEDS:
        classes = problem.y if problem.of_classes else None
        rows = np.arange(len(problem.y))
        train, test = train_test_split(
            rows, test_size=HELD_OUT, random_state=seed, stratify=classes
        )
        for name, candidate in candidates(problem.of_classes, seed).items():
            say(f"{problem.name}, seed {seed}: {name}")
            search = _search(candidate, problem.of_classes, seed)
            with Measured(threads=1):
                search.fit(problem.X[train], problem.y[train])
            losses, missed = _judged(search, problem, test)
            parts.setdefault(name, []).append((losses, test, missed, search.refit_time_))
    say()
    return {name: _outcome(of) for name, of in parts.items()}


def section(problem: Problem) -> str:
    """A row a model."""
    outcomes = measure(problem)
    reference, *_ = outcomes
    loss = "log loss" if problem.of_classes else "MSE"
    header = [
        "model",
        loss,
        *(["wrong, %"] if problem.of_classes else []),
        f"{loss} − {reference} [95 %]",
    ]
    rows = []
    for name, outcome in outcomes.items():
        missed = [_spread(100 * outcome.missed, 1)] if problem.of_classes else []
        gap = MISSING
        if name != reference:
            gap = signed(*grouped_gap(outcome.losses, outcomes[reference].losses, outcome.rows))
        time = seconds(float(np.median(outcome.fit_seconds)))
        rows.append(
            [name, _spread(outcome.loss, 4 if problem.of_classes else 1), *missed, gap, time]
        )
    n_rows, n_features = problem.X.shape
    filled = problem.X.nnz / (n_rows * n_features)
    size = f"{problem.what} {n_rows:,} rows, {n_features} features, {filled:.0%} of the cells not zero."
    return f"## {problem.name}\n\n{size}\n\n{markdown_table([*header, 'fit s'], rows)}"


def shipped() -> list[Problem]:
    """Data sets that come with scikit-learn, each by way of libSVM text."""
    cancer, digits, diabetes = (
        load(return_X_y=True) for load in (load_breast_cancer, load_digits, load_diabetes)
    )
    return [
        Problem(
            "Is the digit odd?",
            "`load_digits`: 8 × 8 images of handwritten digits, real.",
            *through_text(digits[0], digits[1] % 2),
        ),
        Problem(
            "Is the tumour benign?",
            "`load_breast_cancer`: measurements of cell nuclei, real.",
            *through_text(*cancer),
        ),
        Problem(
            "How far does diabetes progress in a year?",
            "`load_diabetes`: ten measurements of patients, real.",
            *through_text(*diabetes),
        ),
    ]


def through_text(X: NDArray, y: NDArray) -> tuple[sparse.csr_array, NDArray[np.float64]]:
    """Written as libSVM text, and read."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "rows.svm")
        write_svmlight(path, X, y)
        return read_svmlight(path, n_features=X.shape[1])


def problem_of(path: Path) -> Problem:
    """Of a file of libSVM text; UserError if it cannot be read, or has nothing to tell apart."""
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        X, y = read_svmlight(path)
    except ValueError as error:
        raise UserError(f"{path} is no libSVM text: {error}") from error
    if len(np.unique(y)) < 2:
        raise UserError(f"{path}: every row has the same y, there is nothing to learn")
    return Problem(path.name, f"{path}.", X, y)


READING = f"""\
A fifth of the rows is test, drawn anew for each of {len(SEEDS)} seeds. Each model has four configurations (k of `gibbs`:
{", ".join(map(str, FACTORS["k"]))}, of which 0 is linear, {N_ITER} sweeps; penalties {", ".join(f"{s:g}" for s in STRENGTHS)}; learning rate and
leaves of the trees), of which one is chosen on a fifth of the other rows and fitted to all of these. Features are
divided by their standard deviation and not centred, so that zeros stay zeros. Mean ± standard deviation over seeds
(n = {len(SEEDS)}, ddof = 1); the difference has a 95 % paired bootstrap interval over rows. Times are medians, of the
last fit."""


def document(sections: Sequence[str]) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in environment().items() if key != "host")
    foot = f"Generated by `python -m bench.studies.general`. One thread. Source {code_version()['source'][:12]}. {machine}."
    return (
        "\n\n".join(
            ["# Without users and items: FMs on general features", READING, *sections, foot]
        )
        + "\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.general",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file", nargs="?", type=Path, help="libSVM text; default: scikit-learn's data sets"
    )
    asked = parser.parse_args(arguments)
    return exit_status(lambda: _show(asked.file))


def _show(path: Path | None) -> int:
    if path is not None:
        print(section(problem_of(path)))
        return 0
    page = document([section(problem) for problem in shipped()])
    write_text(PAGE, page)
    print(page)
    return 0


def _search(candidate: Candidate, of_classes: bool, seed: int) -> GridSearchCV:
    model, grid = candidate
    trees = isinstance(model, HistGradientBoostingClassifier | HistGradientBoostingRegressor)
    steps = [("scale", StandardScaler(with_mean=False))]
    if trees:
        steps.append(("dense", FunctionTransformer(_dense, accept_sparse=True)))
    return GridSearchCV(
        Pipeline([*steps, ("model", model)]),
        {f"model__{key}": list(values) for key, values in grid.items()},
        scoring="neg_log_loss" if of_classes else "neg_mean_squared_error",
        cv=ShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=seed),
        error_score="raise",
    )


def _dense(X: sparse.csr_array) -> NDArray:
    return X.toarray()


def _judged(
    search: GridSearchCV, problem: Problem, test: NDArray[np.intp]
) -> tuple[NDArray, float]:
    """Loss of each test row, and the share of missed classes (NaN of numbers)."""
    X, y = problem.X[test], problem.y[test]
    if not problem.of_classes:
        return squared_errors(y, search.predict(X), (-np.inf, np.inf)), np.nan
    right = np.searchsorted(search.classes_, y)
    p = search.predict_proba(X)
    of_right = np.take_along_axis(p, right[:, None], axis=1)[:, 0]
    return -np.log(np.maximum(of_right, np.finfo(float).eps)), float(
        np.mean(p.argmax(axis=1) != right)
    )


def _outcome(parts: Sequence[tuple]) -> Outcome:
    losses, rows, missed, times = zip(*parts, strict=True)
    mean = np.array([of.mean() for of in losses])
    return Outcome(
        np.concatenate(losses), np.concatenate(rows), mean, np.array(missed), np.array(times)
    )


def _spread(values: NDArray[np.float64], places: int) -> str:
    return f"{values.mean():.{places}f} ± {values.std(ddof=1):.{places}f}"


if __name__ == "__main__":
    sys.exit(main())
