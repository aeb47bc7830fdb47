"""What models are fitted on: categorical blocks, each with optional features of its levels.

A rating is described by a few categorical variables (`user`, `item`, `day`). Written as a feature
matrix each becomes a group of 0/1 columns with one 1 a row, and everything known about a level (a
user's age, the items she rated) is repeated in every row in which the level occurs. A `Design`
keeps the repetition out: a level number per row, and the level's features once per level. This is
the relational block structure of Rendle, "Scaling Factorization Machines to Relational Data"
(VLDB 2013), section 3. `Design.to_csr()` is the matrix it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse

UNKNOWN = -1
"""Level of a row about which this block says nothing."""


@dataclass(frozen=True, eq=False)
class Block:
    """One categorical variable.

    Parameters
    ----------
    name : what the variable is called (`"user"`).
    levels : (n_rows,) integers in [-1, n_levels); -1 (`UNKNOWN`) means "no information".
    n_levels : number of levels; a level that occurs in no row is legal.
    side : (n_levels, n_side) features of the levels, or None. Their columns follow the levels'.
    labels : (n_levels,) what a level is called outside (the user's id); the level's number if None.
    side_labels : n_side names of the side columns; their numbers if None.
    linear : whether levels have a weight w only, and no factors: they shift y and interact with nothing.

    Raises
    ------
    ValueError : levels out of range, or lengths that do not fit each other.
    """

    name: str
    levels: NDArray[np.intp]
    n_levels: int
    side: sparse.csr_array | None = None
    labels: NDArray | None = None
    side_labels: tuple[str, ...] | None = None
    linear: bool = False

    def __post_init__(self) -> None:
        levels = _whole_numbers(self.name, self.levels)
        if levels.ndim != 1:
            raise ValueError(f"block {self.name!r}: levels must be 1-D, got shape {levels.shape}")
        if levels.size and not (levels.min() >= UNKNOWN and levels.max() < self.n_levels):
            raise ValueError(
                f"block {self.name!r}: levels run from {levels.min()} to {levels.max()}, "
                f"allowed are -1 to {self.n_levels - 1}"
            )
        object.__setattr__(self, "levels", levels)
        if self.side is not None:
            side = sparse.csr_array(self.side, dtype=np.float64)
            if side.shape[0] != self.n_levels:
                raise ValueError(
                    f"block {self.name!r}: side has {side.shape[0]} rows for {self.n_levels} levels"
                )
            object.__setattr__(self, "side", side)
        if self.labels is not None and len(self.labels) != self.n_levels:
            raise ValueError(
                f"block {self.name!r}: {len(self.labels)} labels for {self.n_levels} levels"
            )
        if self.side_labels is not None and len(self.side_labels) != self.n_side:
            raise ValueError(
                f"block {self.name!r}: {len(self.side_labels)} side labels for {self.n_side} columns"
            )

    @property
    def n_side(self) -> int:
        return 0 if self.side is None else self.side.shape[1]

    @property
    def n_features(self) -> int:
        return self.n_levels + self.n_side

    def feature_names(self) -> list[str]:
        """`user=12` for a level, `user.age` for a side column."""
        labels = range(self.n_levels) if self.labels is None else self.labels
        side = range(self.n_side) if self.side_labels is None else self.side_labels
        return [f"{self.name}={label}" for label in labels] + [f"{self.name}.{s}" for s in side]

    def to_csr(self, dtype: DTypeLike = np.float64) -> sparse.csr_array:
        """(n_rows, n_features): one-hot levels, then the level's side features."""
        known = self.levels >= 0
        index = sparse.get_index_dtype(maxval=max(len(self.levels), self.n_features))
        indptr = np.concatenate(([0], np.cumsum(known)), dtype=index)
        one_hot = sparse.csr_array(
            (np.ones(indptr[-1], dtype=dtype), self.levels[known].astype(index), indptr),
            shape=(len(self.levels), self.n_levels),
        )
        if self.side is None:
            return one_hot
        return sparse.hstack([one_hot, one_hot @ self.side.astype(dtype)], format="csr")


def _whole_numbers(name: str, levels: ArrayLike) -> NDArray[np.intp]:
    """Return levels as integers, none of them rounded or wrapped."""
    given = np.asarray(levels)
    if given.dtype == np.intp or given.size == 0:
        return np.ascontiguousarray(given, dtype=np.intp)
    if given.dtype.kind not in "iuf":
        raise ValueError(
            f"block {name!r}: levels must be whole numbers, got {given.dtype}: number the labels from 0, "
            "for example by numpy.unique(..., return_inverse=True)"
        )
    with np.errstate(invalid="ignore"):
        whole = given.astype(np.intp)
    wrong = whole != given
    if wrong.any():
        raise ValueError(
            f"block {name!r}: levels must be whole numbers, got {given[wrong][0]} "
            f"in row {np.argmax(wrong)}"
        )
    return np.ascontiguousarray(whole)


@dataclass(frozen=True, eq=False)
class Design:
    """Rows described by blocks; `X` for every model here, in place of a matrix.

    `len(X)`, `X.shape`, and row selection `X[rows]` (integers, mask or slice) work as for a
    matrix; side features are shared between selections, never copied. Linear blocks come last, so that
    the features with factors are the first ones.
    """

    blocks: tuple[Block, ...]
    shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        lengths = {block.name: len(block.levels) for block in self.blocks}
        if not self.blocks:
            raise ValueError("a design needs at least one block")
        if len(lengths) < len(self.blocks):
            raise ValueError(f"block names must differ, got {[b.name for b in self.blocks]}")
        if len(set(lengths.values())) > 1:
            raise ValueError(f"blocks differ in their number of rows: {lengths}")
        if not self.interacting or self.interacting != self.blocks[: len(self.interacting)]:
            raise ValueError(
                "a design has one block that is not linear, or more, and then the linear ones; got "
                + ", ".join(
                    f"{block.name} (linear)" if block.linear else block.name
                    for block in self.blocks
                )
            )
        n_features = sum(block.n_features for block in self.blocks)
        object.__setattr__(self, "shape", (len(self.blocks[0].levels), n_features))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def __getitem__(self, rows: ArrayLike | slice) -> Design:
        return Design(tuple(replace(b, levels=b.levels[rows]) for b in self.blocks))

    @property
    def interacting(self) -> tuple[Block, ...]:
        """The blocks whose levels have factors."""
        return tuple(block for block in self.blocks if not block.linear)

    @property
    def n_interacting(self) -> int:
        """How many features have factors: the first so many."""
        return sum(block.n_features for block in self.interacting)

    def block(self, name: str) -> Block:
        """The block of that name; KeyError names those there are."""
        for block in self.blocks:
            if block.name == name:
                return block
        raise KeyError(f"no block {name!r}; there are {[b.name for b in self.blocks]}")

    def feature_names(self) -> list[str]:
        return [name for block in self.blocks for name in block.feature_names()]

    def to_csr(self, dtype: DTypeLike = np.float64) -> sparse.csr_array:
        """The flat (n_rows, n_features) matrix: the blocks' columns side by side."""
        return sparse.hstack([b.to_csr(dtype) for b in self.blocks], format="csr")
