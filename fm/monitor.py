"""What happens between two epochs: learning curve, early stopping, the user's callback, a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np

from fm.model import Coefficients


@dataclass
class Monitor:
    """Called by a solver after each epoch; a true answer stops it.

    losses : name in the history -> loss of the current coefficients; evaluated every epoch, in this order.
    patience : epochs without a new lowest `watched` loss before stopping; None: never.
    best : (loss, epoch, coefficients) of the lowest `watched` loss so far.
    """

    losses: dict[str, Callable[[Coefficients], float]]
    watched: str | None = None
    patience: int | None = None
    callback: Callable[[int, Coefficients], bool | None] | None = None
    progress: Progress | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    best: tuple[float, int, Coefficients | None] = (np.inf, 0, None)

    def __call__(self, epoch: int, coefficients: Coefficients) -> bool:
        values = {name: loss(coefficients) for name, loss in self.losses.items()}
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        if self.watched is not None and values[self.watched] < self.best[0]:
            self.best = values[self.watched], epoch, coefficients
        stop = self.patience is not None and epoch - self.best[1] >= self.patience
        if self.progress is not None:
            self.progress(epoch, values)
        if self.callback is not None:
            stop |= bool(self.callback(epoch, coefficients))
        return stop


class Progress:
    """A line on a terminal, redrawn after each epoch; nothing where the output is not a terminal."""

    def __init__(self, n_epochs: int, stream: TextIO | None = None) -> None:
        self.n_epochs = n_epochs
        self.done = 0
        self.stream = sys.stderr if stream is None else stream

    def __call__(self, epoch: int, values: dict[str, float]) -> None:
        self.done += 1
        if self.stream.isatty():
            bar = ("#" * (20 * self.done // self.n_epochs)).ljust(20, ".")
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
            end = "\n" if self.done == self.n_epochs else ""
            print(f"\r[{bar}] {epoch:>4}  {numbers}\x1b[K", end=end, file=self.stream, flush=True)
