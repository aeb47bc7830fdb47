"""Ratings drawn from a known factorization machine, so that the best possible error is known.

    m_ui = mean + b_u + c_i + sum_f p_uf q_if          biases and k factors of user u and item i
    r_ui = m_ui + noise * e_ui, e ~ N(0, 1), rounded to the nearest of 1, ..., 5 (of 0.5, 1, ..., 5)

Biases and factors are in part linear in what the tables say of users and items; popular items are
better, as films are; time has no effect. Stars exceed the edge e (1.5, ..., 4.5) with probability
S_e = Phi((m - e) / noise): their conditional mean is 1 + sum_e S_e, and their variance follows from
the same numbers. The mean of these variances is the noise floor, below which no model's MSE is but
by luck.

The same seed gives the same table on every machine: what is kept are whole and half numbers, and
arithmetic in double precision, whose last place may differ between machines, enters only by
comparisons with draws from integer streams (PCG64).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from bench.data.dataset import Dataset, LazySplits, Rows
from bench.errors import UserError, checked
from bench.seeds import derive_rng
from fm.validation import check_choice, check_integer, check_number

MEAN = 3.26
USER_BIAS, ITEM_BIAS, INTERACTION = 0.44, 0.55, 0.38
"""Standard deviations of b, c, and sum_f p_f q_f; in it, factor f has variance as 1 / f^2."""
FROM_SIDE = 0.3
"""Part of the variance of biases and factors that is linear in the side tables."""
FROM_POPULARITY = 0.5
"""Correlation of an item's bias with its rank of popularity."""
STEPS = {"stars": 1.0, "half_stars": 0.5}
"""The lowest rating, and the distance between neighboring ones."""
HIGHEST = 5.0
SIZES = (100_000, 1_000_000, 10_000_000, 25_000_000)
SHAPES = {"user": (943, 6040, 69_878, 162_541), "item": (1682, 3706, 10_677, 59_047)}
"""Users and rated films of the MovieLens with about so many ratings."""
CHUNK = 2**20
"""Ratings drawn together."""
MIN_RATINGS = 20
"""Of every user, as in MovieLens."""
CHUNK_CELLS = 2**22
"""User-item pairs kept track of together."""
START, DURATION = 874_724_710, 18_561_928
"""First time stamp and the range of all, in seconds: seven months, as MovieLens-100K."""

OCCUPATIONS = [f"occupation {number}" for number in range(1, 22)]
GENRES = [f"genre {number}" for number in range(1, 19)]


def planted(
    n_users: int | None = None,
    n_items: int | None = None,
    n_ratings: int = 100_000,
    *,
    values: str = "stars",
    k: int = 4,
    noise: float = 0.95,
    seed: int = 0,
) -> Dataset:
    """Simulate ratings of the shape of MovieLens, with splits `ua ub u1..u5` as 100K has them.

    Every user has at least 20 ratings, and at most half of all pairs are rated; by default there
    are as many users and items as a MovieLens of so many ratings has. The same `seed` gives the
    same ratings everywhere; `noise` is the standard deviation of a rating before it is rounded.
    """
    with checked():
        check_integer("n_ratings", n_ratings, low=1)
        check_choice("values", values, STEPS)
        n_users = usual(n_ratings, "user") if n_users is None else n_users
        n_items = usual(n_ratings, "item") if n_items is None else n_items
        check_integer("n_users", n_users, low=1)
        check_integer("n_items", n_items, low=2 * MIN_RATINGS)
        check_integer("k", k, low=0)
        check_number("noise", noise, above=0)
        check_integer("seed", seed, low=0)
    low, high = MIN_RATINGS * n_users, n_users * n_items // 2
    if not low <= n_ratings <= high:
        raise UserError(
            f"n_ratings must be from {low} ({MIN_RATINGS} a user) to {high} (half of all pairs) "
            f"for {n_users} users and {n_items} items, got {n_ratings}"
        )
    rng = derive_rng(seed, "users")
    users = _user_table(rng, n_users)
    b, *P = _latent(rng, users, 1 + k)

    rng = derive_rng(seed, "items")
    items = _item_table(rng, n_items)
    c, *Q = _latent(rng, items, 1 + k)
    rank = rng.permutation(n_items) / n_items
    liked = np.sqrt(12) * (0.5 - rank)
    c = FROM_POPULARITY * liked + np.sqrt(1 - FROM_POPULARITY**2) * c
    variances = 1 / np.arange(1, k + 1) ** 2
    weights = INTERACTION * np.sqrt(variances / variances.sum())

    rng = derive_rng(seed, "pairs")
    counts = activity(rng, n_users, n_items, n_ratings)
    order = rng.permutation(n_ratings)
    user = np.repeat(np.arange(n_users), counts)[order]
    item = distinct_items(rng, counts, popularity(rank))[order]
    timestamp = timestamps(rng, counts)[order]
    del order

    rng = derive_rng(seed, "ratings")
    stars = np.empty((3, n_ratings))
    for first in range(0, n_ratings, CHUNK):
        rows = slice(first, first + CHUNK)
        u, i = user[rows], item[rows]
        mean = MEAN + USER_BIAS * b[u] + ITEM_BIAS * c[i]
        for weight, p, q in zip(weights, P, Q, strict=True):
            mean += weight * p[u] * q[i]
        stars[:, rows] = draw_stars(rng, mean, noise, STEPS[values])
    rating, expected, variance = stars

    user += 1
    item += 1
    columns = {"user": user, "item": item, "rating": rating, "timestamp": timestamp}
    return Dataset(
        name="planted",
        rows=pd.DataFrame(columns, copy=False),
        scale=(STEPS[values], HIGHEST),
        source=f"simulated ratings ({n_ratings:,} of {n_users:,} users and {n_items:,} items, "
        f"seed {seed})",
        tables={"user": users, "item": items},
        time="timestamp",
        splits=_splits(user, item, seed),
        default_split="ua",
        simulated=True,
        expected=expected,
        variance=variance,
    )


def usual(n_ratings: int, whose: str) -> int:
    """Return the users or items of a MovieLens of so many ratings.

    By power laws between its sizes, and beyond them the one from 100K to 1M.
    """
    sizes, shapes = np.log(SIZES), np.log(SHAPES[whose])
    slope = (shapes[1] - shapes[0]) / (sizes[1] - sizes[0])
    beyond = np.log(n_ratings) - np.clip(np.log(n_ratings), sizes[0], sizes[-1])
    return round(float(np.exp(np.interp(np.log(n_ratings), sizes, shapes) + slope * beyond)))


def draw_stars(
    rng: np.random.Generator, mean: NDArray[np.float64], noise: float, step: float = 1.0
) -> tuple[NDArray[np.float64], ...]:
    """Draw normal numbers about `mean`, rounded to `step`, 2 `step`, ..., 5 stars.

    Returns them with their conditional means and variances.
    """
    edges = np.arange(1.5 * step, HIGHEST, step)
    exceeds = ndtr((mean[:, None] - edges) / noise)
    rating = step * (1.0 + np.count_nonzero(rng.random((len(mean), 1)) < exceeds, axis=1))
    above = exceeds.sum(axis=1)
    # E n^2 of the number n of edges exceeded.
    squared = exceeds @ np.arange(1.0, 2 * len(edges), 2.0)
    return rating, step * (1 + above), step**2 * (squared - above**2)


def _user_table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    age = np.exp(3.43 + 0.36 * rng.standard_normal(n)).clip(7, 73).astype(np.int64)
    gender = pd.Categorical(np.where(rng.random(n) < 0.71, "M", "F"))
    occupation = pd.Categorical(np.array(OCCUPATIONS)[rng.integers(len(OCCUPATIONS), size=n)])
    columns = {"age": age, "gender": gender, "occupation": occupation}
    return pd.DataFrame(columns, pd.RangeIndex(1, n + 1, name="user"))


def _item_table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    year = (1998 - rng.exponential(9, n)).clip(1922).astype(np.int64)
    frequency = 0.4 * 0.85 ** rng.permutation(len(GENRES))
    flags = rng.random((n, len(GENRES))) < frequency
    index = pd.RangeIndex(1, n + 1, name="item")
    return pd.DataFrame({"year": year}, index).join(pd.DataFrame(flags, index, GENRES))


def _latent(rng: np.random.Generator, table: pd.DataFrame, n_columns: int) -> NDArray[np.float64]:
    """(n_columns, n_levels) of unit variance, `FROM_SIDE` of which is linear in the table."""
    side = _standard(pd.get_dummies(table).to_numpy(np.float64))
    described = _standard(side @ rng.standard_normal((side.shape[1], n_columns)))
    own = rng.standard_normal((len(table), n_columns))
    return (np.sqrt(FROM_SIDE) * described + np.sqrt(1 - FROM_SIDE) * own).T


def _standard(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = columns.std(axis=0)
    return (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _splits(user: NDArray[np.int64], item: NDArray[np.int64], seed: int) -> LazySplits:
    """`ua` and `ub` test ten ratings of each user, `u1..u5` a fifth of all, as MovieLens-100K's.

    Rows are ordered by user, then item.
    """

    @cache
    def drawn() -> tuple[Rows, NDArray[np.int64], NDArray[np.int64]]:
        """Return the published order; each row's turn among its user's ratings; its fold."""
        lot = derive_rng(seed, "splits").permutation(len(user))
        by_user = np.lexsort((lot, user))
        counts = np.bincount(user)
        turn = np.empty_like(lot)
        turn[by_user] = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.lexsort((item, user)), turn, lot % 5

    def make(name: str) -> tuple[Rows, Rows]:
        order, turn, fold = drawn()
        part = {"ua": turn // 10 == 0, "ub": turn // 10 == 1}
        is_test = part[name] if name in part else fold == int(name[1]) - 1
        is_test = is_test[order]
        return order[~is_test], order[is_test]

    return LazySplits(("ua", "ub", "u1", "u2", "u3", "u4", "u5"), make, f"drawn with seed {seed}")


def activity(
    rng: np.random.Generator, n_users: int, n_items: int, n_ratings: int
) -> NDArray[np.int64]:
    """Return each user's number of ratings: 20 and a log-normal one, `n_ratings` in all."""
    room = 3 * n_items // 4 - MIN_RATINGS
    extra = n_ratings - MIN_RATINGS * n_users
    weight = np.exp(rng.standard_normal(n_users).clip(None, 2.7))
    # With the j heaviest users at the limit, the others share what is left in proportion to weight.
    heaviest = np.sort(weight)[::-1]
    left = extra - room * np.arange(n_users)
    scale = left / heaviest[::-1].cumsum()[::-1]
    j = np.argmax(scale * heaviest <= room)
    ends = np.cumsum(MIN_RATINGS + np.minimum(scale[j] * weight, room))
    return np.diff(np.rint(ends).astype(np.int64), prepend=0)


def popularity(rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of an item whose rank is `rank` (0 the most popular, 1 the least)."""
    return np.exp(-5.5 * rank) * (1 + np.exp(-50 * rank))


def distinct_items(
    rng: np.random.Generator, counts: NDArray[np.int64], weight: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return `counts[u]` different items of each user u, drawn in proportion to `weight`.

    An item that its user already has is drawn again.
    """
    bound = weight.cumsum()
    items = np.empty(counts.sum(), dtype=np.int64)
    end, size = 0, max(1, CHUNK_CELLS // len(weight))
    for first in range(0, len(counts), size):
        chunk = counts[first : first + size]
        row = np.repeat(np.arange(len(chunk)) * len(weight), chunk)
        owner = np.full(len(chunk) * len(weight), -1, dtype=np.int32)
        drawn = items[end : end + len(row)]
        end += len(row)
        pending = np.arange(len(row), dtype=np.int32)
        while len(pending):
            item = bound.searchsorted(rng.random(len(pending)) * bound[-1], side="right")
            cell = row[pending] + item
            free = owner[cell] < 0
            owner[cell[free]] = pending[free]
            won = owner[cell] == pending
            drawn[pending[won]] = item[won]
            pending = pending[~won]
    return items


def timestamps(rng: np.random.Generator, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return seconds since 1970: most users come once, for an hour, some for months."""
    start = rng.random(len(counts)) * DURATION
    span = np.minimum(np.exp(8 + 3.2 * rng.standard_normal(len(counts))), DURATION - start)
    since = np.repeat(span, counts)
    since *= rng.random(len(since))
    since += np.repeat(start, counts)
    return START + since.astype(np.int64)
