"""Which ratings a model is fitted on, chosen on, and judged on.

Every protocol first sets test rows apart; validation is then drawn out of the rest from its own stream
of random numbers: rows uniformly, or as test was drawn: whole users or items, or some rows of each user. Rows
keep their order: the published file's for published splits, the data set's for all others.
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
                f"split {self.name}: test overlaps train in {len(both)} rows, first in row {both[0]}"
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


def published(dataset: Dataset, name: str, *, validation: float = 0.1, seed: int = 0) -> Split:
    """A split that came with the data, exactly and in file order."""
    return _with_validation(name, *_published_rows(dataset, name), validation, seed)


def published_by_user(dataset: Dataset, name: str, *, n: int = 5, seed: int = 0) -> Split:
    """As `published`; validation are `n` ratings of each user, drawn uniformly.

    So were the test rows of MovieLens-100K's `ua` and `ub` drawn, ten of each user: there as here, users with few
    ratings have as much weight as those with many. A user with no more than `n` ratings gives none.
    """
    with checked():
        check_integer("n", n, low=1)
    development, test = _published_rows(dataset, name)
    users = pd.factorize(dataset.ratings["user"].to_numpy()[development])[0]
    order = derive_rng(seed, "validation by user", name).permutation(len(users))[::-1]
    order = order[np.argsort(users[order], kind="stable")]
    return Split(f"{name}, {n} of each user", development, _last_of_each(users, order, n), test)


def _published_rows(dataset: Dataset, name: str) -> tuple[Rows, Rows]:
    if name not in dataset.splits:
        known = ", ".join(dataset.splits) or "none: choose split=random or another that is drawn"
        raise UserError(
            f"{dataset.name} has no split {name!r}{nearest(name, dataset.splits)}; there are {known}"
        )
    return dataset.splits[name]


def random(dataset: Dataset, *, test: float = 0.1, validation: float = 0.1, seed: int = 0) -> Split:
    """A fraction `test` of the ratings, drawn uniformly; `validation` is a fraction of the rest."""
    is_test = _drawn(len(dataset.ratings), "test", test, derive_rng(seed, "test"))
    return _of_mask("random", is_test, validation, seed)


def kfold(
    dataset: Dataset, *, fold: int, n_folds: int = 5, validation: float = 0.1, seed: int = 0
) -> Split:
    """Fold `fold` (0 to `n_folds - 1`) is test; the folds of one seed partition the ratings."""
    with checked():
        check_integer("n_folds", n_folds, low=2)
        check_integer("fold", fold, low=0)
        check_number("fold", fold, high=n_folds - 1)
    n = len(dataset.ratings)
    folds = derive_rng(seed, "folds").permutation(n) % n_folds
    return _of_mask(f"fold {fold} of {n_folds}", folds == fold, validation, seed)


def leave_last_out(
    dataset: Dataset, *, n: int = 1, validation: float = 0.1, seed: int = 0
) -> Split:
    """Each user's last `n` ratings by time; of equal times the later in the file is the last.

    A user with no more than `n` ratings gives none, so that every test user has been seen.
    """
    with checked():
        check_integer("n", n, low=1)
    users = pd.factorize(dataset.ratings["user"])[0]
    is_test = _last_of_each(users, np.lexsort((_timestamps(dataset), users)), n)
    return _of_mask(f"last {n} out", is_test, validation, seed)


def temporal(
    dataset: Dataset, *, test: float = 0.1, validation: float = 0.1, seed: int = 0
) -> Split:
    """The latest fraction `test` of all ratings; of equal times the later in the file is later."""
    _check_fraction("test", test)
    order = np.argsort(_timestamps(dataset), kind="stable")
    is_test = np.zeros(len(order), dtype=bool)
    is_test[order[len(order) - round(test * len(order)) :]] = True
    return _of_mask("temporal", is_test, validation, seed)


def new_users(
    dataset: Dataset, *, test: float = 0.1, validation: float = 0.1, seed: int = 0
) -> Split:
    """All ratings of a fraction `test` of the users, drawn uniformly; validation are all those of a fraction of
    the other users, so that what is chosen on it is chosen for users without a training rating."""
    return _of_strangers("new users", dataset.ratings["user"], test, validation, seed)


def new_items(
    dataset: Dataset, *, test: float = 0.1, validation: float = 0.1, seed: int = 0
) -> Split:
    """All ratings of a fraction `test` of the items; validation as in `new_users`."""
    return _of_strangers("new items", dataset.ratings["item"], test, validation, seed)


def _of_strangers(name: str, ids: pd.Series, test: float, validation: float, seed: int) -> Split:
    who, names = pd.factorize(ids)
    is_test = _drawn(len(names), "test", test, derive_rng(seed, "test", name))
    is_validation = np.zeros(len(names), dtype=bool)
    drawn = _drawn(
        np.count_nonzero(~is_test), "validation", validation, derive_rng(seed, "validation", name)
    )
    is_validation[~is_test] = drawn
    development = np.flatnonzero(~is_test[who])
    return Split(name, development, is_validation[who[development]], np.flatnonzero(is_test[who]))


def _of_mask(name: str, is_test: NDArray[np.bool_], validation: float, seed: int) -> Split:
    return _with_validation(
        name, np.flatnonzero(~is_test), np.flatnonzero(is_test), validation, seed
    )


def _with_validation(
    name: str, development: Rows, test: Rows, validation: float, seed: int
) -> Split:
    rng = derive_rng(seed, "validation", name)
    return Split(name, development, _drawn(len(development), "validation", validation, rng), test)


def _last_of_each(users: NDArray[np.intp], order: NDArray[np.intp], n: int) -> NDArray[np.bool_]:
    """Mask of the last `n` rows of each user in `order`, which is sorted by user; none where there are no more."""
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


def _check_fraction(what: str, fraction: float) -> None:
    with checked():
        check_number(what, fraction, low=0, high=1)


def _timestamps(dataset: Dataset) -> NDArray[np.int64]:
    if "timestamp" not in dataset.ratings:
        raise UserError(f"{dataset.name} has no timestamps: choose split=random or split=kfold")
    return dataset.ratings["timestamp"].to_numpy()
