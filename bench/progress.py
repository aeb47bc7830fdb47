"""The progress of a sweep: a live line on a terminal, a plain line a job in a pipe."""

from __future__ import annotations

import math
import shutil
import sys
import time
from typing import TextIO

from sklearn.base import BaseEstimator

from bench import report
from bench.tracking import Record

WIDTH = 20


def say(what: str = "") -> None:
    """Show what is being measured in place of what was shown before, on a terminal only.

    Without `what`, clear the line, before something else is printed.
    """
    if sys.stderr.isatty():
        print(f"\r{what}\x1b[K", end="", file=sys.stderr, flush=True)


class Epochs:
    """Shows the epochs of a fit, and the time left, on a terminal."""

    def __init__(self) -> None:
        self._epoch, self._began = 0, time.monotonic()

    def __call__(self, epoch: int, model: BaseEstimator) -> None:
        """Show an epoch; the first of a further fit starts the clock anew."""
        if epoch <= self._epoch:
            self._began = time.monotonic()
        self._epoch, total = epoch, model.get_params().get("n_iter")
        text = f"epoch {epoch}"
        if total is not None:
            left = (time.monotonic() - self._began) / epoch * (total - epoch)
            text = f"[{_bar(epoch, total)}] {text} of {total}, {_duration(left)} left"
        say(text)


class Progress:
    """How many of `total` jobs have ended, at most, and how many are `running`.

    On a terminal there is one line, drawn anew; in a pipe, a line a job. The default stream is
    standard output.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.running = 0
        self._stream = sys.stdout if stream is None else stream
        self._live = total > 1 and self._stream.isatty()
        self._digests: set[str] = set()
        self._computed = self._failed = 0
        self._best: tuple[float, str] | None = None
        self._began = time.monotonic()

    def add(self, record: Record, *, computed: bool = True) -> None:
        """Count a job that has ended, once; or one that an earlier sweep computed."""
        if record.digest in self._digests:
            return
        self._digests.add(record.digest)
        self._computed += computed
        self._failed += record.status == "FAILED"
        error = record.validation_error if record.finished else None
        if error is not None and (self._best is None or error < self._best[0]):
            self._best = error, record.name
        remark = "" if computed else " (already computed)"
        number = f"[{len(self._digests)}/{self.total}]"
        line = f"{number} {record.name}: {report.outcome(record)}{remark}"
        if not self._live:
            print(line, file=self._stream, flush=True)
        elif record.status == "FAILED":
            print(f"\r{line[: self._width()]}\x1b[K", file=self._stream)
        self.show()

    def show(self) -> None:
        """Draw the live line anew."""
        if self._live:
            self._stream.write(f"\r{self.line(self._width())}\x1b[K")
            self._stream.flush()

    def _width(self) -> int:
        return shutil.get_terminal_size().columns - 1

    def line(self, width: int) -> str:
        """Return the numbers of jobs done, running, failed and left, the time left and the best.

        A bar comes first where `width` leaves room for it.
        """
        done = len(self._digests)
        left = max(0, self.total - done)
        ended = f"{done - self._failed} done, {self.running} running, {self._failed} failed"
        text = f"{ended}, {left} to go"
        if self._computed and left:
            seconds = (time.monotonic() - self._began) / self._computed * left
            end = time.strftime("%H:%M", time.localtime(time.time() + seconds))
            text += f"; {_duration(seconds)} left, until {end}"
        if self._best is not None:
            error, name = self._best
            text += f"; best {error:.4f} {name.removesuffix(' (simulated)')}"
        return (
            f"[{_bar(done, self.total)}] {text}" if len(text) + WIDTH + 3 <= width else text[:width]
        )

    def close(self) -> None:
        """Leave the terminal to what comes next."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _bar(done: int, total: int) -> str:
    return ("#" * (WIDTH * done // max(1, total))).ljust(WIDTH, ".")


def _duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
