"""What every loader returns and everything else reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""Positions of rows in `Dataset.ratings`."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Ratings, and what is known about users and items.

    Attributes
    ----------
    name : the choice of `data=` that gives this data set.
    ratings : columns `user`, `item` (int64 or str), `rating` (float64) and, where known, `timestamp`
        (int64, seconds since 1970), in file order.
    scale : lowest and highest possible rating.
    digest : sha256, hexadecimal, of what was read.
    source : where it came from, for a person.
    users, items : tables indexed by id, or None. Numbers, booleans and categories describe; text and
        dates are for people. An id may be without ratings, and one with ratings without a row here.
    splits : published splits, name -> (train rows, test rows), each in the published file's order.
    simulated : whether the ratings were drawn rather than given by people.
    expected, variance : (n_ratings,) true mean and variance of each rating given the model it was
        drawn from, the error that no model can go below; simulated data only, never a feature.
    licence : conditions of use, or None.
    """

    name: str
    ratings: pd.DataFrame
    scale: tuple[float, float]
    digest: str
    source: str
    users: pd.DataFrame | None = None
    items: pd.DataFrame | None = None
    splits: Mapping[str, tuple[Rows, Rows]] = field(default_factory=dict)
    simulated: bool = False
    expected: NDArray[np.float64] | None = None
    variance: NDArray[np.float64] | None = None
    licence: str | None = None


class LazySplits(Mapping[str, tuple[Rows, Rows]]):
    """Splits of the given names, each made by `make(name)` when first asked for."""

    def __init__(self, names: Sequence[str], make: Callable[[str], tuple[Rows, Rows]]) -> None:
        self._names, self._make, self._made = tuple(names), make, {}

    def __getitem__(self, name: str) -> tuple[Rows, Rows]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def array_digest(*arrays: NDArray) -> str:
    """sha256 of the arrays' bytes, little-endian."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")))
    return state.hexdigest()
