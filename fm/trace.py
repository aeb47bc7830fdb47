"""What a solver reports after each epoch or sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from fm.arrays import AnyArray

Callback = Callable[[int, Any], bool | None]
"""Called after each epoch or sweep with the number of them done, continuations counted, and the
coefficients or draw, in arrays of their own. A true answer ends the fit. Its own time is not in
`seconds`."""


class Trace:
    """Values after each epoch or sweep, and the seconds since the trace was begun.

    values : name -> one value an epoch; among them `seconds`, cumulative.
    """

    def __init__(self, callback: Callback | None, *names: str) -> None:
        self.values: dict[str, list[Any]] = {name: [] for name in (*names, "seconds")}
        self._callback, self._began = callback, perf_counter()

    def add(self, number: int, result: object, **values: object) -> bool:
        """Record the values of epoch `number`; return whether the callback ends the fit."""
        self.values["seconds"].append(perf_counter() - self._began)
        for name, value in values.items():
            self.values[name].append(value)
        paused = perf_counter()
        stop = self._callback is not None and self._callback(number, result)
        self._began += perf_counter() - paused
        return bool(stop)

    def arrays(self) -> dict[str, AnyArray]:
        """Return the values of all epochs as arrays, by name."""
        return {name: np.array(values) for name, values in self.values.items()}


def in_a_row(traces: Sequence[Mapping[str, AnyArray]]) -> dict[str, AnyArray]:
    """Return the values of one chain after those of the other; their seconds are added up."""
    joined = {name: np.concatenate([trace[name] for trace in traces]) for name in traces[0]}
    ends = np.cumsum([0, *(trace["seconds"][-1] for trace in traces[:-1])])
    joined["seconds"] += np.repeat(ends, [len(trace["seconds"]) for trace in traces])
    return joined
