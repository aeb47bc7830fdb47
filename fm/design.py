"""What models are fitted on: categorical blocks, each with optional features of its levels.

A rating is described by a few categorical variables (`user`, `item`, `day`). Written as a feature
matrix each becomes a group of 0/1 columns with one 1 a row, and everything known about a level (a
user's age, the items she rated) is repeated in every row in which the level occurs. A `Design`
keeps the repetition out: a level number per row, and the level's features once per level. This is
the relational block structure of Rendle, "Scaling Factorization Machines to Relational Data"
(VLDB 2013), section 3. `Design.to_csr()` is the matrix it stands for.

Numbers that differ from row to row, and bags of labels, are `NumericBlock`s beside them. A design
that has some is fitted as its matrix is, each block having a prior of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy import sparse

from fm.arrays import AnyArray, BoolArray, IndexArray, IntArray

UNKNOWN = -1
"""Level of a row about which this block says nothing."""


@dataclass(frozen=True, eq=False)
class Block:
    """One categorical variable.

    Parameters
    ----------
    name : str
        What the variable is called (`"user"`).
    levels : (n_rows,) int
        Numbers from -1 to n_levels - 1; -1 (`UNKNOWN`) means "no information".
    n_levels : int
        Number of levels; a level that occurs in no row is legal.
    side_features : (n_levels, n_side_features) array or sparse matrix, optional
        Features of the levels. Their columns follow those of the levels.
    labels : (n_levels,) array, optional
        What a level is called outside (the user's id); by default the level's number.
    side_feature_names : tuple of str, optional
        Names of the side features; by default their numbers.
    linear : bool, default=False
        Whether levels have a weight w only, and no factors: they shift y and interact with nothing.

    Raises
    ------
    ValueError
        Levels are out of range, or lengths do not fit each other.
    """

    name: str
    levels: IndexArray
    n_levels: int
    side_features: sparse.csr_array | None = None
    labels: AnyArray | None = None
    side_feature_names: tuple[str, ...] | None = None
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
        if self.side_features is not None:
            side = sparse.csr_array(self.side_features, dtype=np.float64)
            object.__setattr__(self, "side_features", side)
            _check_length(self.name, "rows of side_features", range(side.shape[0]), self.n_levels)
        _check_length(self.name, "labels", self.labels, self.n_levels)
        names = self.side_feature_names
        _check_length(self.name, "side_feature_names", names, self.n_side_features)

    @property
    def n_side_features(self) -> int:
        """Return the number of side features of a level."""
        return 0 if self.side_features is None else self.side_features.shape[1]

    @property
    def n_features(self) -> int:
        """Return the number of columns: the levels and their side features."""
        return self.n_levels + self.n_side_features

    def feature_names(self) -> list[str]:
        """Return `user=12` for each level, then `user.age` for each side feature."""
        labels = range(self.n_levels) if self.labels is None else self.labels
        side = self.side_feature_names or range(self.n_side_features)
        return [f"{self.name}={label}" for label in labels] + [f"{self.name}.{s}" for s in side]

    def one_hot(self, dtype: DTypeLike = np.float64) -> sparse.csr_array:
        """Return (n_rows, n_levels) with a 1 for each row's level."""
        known = self.levels >= 0
        index = sparse.get_index_dtype(maxval=max(len(self.levels), self.n_features))
        indptr = np.concatenate(([0], np.cumsum(known)), dtype=index)
        return sparse.csr_array(
            (np.ones(indptr[-1], dtype=dtype), self.levels[known].astype(index), indptr),
            shape=(len(self.levels), self.n_levels),
        )

    def level_columns(self, dtype: DTypeLike = np.float64) -> sparse.csr_array:
        """Return (n_levels, n_features): a 1 in each level's own column, then its side features."""
        own = sparse.eye_array(self.n_levels, dtype=dtype, format="csr")
        if self.side_features is None:
            return own
        return sparse.hstack([own, self.side_features.astype(dtype)], format="csr")

    def to_csr(self, dtype: DTypeLike = np.float64) -> sparse.csr_array:
        """Return (n_rows, n_features): one-hot levels, then the level's side features."""
        one_hot = self.one_hot(dtype)
        if self.side_features is None:
            return one_hot
        return sparse.hstack([one_hot, one_hot @ self.side_features.astype(dtype)], format="csr")


@dataclass(frozen=True, eq=False)
class NumericBlock:
    """Numbers of each row: a numeric column, several, or how often a bag has each label.

    Parameters
    ----------
    name : str
        What they are called (`"price"`).
    values : (n_rows,) or (n_rows, n_features) array or sparse matrix
        Finite numbers.
    labels : (n_features,) array, optional
        What each column is called; by default its number.
    """

    name: str
    values: sparse.csr_array
    labels: AnyArray | None = None

    def __post_init__(self) -> None:
        values = self.values
        if not sparse.issparse(values) and np.ndim(values) == 1:
            values = np.reshape(values, (-1, 1))
        values = sparse.csr_array(values, dtype=np.float64)
        _check_length(self.name, "labels", self.labels, values.shape[1])
        object.__setattr__(self, "values", values)

    @property
    def n_features(self) -> int:
        """Return the number of columns."""
        return int(self.values.shape[1])

    def feature_names(self) -> list[str]:
        """Return `price`, or `tags=label` where there are several columns or labels."""
        if self.labels is None and self.n_features == 1:
            return [self.name]
        labels = range(self.n_features) if self.labels is None else self.labels
        return [f"{self.name}={label}" for label in labels]


def _check_length(name: str, what: str, values: Sized | None, n: int) -> None:
    if values is not None and len(values) != n:
        raise ValueError(f"block {name!r}: {len(values)} {what}, expected {n}")


def _whole_numbers(name: str, levels: ArrayLike) -> IndexArray:
    """Return levels as integers, none of them rounded or wrapped."""
    given = np.asarray(levels)
    if given.dtype == np.intp or given.size == 0:
        return np.ascontiguousarray(given, dtype=np.intp)
    reason = f"{given.dtype}: number the labels from 0, for example by numpy.unique"
    if given.dtype.kind in "iuf":
        with np.errstate(invalid="ignore"):
            whole = given.astype(np.intp)
        wrong = whole != given
        if not wrong.any():
            return np.ascontiguousarray(whole)
        reason = f"{given[wrong][0]} in row {np.argmax(wrong)}"
    raise ValueError(f"block {name!r}: levels must be whole numbers, got {reason}")


@dataclass(frozen=True, eq=False)
class Design:
    """Rows described by blocks; `X` for every model here, in place of a matrix.

    `len(X)`, `X.shape`, and row selection `X[rows]` (integers, mask or slice) work as for a
    matrix; side features are shared between selections, never copied.

    Parameters
    ----------
    blocks : tuple of Block
        With as many rows each. Linear blocks come last, so that the features with factors are the
        first ones.
    numeric : tuple of NumericBlock, optional
        With as many rows; their features follow those of the blocks, none of which is linear then.

    Examples
    --------
    >>> X = Design((Block("user", [0, 0, 1], 2), Block("item", [0, 2, -1], 3)))
    >>> X.shape
    (3, 5)
    >>> X.to_csr().toarray().astype(int).tolist()
    [[1, 0, 1, 0, 0], [1, 0, 0, 0, 1], [0, 1, 0, 0, 0]]
    >>> X = Design((Block("user", [0, 0, 1], 2),), (NumericBlock("age", [20, 30, 0]),))
    >>> X.feature_names()
    ['user=0', 'user=1', 'age']
    """

    blocks: tuple[Block, ...]
    numeric: tuple[NumericBlock, ...] = ()
    shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        object.__setattr__(self, "numeric", tuple(self.numeric))
        if not self.blocks:
            raise ValueError("a design needs at least one block")
        names = [block.name for block in self._every()]
        rows = [len(block.levels) for block in self.blocks]
        rows += [block.values.shape[0] for block in self.numeric]
        if len(set(names)) < len(names):
            raise ValueError(f"block names must differ, got {names}")
        if len(set(rows)) > 1:
            raise ValueError(f"blocks {names} differ in their number of rows: {rows}")
        if not self.interacting or self.interacting != self.blocks[: len(self.interacting)]:
            given = ", ".join(block.name + " (linear)" * block.linear for block in self.blocks)
            raise ValueError(
                "a design has one block that is not linear, or more, and then the linear ones; got "
                + given
            )
        if self.numeric and len(self.interacting) < len(self.blocks):
            raise ValueError("a design with numeric blocks has no linear blocks")
        n_features = sum(block.n_features for block in self._every())
        object.__setattr__(self, "shape", (rows[0], n_features))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def __getitem__(self, rows: IntArray | BoolArray | slice) -> Design:
        return Design(
            tuple(replace(b, levels=b.levels[rows]) for b in self.blocks),
            tuple(replace(b, values=b.values[rows]) for b in self.numeric),
        )

    @property
    def interacting(self) -> tuple[Block, ...]:
        """Return the blocks whose levels have factors."""
        return tuple(block for block in self.blocks if not block.linear)

    @property
    def n_interacting(self) -> int:
        """Return how many features have factors: the first so many."""
        return self.shape[1] - sum(block.n_features for block in self.blocks if block.linear)

    def block(self, name: str) -> Block:
        """Return the block of that name; KeyError names those there are."""
        for block in self.blocks:
            if block.name == name:
                return block
        raise KeyError(f"no block {name!r}; there are {[b.name for b in self.blocks]}")

    def feature_names(self) -> list[str]:
        """Return the names of all columns, as `Block.feature_names` forms them."""
        return [name for block in self._every() for name in block.feature_names()]

    def block_numbers(self) -> IndexArray:
        """Return the number of each feature's block, (n_features,)."""
        sizes = [block.n_features for block in self._every()]
        return np.repeat(np.arange(len(sizes)), sizes)

    def _every(self) -> tuple[Block | NumericBlock, ...]:
        return (*self.blocks, *self.numeric)

    def to_csr(self, dtype: DTypeLike = np.float64) -> sparse.csr_array:
        """Return the flat (n_rows, n_features) matrix: the blocks' columns side by side."""
        parts = [b.to_csr(dtype) for b in self.blocks]
        parts += [b.values.astype(dtype) for b in self.numeric]
        return sparse.hstack(parts, format="csr")
