"""Which rows a model is fitted on, chosen on, and judged on.

Every protocol first sets test rows apart; validation is then drawn out of the rest from its own
stream of random numbers. Rows keep their order: the published file's for published splits, the data
set's for all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.data.dataset import Dataset, Rows
from bench.errors import UserError, checked
from bench.seeds import derive_rng
from fm.validation import check_integer, check_number, nearest


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint row sets of one data set.

    Attributes
    ----------
    name : the protocol, for a person (`"ua"`, `"fold 2 of 5"`).
    development : (n_dev,) rows that are not test: train and validation together.
    validation_mask : (n_dev,) which of them are validation.
    test : (n_test,) rows.

    Raises
    ------
    UserError : a row that is both test and development, or twice in either; no train or test row.
    """

    name: str
    development: Rows
    validation_mask: NDArray[np.bool_]
    test: Rows

    def __post_init__(self) -> None:
        n = 1 + max(map(np.max, filter(len, (self.development, self.test))), default=0)
        times = [np.bincount(rows, minlength=n) for rows in (self.development, self.test)]
        both = np.flatnonzero(np.minimum(*times))
        if len(both):
            raise UserError(
                f"split {self.name}: test overlaps train in {len(both)} rows, first in row "
                f"{both[0]}"
            )
        if np.max(times) > 1:
            raise UserError(f"split {self.name}: a row occurs twice in train or in test")
        if not len(self.test):
            raise UserError(f"split {self.name}: there is no test row")
        if self.validation_mask.all():
            raise UserError(f"split {self.name}: no row is left to train on")

    @property
    def train(self) -> Rows:
        return self.development[~self.validation_mask]

    @property
    def validation(self) -> Rows:
        return self.development[self.validation_mask]


def default(
    dataset: Dataset, *, test: float = 0.1, validation: float = 0.1, seed: int = 0
) -> Split:
    """Return the split that the data set comes with, and where it has none, `random`."""
    if dataset.default_split is None:
        return random(dataset, test=test, validation=validation, seed=seed)
    return published(dataset, dataset.default_split, validation=validation, seed=seed)


def published(dataset: Dataset, name: str, *, validation: float = 0.1, seed: int = 0) -> Split:
    """Return a split that came with the data, exactly and in file order.

    Where it has a validation part of its own, that is used; otherwise a fraction `validation` of
    its train part.
    """
    train, *own, test = _published_rows(dataset, name)
    if not own:
        return _with_validation(name, train, test, validation, seed)
    mask = np.arange(len(train) + len(own[0])) >= len(train)
    return Split(name, np.concatenate([train, own[0]]), mask, test)


def published_by_user(dataset: Dataset, name: str, *, n: int = 5, seed: int = 0) -> Split:
    """As `published`; validation are `n` ratings of each user, drawn uniformly.

    So were the test rows of MovieLens-100K's `ua` and `ub` drawn. A user with no more than `n`
    ratings gives none.
    """
    with checked():
        check_integer("n", n, low=1)
    development, test = _published_rows(dataset, name)
    users = pd.factorize(_field(dataset, "user").to_numpy()[development])[0]
    order = derive_rng(seed, "validation by user", name).permutation(len(users))[::-1]
    order = order[np.argsort(users[order], kind="stable")]
    return Split(f"{name}, {n} of each user", development, _last_of_each(users, order, n), test)


def _published_rows(dataset: Dataset, name: str) -> tuple[Rows, ...]:
    if name not in dataset.splits:
        choices = ", ".join(dataset.splits) or "none: choose split=random or another that is drawn"
        raise UserError(
            f"{dataset.name} has no split {name!r}{nearest(name, dataset.splits)}; there are "
            f"{choices}"
        )
    return dataset.splits[name]


def random(dataset: Dataset, *, test: float = 0.1, validation: float = 0.1, seed: int = 0) -> Split:
    """Test a fraction `test` of the rows, drawn uniformly; validation is one of the rest."""
    is_test = _drawn(len(dataset), "test", test, derive_rng(seed, "test"))
    return _of_mask("random", is_test, validation, seed)


def kfold(
    dataset: Dataset, *, fold: int, n_folds: int = 5, validation: float = 0.1, seed: int = 0
) -> Split:
    """Fold `fold` (0 to `n_folds - 1`) is test; the folds of one seed partition the ratings."""
    _check_part("fold", fold, "n_folds", n_folds, low=2)
    folds = derive_rng(seed, "folds").permutation(len(dataset)) % n_folds
    return _of_mask(f"fold {fold} of {n_folds}", folds == fold, validation, seed)


def leave_last_out(
    dataset: Dataset, *, n: int = 1, validation: float = 0.1, seed: int = 0
) -> Split:
    """Each user's last `n` ratings by time; of equal times the later in the file is the last.

    A user with no more than `n` ratings gives none, so that every test user has been seen.
    """
    with checked():
        check_integer("n", n, low=1)
    users = pd.factorize(_field(dataset, "user"))[0]
    is_test = _last_of_each(users, np.lexsort((_times(dataset), users)), n)
    return _of_mask(f"last {n} out", is_test, validation, seed)


def temporal(
    dataset: Dataset, *, test: float = 0.1, validation: float = 0.1, seed: int = 0
) -> Split:
    """Test the latest fraction `test` of all rows; of equal times the later in the file."""
    _check_fraction("test", test)
    order = np.argsort(_times(dataset), kind="stable")
    is_test = np.zeros(len(order), dtype=bool)
    is_test[order[len(order) - round(test * len(order)) :]] = True
    return _of_mask("temporal", is_test, validation, seed)


def rolling(
    dataset: Dataset, *, origin: int, n_origins: int = 5, validation: float = 0.1, seed: int = 0
) -> Split:
    """Train on the past, test on the window that follows: origin `origin` of `n_origins`.

    The rows are cut by time into `n_origins + 1` windows of equal size; origin i (from 0) trains on
    the first i + 1 of them and tests on the next. Validation is the latest fraction of the past. Of
    equal times the later in the file is later.
    """
    del seed  # nothing is drawn
    _check_part("origin", origin, "n_origins", n_origins, low=1)
    _check_fraction("validation", validation)
    order = np.argsort(_times(dataset), kind="stable")
    start, end = (len(order) * (origin + i) // (n_origins + 1) for i in (1, 2))
    past = order[:start]
    latest = np.zeros(len(dataset), dtype=bool)
    latest[past[len(past) - round(validation * len(past)) :]] = True
    development = np.sort(past)
    name = f"origin {origin} of {n_origins}"
    return Split(name, development, latest[development], np.sort(order[start:end]))


def by(
    dataset: Dataset, field: str, *, test: float = 0.1, validation: float = 0.1, seed: int = 0
) -> Split:
    """All rows of a fraction `test` of the levels of `field`, drawn uniformly.

    Validation are all those of a fraction of the other levels, so that what is chosen on it is
    chosen for levels without a training row.
    """
    name = f"new {field}s"
    level, names = pd.factorize(_field(dataset, field))
    is_test = _drawn(len(names), "test", test, derive_rng(seed, "test", name))
    others = np.flatnonzero(~is_test)
    drawn = _drawn(len(others), "validation", validation, derive_rng(seed, "validation", name))
    development = np.flatnonzero(~is_test[level])
    is_validation = np.isin(level[development], others[drawn])
    return Split(name, development, is_validation, np.flatnonzero(is_test[level]))


def _of_mask(name: str, is_test: NDArray[np.bool_], validation: float, seed: int) -> Split:
    development, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    return _with_validation(name, development, test, validation, seed)


def _with_validation(
    name: str, development: Rows, test: Rows, validation: float, seed: int
) -> Split:
    """Return the split with a fraction of the development rows for validation."""
    rng = derive_rng(seed, "validation", name)
    return Split(name, development, _drawn(len(development), "validation", validation, rng), test)


def _last_of_each(users: NDArray[np.intp], order: NDArray[np.intp], n: int) -> NDArray[np.bool_]:
    """Mask of the last `n` rows of each user with more, in `order`, which is sorted by user."""
    n_ratings = np.bincount(users)
    from_end = np.cumsum(n_ratings)[users[order]] - np.arange(len(order))
    mask = np.zeros(len(order), dtype=bool)
    mask[order] = (from_end <= n) & (n_ratings > n)[users[order]]
    return mask


def _drawn(n: int, what: str, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(n,) mask with `round(fraction * n)` rows set, drawn without replacement."""
    _check_fraction(what, fraction)
    mask = np.zeros(n, dtype=bool)
    mask[rng.permutation(n)[: round(fraction * n)]] = True
    return mask


def _check_part(name: str, part: int, number: str, n: int, low: int) -> None:
    with checked():
        check_integer(number, n, low=low)
        check_integer(name, part, low=0)
        check_number(name, part, high=n - 1)


def _check_fraction(what: str, fraction: float) -> None:
    with checked():
        check_number(what, fraction, low=0, high=1)


def _times(dataset: Dataset) -> NDArray[np.int64]:
    if dataset.time is None:
        raise UserError(f"{dataset.name} has no timestamps: choose split=random or split=kfold")
    return dataset.rows[dataset.time].to_numpy()


def _field(dataset: Dataset, name: str) -> pd.Series:
    if name not in dataset.fields:
        raise UserError(
            f"{dataset.name} has no field {name!r}{nearest(name, dataset.fields)}; there are "
            f"{', '.join(dataset.fields)}"
        )
    return dataset.rows[name]
