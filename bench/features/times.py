"""What the time of a rating says; what is counted is training ratings alone, and so are bins."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.features.context import Context, identity
from fm.design import UNKNOWN, Block

SECONDS_PER_DAY = 86_400

SESSIONS = {"second": 1, "minute": 60, "half_hour": 1800}
"""Linear blocks of `sessions` and their length in seconds.

A page of ratings sent at once, a run of them, a sitting.
"""

WEEKDAYS = np.array(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"])


def day(context: Context) -> Iterator[Block]:
    """Block `day`: the UTC day of the rating, which takes up drifts of taste and of scale."""
    yield identity("day", pd.Series(context.seconds("day") // SECONDS_PER_DAY))


def sessions(context: Context) -> Iterator[Block]:
    """Linear blocks `second`, `minute` and `half_hour`: the user within that span of UTC time.

    It takes up her mood and what she was shown: Koren's b_u(t) ("Collaborative Filtering with
    Temporal Dynamics", KDD 2009) on three scales. It says nothing of later sessions.
    """
    user, time = context.field("user", "sessions").levels, context.seconds("sessions")
    for name, seconds in SESSIONS.items():
        spans, rank = np.unique(time // seconds, return_inverse=True)
        _, levels = np.unique(user * len(spans) + rank, return_inverse=True)
        yield Block(name, levels, int(levels.max()) + 1, linear=True)


def cyclic(context: Context) -> Iterator[Block]:
    """Blocks `hour` (0 to 23) and `weekday`, both UTC, whatever the date."""
    time = context.seconds("cyclic")
    yield Block("hour", time % SECONDS_PER_DAY // 3600, 24, labels=np.arange(24))
    days = time // SECONDS_PER_DAY
    yield Block("weekday", (days + 3) % 7, 7, labels=WEEKDAYS)  # 1 January 1970 was a Thursday


def place(context: Context) -> Iterator[Block]:
    """Block `place`: how many training ratings the user gave in seconds before, in `octaves`.

    First come the films that a person is asked about, later those she looks for.
    """
    user, time = context.field("user", "place").levels, context.seconds("place")
    moments, rank = np.unique(time, return_inverse=True)
    first = user * len(moments)  # moments of all users are numbered in one row
    given = np.sort((first + rank)[context.train_rows])
    before = given.searchsorted(first + rank) - given.searchsorted(first)
    highest = np.bincount(user[context.train_rows], minlength=1).max()
    yield octaves("place", before, highest)


def item_age(context: Context) -> Iterator[Block]:
    """Block `item_age`: days since the item's first training rating, in `octaves`.

    0 for a rating before that one, unknown for an item without.
    """
    block, time = context.field("item", "item_age"), context.seconds("item_age")
    item, train = block.levels, context.train_rows
    first = np.full(block.n_levels, np.iinfo(np.int64).max)
    np.minimum.at(first, item[train], time[train])
    seen = np.zeros(len(first), dtype=bool)
    seen[item[train]] = True
    days = np.where(seen[item], np.maximum(time - first[item], 0) // SECONDS_PER_DAY, UNKNOWN)
    yield octaves("item_age", days, days[train].max(initial=0))


def octaves(name: str, values: NDArray[np.int64], highest: int) -> Block:
    """Level floor(log2(1 + n)) for n in `values`, so 0, 1 to 2, 3 to 6, ...; label: its lowest n.

    n above `highest` counts as `highest`, and below 0 is unknown.
    """
    level = np.frexp(1 + np.minimum(values, highest))[1] - 1
    n_levels = int(1 + highest).bit_length()
    return Block(name, level, n_levels, labels=2 ** np.arange(n_levels) - 1)
