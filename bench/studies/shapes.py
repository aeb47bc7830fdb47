"""Rows of many shapes: drawn from known factorization machines, or Frappe's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfTransformer

from bench.data import frappe
from bench.features import build_design
from bench.metrics import log_losses
from fm import Design, FMClassifier, FMRegressor

N_ROWS = 100_000
TEST = 0.2
PAIRS = 0.4
"""Variance of what pairs of features add to the score."""
Matrix: TypeAlias = Design | sparse.csr_array


class Problem(NamedTuple):
    """Rows, of which the first `n_train` are for training; sizes of groups of columns for myFM."""

    X: Matrix
    y: NDArray[np.float64]
    groups: list[int]
    k: int
    n_train: int

    @property
    def of_classes(self) -> bool:
        return len(np.unique(self.y)) == 2

    @property
    def train(self) -> tuple[Matrix, NDArray[np.float64]]:
        return self.X[: self.n_train], self.y[: self.n_train]

    @property
    def test(self) -> tuple[Matrix, NDArray[np.float64]]:
        return self.X[self.n_train :], self.y[self.n_train :]

    def inner(self) -> Problem:
        """Return the training rows, the last of which are for choosing."""
        X, y = self.train
        return self._replace(X=X, y=y, n_train=round((1 - TEST) * len(y)))

    def model(self, **given: Any) -> FMClassifier | FMRegressor:
        """Return the FM of this task, with the planted number of factors."""
        return (FMClassifier if self.of_classes else FMRegressor)(k=self.k, **given)

    def error(self, predicted: NDArray[np.float64]) -> float:
        """Return the log loss of probabilities of 1, else the RMSE, of the test rows."""
        y = self.test[1]
        if self.of_classes:
            return float(log_losses(y, predicted).mean())
        return float(np.sqrt(np.mean((y - predicted) ** 2)))

    def loss(self, model: Any) -> float:
        """Return the error of a fitted estimator."""
        X = self.test[0] if isinstance(self.X, Design) else sparse.csr_matrix(self.test[0])
        if not self.of_classes:
            return self.error(model.predict(X))
        p = model.predict_proba(X)
        return self.error(p[:, 1] if np.ndim(p) == 2 else p)


def _zipf(n_levels: int, n: int, rng: np.random.Generator, exponent: float) -> NDArray[np.intp]:
    p = 1 / np.arange(1, n_levels + 1) ** exponent
    return np.searchsorted(np.cumsum(p / p.sum())[:-1], rng.random(n))


def one_hot(
    n_fields: int,
    *,
    k: int = 4,
    classes: bool = True,
    shuffled: bool = False,
    seed: int = 0,
    n_rows: int | None = None,
) -> Problem:
    """Draw rows of fields whose levels, up to 5,000 of the first, occur by Zipf's law."""
    rng, n_rows = np.random.default_rng(seed), n_rows or N_ROWS
    levels = [5000, *(int(5000 * share) for share in rng.uniform(0.01, 1, n_fields - 1))]
    columns = np.stack([_zipf(n, n_rows, rng, 1.1) for n in levels], axis=1)
    columns += np.cumsum([0, *levels[:-1]])
    groups = levels
    if shuffled:
        columns, groups = rng.permutation(sum(levels))[columns], [sum(levels)]
    X = _ones(np.full(n_rows, n_fields), columns.ravel(), sum(levels))
    return _drawn(X, rng, 0.3, n_fields * (n_fields - 1) / 2, k, classes, groups)


def bags(n_levels: int, most: int, tfidf: bool, seed: int = 0) -> Problem:
    """Draw rows of 5 to `most` levels, as ones or weighted as words of a text are."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, most + 1, N_ROWS)
    columns = _zipf(n_levels, sizes.sum(), rng, 1.0)
    columns = rng.permutation(n_levels)[columns]
    X = _ones(sizes, columns, n_levels)
    X.sum_duplicates()
    if tfidf:
        X = sparse.csr_array(TfidfTransformer(sublinear_tf=True).fit_transform(X))
        return _drawn(X, rng, 1.5, 1.0, 4, True, [n_levels])
    X.data[:] = 1
    return _drawn(X, rng, 0.3, (X.nnz / N_ROWS) ** 2 / 2, 4, True, [n_levels])


def dense(n_columns: int, seed: int = 0) -> Problem:
    """Draw rows of normal values."""
    rng = np.random.default_rng(seed)
    X = sparse.csr_array(rng.standard_normal((N_ROWS, n_columns)))
    return _drawn(X, rng, 0.2, n_columns * (n_columns - 1) / 2, 4, True, [n_columns])


def _ones(sizes: NDArray[np.intp], columns: NDArray[np.intp], n: int) -> sparse.csr_array:
    starts = np.concatenate([[0], np.cumsum(sizes)])
    X = sparse.csr_array((np.ones(len(columns)), columns, starts), shape=(len(sizes), n))
    X.sort_indices()
    return X


def _drawn(
    X: sparse.csr_array,
    rng: np.random.Generator,
    w_std: float,
    n_pairs: float,
    k: int,
    classes: bool,
    groups: list[int],
) -> Problem:
    """Draw coefficients and y."""
    w = rng.normal(0, w_std, X.shape[1])
    V = rng.normal(0, (PAIRS / (n_pairs * k)) ** 0.25, (X.shape[1], k))
    q = X @ V
    f = X @ w + (np.sum(q**2, axis=1) - X.power(2) @ np.sum(V**2, axis=1)) / 2
    if classes:
        y = (rng.random(len(f)) < expit(f - 1)).astype(float)
    else:
        y = f + rng.standard_normal(len(f))
    return Problem(X, y, groups, k, round((1 - TEST) * len(y)))


def read_frappe(flat: bool = False) -> Problem:
    """Return Frappe's training and test rows, as a design of its fields or a matrix."""
    data = frappe()
    train, _, test = data.splits["given"]
    X = build_design(data, ["ids"], train)
    rows = np.concatenate([train, test])
    groups = [block.n_features for block in X]
    return Problem(X[rows].to_csr() if flat else X[rows], data.y[rows], groups, 8, len(train))


SHAPES: Mapping[str, tuple[Callable[[], Problem], float]] = {
    "2 fields": (partial(one_hot, 2), 1.0),
    "5 fields": (partial(one_hot, 5), 1.2),
    "9 fields": (partial(one_hot, 9), 1.2),
    "20 fields": (partial(one_hot, 20), 1.2),
    "40 fields": (partial(one_hot, 40), 1.2),
    "20 fields, k = 16": (partial(one_hot, 20, k=16), 1.2),
    "20 fields, columns shuffled": (partial(one_hot, 20, shuffled=True), 1.2),
    "20 fields, real target": (partial(one_hot, 20, classes=False), 1.2),
    "bags of 5 to 30 of 20,000": (partial(bags, 20_000, 30, False), 2.0),
    "tf-idf of 5 to 100 of 50,000 words": (partial(bags, 50_000, 100, True), 2.0),
    "30 dense columns": (partial(dense, 30), 0.8),
}
"""Name -> what draws the rows, and how long a Gibbs sweep may take at most, myFM's being 1."""
