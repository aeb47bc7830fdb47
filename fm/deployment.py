"""Predictions from raw values: a fitted machine and the labels of its levels, in one file.

Beside the estimator, as `fm.save` writes it, the file has of each block its sources, which are a
table's columns with unit or bins, the labels and the side features; of columns of their own a bag's
labels, or a number's mean and deviation. Any program reads it with `load`; MLflow serves it, this
module being the `loader_module` of its pyfunc flavor.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from fm.arrays import AnyArray, FloatArray, IndexArray
from fm.base import FactorizationMachine
from fm.classifier import FMClassifier
from fm.design import UNKNOWN, Block, Design
from fm.io import from_tree, read_arrays, to_tree, write_arrays
from fm.model import Coefficients, Matrix
from fm.regressor import FMRegressor
from fm.tables import as_numbers_or_nan, bag_matrix, level_numbers
from fm.validation import check_X

FILE = "model.npz"
"""In the folder that MLflow keeps."""


@dataclass(frozen=True)
class Source:
    """A block's level is the label that equals `column`, in whole multiples of `unit`.

    With `period`, the remainder of that after whole periods. With `edges`, the highest values of
    all bins but the last, it is the bin of a number; a level more than there are bins is that of a
    missing one. `labels` are those of a source that names a block's level only with others.
    """

    column: str
    unit: int = 1
    period: int | None = None
    edges: FloatArray | None = None
    labels: AnyArray | None = None

    def levels(self, labels: AnyArray, values: ArrayLike) -> IndexArray:
        """Return the level of each value, `UNKNOWN` for what has none."""
        if self.edges is None and labels.dtype.kind in "OU":  # a missing value is "", if a level
            given = np.asarray(values, dtype=object)
            return level_numbers(labels, ["" if v is None or v != v else str(v) for v in given])
        if self.edges is None:
            values = as_numbers_or_nan(np.asarray(values))
            with np.errstate(invalid="ignore"):
                values = values // self.unit if self.unit != 1 else values
                return level_numbers(labels, values % self.period if self.period else values)
        numbers = np.asarray(values, dtype=np.float64)
        n_bins = len(self.edges) + 1
        missing = n_bins if len(labels) > n_bins else UNKNOWN
        return np.where(np.isnan(numbers), missing, np.searchsorted(self.edges, numbers))


@dataclass(frozen=True)
class Columns:
    """Columns after those of the blocks: a bag of `labels`, or a number's standard score."""

    column: str
    labels: AnyArray | None = None
    center: float = 0.0
    spread: float = 1.0

    @property
    def n_features(self) -> int:
        """Return how many columns there are."""
        return 1 if self.labels is None else len(self.labels)

    def matrix(self, values: Any) -> sparse.csr_array:
        """Return the columns (n_rows, n_features) of numbers, or of lists of labels."""
        if self.labels is None:
            z = (np.asarray(values, dtype=np.float64) - self.center) / self.spread
            return sparse.csr_array(np.nan_to_num(z)[:, None])
        bags = [[] if bag is None else list(bag) for bag in values]
        return bag_matrix(self.labels, bags).sign()


@dataclass(frozen=True)
class Served:
    """A model with the blocks that it was fitted on, of any rows; each has labels and sources.

    A block of several sources has as labels (n_levels, n_sources) the numbers of the sources'
    labels. With `columns` the model was fitted on a matrix, in which they follow the blocks.
    """

    model: FactorizationMachine
    blocks: Sequence[Block]
    sources: Sequence[Sequence[Source]]
    columns: Sequence[Columns] = ()

    def predict(
        self, table: Mapping[str, ArrayLike], params: Mapping[str, Any] | None = None
    ) -> AnyArray:
        """Return what the model predicts of each row of `table`, which has the sources' columns.

        Of two classes that is the probability of the second. An id that was not known when the
        model was fitted carries no information. `params` is there for MLflow and unused.
        """
        levels = [
            _levels(np.asarray(block.labels), sources, table)
            for block, sources in zip(self.blocks, self.sources, strict=True)
        ]
        X = self._rows(levels, [c.matrix(table[c.column]) for c in self.columns])
        if isinstance(self.model, FMClassifier) and len(self.model.classes_) == 2:
            return self.model.predict_proba(X)[:, 1]
        return self.model.predict(X)

    def unknown_row(self) -> Design | sparse.csr_array:
        """Return a row of which nothing is known."""
        empty = [sparse.csr_array((1, columns.n_features)) for columns in self.columns]
        return self._rows([np.array([UNKNOWN])] * len(self.blocks), empty)

    def _rows(
        self, levels: Sequence[IndexArray], matrices: Sequence[sparse.csr_array]
    ) -> Design | sparse.csr_array:
        pairs = zip(self.blocks, levels, strict=True)
        blocks = [replace(block, levels=of) for block, of in pairs]
        if not self.columns:
            return Design(tuple(blocks))
        flat = [block.to_csr() for block in blocks]
        return sparse.csr_array(sparse.hstack([*flat, *matrices], format="csr"))


def estimator_of(
    coefficients: Coefficients, X: Matrix, classes: AnyArray | None = None
) -> FMRegressor | FMClassifier:
    """Return the fitted estimator that has these coefficients, for rows such as those of X.

    With two `classes` it is a classifier, and f(x) the log-odds of the second.
    """
    k = coefficients.V.shape[1]
    estimator: FMRegressor | FMClassifier = FMRegressor(k=k, solver="als")
    if classes is not None:
        estimator = FMClassifier(k=k, solver="als")
        estimator.classes_ = classes
    check_X(estimator, X, reset=True)
    estimator.n_iter_, estimator.machine_ = 0, coefficients
    return estimator


def _levels(
    labels: AnyArray, sources: Sequence[Source], table: Mapping[str, ArrayLike]
) -> IndexArray:
    """Return the level of each row of a table, in a block with these labels."""
    if labels.ndim == 1:
        (source,) = sources
        return source.levels(labels, table[source.column])
    known = np.zeros(len(labels), dtype=np.intp)
    asked = np.zeros(1, dtype=np.intp)
    for numbers, source in zip(labels.T, sources, strict=True):
        own = np.asarray(source.labels)
        level = source.levels(own, table[source.column])
        both = np.where((asked < 0) | (level < 0), UNKNOWN, asked * len(own) + level)
        combinations, known = np.unique(known * len(own) + numbers, return_inverse=True)
        asked = level_numbers(combinations, both)
    return np.append(np.argsort(known), UNKNOWN)[asked]


def save(served: Served, folder: str | os.PathLike[str]) -> None:
    """Write `served` to `folder`, which exists."""
    bare = {"levels": np.array([UNKNOWN]), "side_feature_names": None}
    tree = {
        "model": to_tree(served.model),
        "blocks": [vars(block) | bare for block in served.blocks],
        "sources": [list(map(vars, sources)) for sources in served.sources],
        "columns": list(map(vars, served.columns)),
    }
    write_arrays(Path(folder, FILE), tree)


def load(folder: str | os.PathLike[str]) -> Served:
    """Return what `save` wrote; ValueError if the file is damaged, or something else."""
    tree = read_arrays(Path(folder, FILE))
    try:
        return Served(
            from_tree(tree["model"]),
            [Block(**of) for of in tree.get("blocks", [])],
            [[Source(**of) for of in sources] for sources in tree.get("sources", [])],
            [Columns(**of) for of in tree.get("columns", [])],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} has no served model: {str(error)[:200]}") from error


_load_pyfunc = load
