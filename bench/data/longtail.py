"""Who rates what, and when: the shape of a ratings table before any rating."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MIN_RATINGS = 20
"""Of every user, as in MovieLens."""
CHUNK_CELLS = 2**22
"""User-item pairs kept track of together."""
CHUNK_USERS = 2**13
"""Users whose time stamps are drawn together."""
START, DURATION = 874_724_710, 18_561_928
"""First time stamp and the range of all, in seconds: seven months, as MovieLens-100K."""


def activity(
    rng: np.random.Generator, n_users: int, n_items: int, n_ratings: int
) -> NDArray[np.int64]:
    """Return the (n_users,) numbers of ratings of each user, whose sum is `n_ratings`.

    Each is 20 and a log-normal number, at most three quarters of all items.
    """
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
    """Items of each user, one after another.

    `counts[u]` different ones, drawn in proportion to `weight`.

    An item that its user already has is drawn again. Users are taken a chunk at a time, for each
    cell of which is noted who owns it.
    """
    bound = weight.cumsum()
    items = np.empty(counts.sum(), dtype=np.int64)
    end = 0
    for chunk in _chunks(counts, max(1, CHUNK_CELLS // len(weight))):
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
    """Seconds since 1970 of each user's ratings.

    Most users come once, for an hour, some for months.
    """
    start = rng.random(len(counts)) * DURATION
    span = np.minimum(np.exp(8 + 3.2 * rng.standard_normal(len(counts))), DURATION - start)
    seconds = np.empty(counts.sum(), dtype=np.int64)
    end = 0
    for chunk, first, length in zip(
        *(_chunks(values, CHUNK_USERS) for values in (counts, start, span)), strict=True
    ):
        part = seconds[end : end + chunk.sum()]
        end += len(part)
        part[:] = np.repeat(first, chunk) + np.repeat(length, chunk) * rng.random(len(part))
    seconds += START
    return seconds


def _chunks(values: NDArray, size: int) -> Iterator[NDArray]:
    return (values[first : first + size] for first in range(0, len(values), size))
