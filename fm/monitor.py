"""What happens between two epochs: learning curve, early stopping, callback, progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np

Curve = Callable[[int, Any], float]
"""(number of epochs done, coefficients) -> a point of the learning curve."""


@dataclass
class Monitor:
    """Called by a solver after each epoch; a true answer stops it.

    curves : name in the history -> curve, each evaluated after every epoch.
    watched, patience, tol : stop after `patience` epochs without a new low of that curve, by more
        than `tol`; patience None: never.
    best : (value, epoch, coefficients) of the low.
    """

    curves: dict[str, Curve]
    watched: str
    patience: int | None = None
    tol: float = 0.0
    callback: Callable[[int, Any], bool | None] | None = None
    progress: Progress | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    best: tuple[float, int, Any] = (np.inf, 0, None)

    @property
    def observes(self) -> bool:
        """Whether there is anything to do after an epoch."""
        return bool(self.curves or self.callback or self.progress)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.close()

    def __call__(self, epoch: int, coefficients: Any) -> bool:
        """Look at the state after an epoch, and return whether to stop."""
        point = {name: curve(epoch, coefficients) for name, curve in self.curves.items()}
        for name, value in point.items():
            self.history.setdefault(name, []).append(value)
        stop = False
        if self.patience is not None:
            if point[self.watched] < self.best[0] - self.tol:
                self.best = point[self.watched], epoch, deepcopy(coefficients)
            stop = epoch - self.best[1] >= self.patience
        if self.progress is not None:
            self.progress.show(epoch, point)
        if self.callback is not None:
            stop |= bool(self.callback(epoch, coefficients))
        return stop


class Progress:
    """A line on a terminal, redrawn after each epoch; nothing where standard error is none."""

    def __init__(self, n_epochs: int, stream: TextIO | None = None) -> None:
        self._n_epochs, self._done = n_epochs, 0
        self._stream = sys.stderr if stream is None else stream

    def show(self, epoch: int, point: dict[str, float]) -> None:
        """Redraw the bar after an epoch."""
        self._done += 1
        bar = ("#" * (20 * self._done // self._n_epochs)).ljust(20, ".")
        values = "  ".join(f"{name} {value:.4f}" for name, value in point.items())
        self._write(f"\r[{bar}] {epoch:>4}  {values}\x1b[K")

    def close(self) -> None:
        """End the line."""
        self._write("\n")

    def _write(self, text: str) -> None:
        if self._stream.isatty():
            self._stream.write(text)
            self._stream.flush()
