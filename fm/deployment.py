"""Predictions from raw values: a fitted machine and the labels of its levels, in one folder.

    model.npz     the estimator, by `fm.save`
    blocks.npz    of each block: its sources, which are a table's columns with unit or bins; the
                  labels, the side features;
                  of columns of their own: a bag's labels, or a number's mean and deviation

Nothing is pickled. Any program reads it with `load`; MLflow serves it, this module being the
`loader_module` of its pyfunc flavor.
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
from fm.io import load as load_estimator
from fm.io import read_arrays, written_aside
from fm.io import save as save_estimator
from fm.model import Coefficients, Matrix
from fm.regressor import FMRegressor
from fm.tables import bag_matrix, level_numbers
from fm.validation import check_X

MODEL, BLOCKS = "model.npz", "blocks.npz"


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
        if self.edges is None:
            if labels.dtype.kind in "OU":  # a missing value is "", where that is a level
                given = np.asarray(values, dtype=object)
                values = ["" if v is None or v != v else str(v) for v in given]
            return level_numbers(labels, values, self.unit, self.period)
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
            _levels(_labels(block), sources, table)
            for block, sources in zip(self.blocks, self.sources, strict=True)
        ]
        X = self._rows(levels, [c.matrix(table[c.column]) for c in self.columns])
        if isinstance(self.model, FMClassifier) and len(self.model.classes_) == 2:
            return self.model.predict_proba(X)[:, 1]
        return self.model.predict(X)

    def check(self) -> None:
        """Raise ValueError where the model was fitted on other blocks or columns."""
        check_X(self.model, self.unknown_row())

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
    save_estimator(served.model, Path(folder, MODEL))
    arrays: dict[str, AnyArray] = {}
    for b, (block, sources) in enumerate(zip(served.blocks, served.sources, strict=True)):
        arrays |= {f"{b}/name": np.array(block.name), f"{b}/linear": np.array(block.linear)}
        arrays[f"{b}/labels"] = _plain(_labels(block))
        for s, source in enumerate(sources):
            arrays |= {
                f"{b}/sources/{s}/{key}": _plain(np.asarray(value))
                for key, value in vars(source).items()
                if value is not None
            }
        if block.side_features is not None:
            arrays |= {
                f"{b}/side/{part}": getattr(block.side_features, part)
                for part in ("data", "indices", "indptr")
            }
            arrays[f"{b}/side/shape"] = np.array(block.side_features.shape)
    for c, columns in enumerate(served.columns):
        arrays[f"columns/{c}/column"] = np.array(columns.column)
        arrays[f"columns/{c}/score"] = np.array([columns.center, columns.spread])
        if columns.labels is not None:
            arrays[f"columns/{c}/labels"] = np.asarray(columns.labels).astype(np.str_)
    with written_aside(Path(folder, BLOCKS)) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(folder: str | os.PathLike[str]) -> Served:
    """Return what `save` wrote.

    Raises
    ------
    ValueError
        A file is damaged, or the two do not belong together.
    """
    path = Path(folder, BLOCKS)
    model, arrays = load_estimator(Path(folder, MODEL)), read_arrays(path)
    try:
        n_blocks = len([name for name in arrays if name.endswith("/name")])
        described = [_block(arrays, b) for b in range(n_blocks)]
        n_columns = len([name for name in arrays if name.endswith("/score")])
        served = Served(
            model,
            [block for block, _ in described],
            [sources for _, sources in described],
            [_columns(arrays, c) for c in range(n_columns)],
        )
        served.check()
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path} is damaged: {str(error)[:200]}") from error
    return served


def _block(arrays: Mapping[str, AnyArray], b: int) -> tuple[Block, list[Source]]:
    side = None
    if f"{b}/side/data" in arrays:
        parts = tuple(arrays[f"{b}/side/{part}"] for part in ("data", "indices", "indptr"))
        side = sparse.csr_array(parts, shape=tuple(arrays[f"{b}/side/shape"]))
        side.check_format()
    labels = arrays[f"{b}/labels"]
    name, linear = str(arrays[f"{b}/name"].item()), bool(arrays[f"{b}/linear"].item())
    row = np.array([UNKNOWN])
    block = Block(name, row, len(labels), side, labels=labels, linear=linear)
    n_sources = labels.shape[1] if labels.ndim == 2 else 1
    return block, [_source(arrays, f"{b}/sources/{s}") for s in range(n_sources)]


def _source(arrays: Mapping[str, AnyArray], at: str) -> Source:
    period = arrays.get(f"{at}/period")
    return Source(
        str(arrays[f"{at}/column"].item()),
        int(arrays[f"{at}/unit"].item()),
        None if period is None else int(period.item()),
        arrays.get(f"{at}/edges"),
        arrays.get(f"{at}/labels"),
    )


def _columns(arrays: Mapping[str, AnyArray], c: int) -> Columns:
    column, (center, spread) = arrays[f"columns/{c}/column"], arrays[f"columns/{c}/score"]
    labels = arrays.get(f"columns/{c}/labels")
    return Columns(str(column.item()), labels, float(center), float(spread))


_load_pyfunc = load


def _plain(values: AnyArray) -> AnyArray:
    """Return values that keep their type without pickling."""
    return values.astype(np.str_) if values.dtype == object else values


def _labels(block: Block) -> AnyArray:
    if block.labels is None:
        raise ValueError(f"block {block.name!r} has no labels to recognize its levels by")
    return np.asarray(block.labels)
