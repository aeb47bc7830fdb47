"""What the time of a rating says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.features.context import Context, identity
from fm.design import Block

SECONDS_PER_DAY = 86_400

SESSIONS = {"second": 1, "minute": 60, "half_hour": 1800}
"""Linear blocks of `sessions` and their length in seconds: a page, a run of ratings, a sitting."""

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
