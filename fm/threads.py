"""Independent pieces of work, by one thread or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

Map = Callable[..., Iterator[Any]]
"""As `map`: results come in the order of what they are of, so that sums over them are the same to
the last bit, however many threads there are."""


@contextmanager
def mapping(n_jobs: int) -> Iterator[Map]:
    """Give a `Map` by `n_jobs` threads; NumPy and SciPy let go of the interpreter in array work."""
    if n_jobs == 1:
        yield map
        return
    with ThreadPoolExecutor(n_jobs) as threads:
        yield threads.map
