"""How far a sweep is: one live line on a terminal, one plain line a job in a pipe, or of a single run."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from bench import report
from bench.metrics import SELECTION_METRIC
from bench.tracking import Record

WIDTH = 20


def say(what: str = "") -> None:
    """What is being measured, in place of what was said before; nothing, when something is to be printed. On a
    terminal only."""
    if sys.stderr.isatty():
        print(f"\r{what}\x1b[K", end="", file=sys.stderr, flush=True)


class Progress:
    """`total` jobs, of which `running()` says how many are being computed."""

    def __init__(
        self, total: int, running: Callable[[], int], stream: TextIO | None = None
    ) -> None:
        self.total = total
        self.running = running
        self.stream = sys.stdout if stream is None else stream
        self.live = total > 1 and self.stream.isatty()
        self.records: dict[str, Record] = {}
        self.computed = 0
        self.began = time.monotonic()

    def known(self, record: Record) -> None:
        """A job that an earlier sweep computed."""
        self._ended(record, " (already computed)")

    def ended(self, record: Record) -> None:
        """A job that was computed now."""
        self.computed += record.digest not in self.records
        self._ended(record, "")

    def _ended(self, record: Record, remark: str) -> None:
        if record.digest in self.records:
            return
        self.records[record.digest] = record
        line = f"[{len(self.records)}/{self.total}] {record.name}: {report.outcome(record)}{remark}"
        if not self.live:
            print(line, file=self.stream, flush=True)
        elif record.status == "FAILED":
            print(f"\r{line[: self._width()]}\x1b[K", file=self.stream)
        self.show()

    def show(self) -> None:
        """Draws the live line anew."""
        if self.live:
            self.stream.write(f"\r{self.line(self._width())}\x1b[K")
            self.stream.flush()

    def _width(self) -> int:
        return shutil.get_terminal_size().columns - 1

    def line(self, width: int) -> str:
        """done / running / failed / to go, the estimated end, the best so far; with a bar where there is room."""
        done = len(self.records)
        failed = sum(r.status == "FAILED" for r in list(self.records.values()))
        left = max(0, self.total - done)
        text = f"{done - failed} done, {self.running()} running, {failed} failed, {left} to go"
        if self.computed and left:
            seconds = (time.monotonic() - self.began) / self.computed * left
            end = time.strftime("%H:%M", time.localtime(time.time() + seconds))
            text += f"; {_duration(seconds)} left, until {end}"
        scored = [
            r for r in list(self.records.values()) if r.finished and SELECTION_METRIC in r.metrics
        ]
        if scored:
            best = min(scored, key=lambda r: r.metrics[SELECTION_METRIC])
            text += f"; best {best.metrics[SELECTION_METRIC]:.4f} {best.name.removesuffix(' (simulated)')}"
        bar = ("#" * (WIDTH * done // max(1, self.total))).ljust(WIDTH, ".")
        return f"[{bar}] {text}" if len(text) + WIDTH + 3 <= width else text[:width]

    def close(self) -> None:
        """Leaves the terminal to what comes next."""
        if self.live:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def _duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
