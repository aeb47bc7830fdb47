"""Checks of hyperparameters, in one voice: what was wrong, which value, what is allowed."""

from __future__ import annotations

import math
from collections.abc import Collection
from difflib import get_close_matches
from numbers import Integral, Real


def check_number(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    high: float = math.inf,
) -> None:
    """`low <= value <= high` and `value > above`, finite; ValueError or TypeError says which failed."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or not low <= value <= high or value <= above:
        raise ValueError(f"{name} must be {_interval(low, above, high)}, got {value!r}")


def check_integer(name: str, value: object, *, low: int) -> None:
    """A whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value!r}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """One of `choices`; the message names the nearest."""
    if value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}, got {value!r}{nearest(value, choices)}"
        )


def nearest(value: object, choices: Collection[str]) -> str:
    """` (did you mean 'x'?)` for the choice most like `value`, or nothing."""
    close = get_close_matches(str(value), list(choices), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _interval(low: float, above: float, high: float) -> str:
    parts = [f"above {above:g}"] if above > -math.inf else []
    parts += [f"at least {low:g}"] if low > -math.inf else []
    parts += [f"at most {high:g}"] if high < math.inf else []
    return " and ".join(parts) or "finite"
