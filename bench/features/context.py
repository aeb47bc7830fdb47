"""What features are made of: the rows they may look at, and the three things they give."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as attribute

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from bench.data.dataset import Dataset, Rows
from bench.errors import UserError
from fm.design import Block


@dataclass(frozen=True, eq=False)
class Context:
    """What a feature may use: every row's columns but the target, and counts of `train_rows`."""

    dataset: Dataset
    train_rows: Rows
    _blocks: dict[str, Block] = attribute(default_factory=dict, repr=False)

    def field(self, name: str, feature: str | None = None) -> Block:
        """Return the block of a field; UserError where there is none, which `feature` needs."""
        if name not in self.dataset.fields:
            raise UserError(
                f"{self.dataset.name} has no field {name!r}, which the feature {feature!r} needs"
            )
        if name not in self._blocks:
            table = self.dataset.tables.get(name)
            self._blocks[name] = identity(name, self.dataset.rows[name], table)
        return self._blocks[name]

    def seconds(self, feature: str) -> NDArray[np.int64]:
        """Return (n_rows,) seconds; UserError where there are none, which `feature` needs."""
        if self.dataset.time is None:
            raise UserError(
                f"{self.dataset.name} has no timestamps, which the feature {feature!r} needs"
            )
        return self.dataset.rows[self.dataset.time].to_numpy()


@dataclass(frozen=True, eq=False)
class Side:
    """Columns (n_levels, n_columns) that describe the levels of `block`, and their names."""

    block: str
    matrix: sparse.csr_array
    labels: tuple[str, ...]


def identity(name: str, column: pd.Series, table: pd.DataFrame | None = None) -> Block:
    """Return a block with a level for every value of `column` or the table's index, in order."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        if table is None:
            names, codes = column.cat.categories, column.cat.codes.to_numpy(np.intp)
            return Block(name, codes, len(names), labels=names.to_numpy(object))
        column = column.astype("str")
    labels = pd.Index(column.unique())
    if table is not None:
        labels = labels.union(table.index)
    labels = labels.sort_values()
    return Block(name, labels.get_indexer(column), len(labels), labels=labels.to_numpy())
