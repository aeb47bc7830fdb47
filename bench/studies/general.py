"""FMs on general features, with neither users nor items, beside what scikit-learn has.

Everything goes by libSVM text and sparse matrices, in scikit-learn's own pipelines and searches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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

from bench.intervals import paired_gap
from bench.measure import Measured
from bench.studies.study import Context, Part, Section, Study, Values, mean_std
from bench.tables import MISSING, markdown_table, seconds, signed
from fm import FMClassifier, FMRegressor
from fm.svmlight import read_svmlight, write_svmlight

SEEDS = range(5)
"""Of which rows are test and validation, and of the models."""
HELD_OUT = 0.2
N_ITER = 100
"""Sweeps of Gibbs sampling."""
STRENGTHS = (0.1, 2.0, 50.0, 1000.0)
TREES = {"learning_rate": (0.03, 0.1), "max_leaf_nodes": (7, 31)}
FACTORS = {"k": (0, 2, 4, 8)}
Candidate = tuple[BaseEstimator, Mapping[str, Sequence[float]]]


@dataclass(frozen=True, eq=False)
class Problem:
    """X (n_rows, n_features) and y; two values of y are classes."""

    X: sparse.csr_array
    y: NDArray[np.float64]

    @property
    def of_classes(self) -> bool:
        return len(np.unique(self.y)) == 2


def _digits() -> tuple[NDArray, NDArray]:
    X, y = load_digits(return_X_y=True)
    return X, y % 2


PROBLEMS: Mapping[str, tuple[str, Callable[[], tuple[NDArray, NDArray]]]] = {
    "Is the digit odd?": ("`load_digits`: 8 × 8 images of handwritten digits, real.", _digits),
    "Is the tumour benign?": (
        "`load_breast_cancer`: measurements of cell nuclei, real.",
        partial(load_breast_cancer, return_X_y=True),
    ),
    "How far does diabetes progress in a year?": (
        "`load_diabetes`: ten measurements of patients, real.",
        partial(load_diabetes, return_X_y=True),
    ),
}


def candidates(of_classes: bool, seed: int) -> dict[str, Candidate]:
    """Return models and their configurations; the first is what others are compared with."""
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


def through_text(X: NDArray, y: NDArray) -> Problem:
    """Return X and y as they are read from the libSVM text to which they were written."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "rows.svm")
        write_svmlight(path, X, y)
        return Problem(*read_svmlight(path, n_features=X.shape[1]))


def measure(problem: Problem) -> Mapping[str, Mapping[str, Any]]:
    """Return each model's losses, missed classes and seconds, and its gap to the first model.

    Of each seed a fifth of the rows is test; of the others a fifth is validation, by which one of a
    model's configurations is chosen and fitted to all of them.
    """
    found: dict[str, list[tuple]] = {}
    for seed in SEEDS:
        train, test = train_test_split(
            np.arange(len(problem.y)),
            test_size=HELD_OUT,
            random_state=seed,
            stratify=problem.y if problem.of_classes else None,
        )
        for name, candidate in candidates(problem.of_classes, seed).items():
            search = _search(candidate, problem.of_classes, seed)
            with Measured(threads=1):
                search.fit(problem.X[train], problem.y[train])
            losses, missed = _losses(search, problem, test)
            found.setdefault(name, []).append((losses, missed, search.refit_time_, test))
    all_losses = {name: np.concatenate([of[0] for of in seeds]) for name, seeds in found.items()}
    first = next(iter(found))
    return {
        name: {
            "loss": [of[0].mean() for of in seeds],
            "missed": [of[1] for of in seeds],
            "seconds": [of[2] for of in seeds],
            "gap": paired_gap(
                all_losses[name], all_losses[first], np.concatenate([of[3] for of in seeds])
            )
            if name != first
            else None,
        }
        for name, seeds in found.items()
    }


def measure_shipped(name: str, _: Context) -> Mapping[str, Any]:
    """Return the models' results on a data set that comes with scikit-learn."""
    problem = through_text(*PROBLEMS[name][1]())
    shape = [*problem.X.shape, problem.X.nnz]
    return {"classes": problem.of_classes, "shape": shape, "models": measure(problem)}


def _search(candidate: Candidate, of_classes: bool, seed: int) -> GridSearchCV:
    model, grid = candidate
    trees = isinstance(model, HistGradientBoostingClassifier | HistGradientBoostingRegressor)
    steps = [("scale", StandardScaler(with_mean=False))]
    if trees:
        steps.append(("dense", FunctionTransformer(sparse.csr_array.toarray, accept_sparse=True)))
    return GridSearchCV(
        Pipeline([*steps, ("model", model)]),
        {f"model__{key}": list(values) for key, values in grid.items()},
        scoring="neg_log_loss" if of_classes else "neg_mean_squared_error",
        cv=ShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=seed),
        error_score="raise",
    )


def _losses(
    search: GridSearchCV, problem: Problem, test: NDArray[np.intp]
) -> tuple[NDArray, float]:
    """Return the loss of each test row, and the share of missed classes (0 of numbers)."""
    X, y = problem.X[test], problem.y[test]
    if not problem.of_classes:
        return (y - search.predict(X)) ** 2, 0.0
    right = np.searchsorted(search.classes_, y)
    p = search.predict_proba(X)
    of_right = np.take_along_axis(p, right[:, None], axis=1)[:, 0]
    missed = float(np.mean(p.argmax(axis=1) != right))
    return -np.log(np.maximum(of_right, np.finfo(float).eps)), missed


def section(values: Values) -> list[Section]:
    """Write a table a data set, a row a model."""
    sections = []
    for name, found in values.items():
        classes, (n_rows, n_features, nnz) = found["classes"], found["shape"]
        loss, first = "log loss" if classes else "MSE", next(iter(found["models"]))
        rows = []
        for model, of in found["models"].items():
            row = [model, mean_std(of["loss"], 4 if classes else 1)]
            row += [mean_std(100 * np.array(of["missed"]), 1)] * classes
            row.append(MISSING if of["gap"] is None else signed(*of["gap"]))
            rows.append([*row, seconds(float(np.median(of["seconds"])))])
        header = ["model", loss, *["wrong, %"] * classes, f"{loss} − {first} [95 %]", "fit s"]
        filled = nnz / (n_rows * n_features)
        text = f"{PROBLEMS[name][0]} {n_rows:,} rows, {n_features} features, "
        text += f"{filled:.0%} of the cells not zero."
        sections.append(Section(name, f"{text}\n\n{markdown_table(header, rows)}"))
    return sections


STUDY = Study(
    "general",
    "Without users and items: FMs on general features",
    "FMClassifier and FMRegressor beside scikit-learn's models",
    f"A fifth of the rows is test, drawn anew for each of {len(SEEDS)} seeds. Each model has "
    f"four configurations (k of `gibbs`: {', '.join(map(str, FACTORS['k']))}, of which 0 is "
    f"linear, {N_ITER} sweeps; penalties {', '.join(f'{s:g}' for s in STRENGTHS)}; learning rate"
    " and leaves of the trees), of which one is chosen on a fifth of the other rows and fitted "
    "to all of these. Features are divided by their standard deviation and not centred, so that"
    f" zeros stay zeros. Mean ± standard deviation over seeds (n = {len(SEEDS)}, ddof = 1); the "
    "difference has a 95 % paired bootstrap interval over rows. Times are medians, of the last "
    "fit. One thread.",
    (
        Part(
            "General features", {name: partial(measure_shipped, name) for name in PROBLEMS}, section
        ),
    ),
)
