"""What features are made of: the ratings they may look at, and the two things they give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from bench.data.dataset import Dataset, Rows
from bench.errors import UserError
from fm.design import Block


@dataclass(frozen=True, eq=False)
class Context:
    """What a feature may look at: every rating's user, item and time, and of `train_rows` alone
    also the fact that they were given. Never a rating's value."""

    dataset: Dataset
    train_rows: Rows

    @cached_property
    def users(self) -> Block:
        return identity("user", self.dataset.ratings["user"], self.dataset.users)

    @cached_property
    def items(self) -> Block:
        return identity("item", self.dataset.ratings["item"], self.dataset.items)

    def seconds(self, feature: str) -> NDArray[np.int64]:
        """(n_ratings,) time stamps; UserError where there are none, which `feature` needs."""
        if "timestamp" not in self.dataset.ratings:
            raise UserError(
                f"{self.dataset.name} has no timestamps, which the feature {feature!r} needs"
            )
        return self.dataset.ratings["timestamp"].to_numpy()


@dataclass(frozen=True, eq=False)
class Side:
    """Side columns of `block`: `matrix` (n_levels, n_columns) and their names."""

    block: str
    matrix: sparse.csr_array
    labels: tuple[str, ...]


def identity(name: str, column: pd.Series, table: pd.DataFrame | None = None) -> Block:
    """A level for every value in `column` or in the table's index, in their order."""
    labels = pd.Index(column.unique())
    if table is not None:
        labels = labels.union(table.index)
    labels = labels.sort_values()
    return Block(name, labels.get_indexer(column), len(labels), labels=labels.to_numpy())
