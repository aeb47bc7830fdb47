"""The progress of a sweep: a live line on a terminal, a plain line a job in a pipe."""

import sys
from typing import Any, TextIO

from sklearn.base import BaseEstimator
from tqdm import tqdm

from bench import report
from bench.tracking import Record

ONE_LINE: dict[str, Any] = {
    "leave": False,
    "position": 0,
    "dynamic_ncols": True,
    "mininterval": 0,
}
ENDED = "[{bar:20}] {n_fmt} of {total_fmt} ended{postfix}"
TIMED = ENDED + "; {remaining} left, until {eta:%H:%M}"


def say(what: str = "") -> None:
    """Show what is being measured in place of what was shown before, on a terminal only.

    Without `what`, clear the line, before something else is printed.
    """
    if sys.stderr.isatty():
        print(f"\r{what}\x1b[K", end="", file=sys.stderr, flush=True)


class Epochs:
    """Shows the epochs of a fit, and the time left, on a terminal."""

    def __init__(self) -> None:
        self._bar = tqdm(disable=True)

    def __call__(self, epoch: int, model: BaseEstimator) -> None:
        """Show an epoch; the first of a fit begins a bar."""
        if self._bar.disable or epoch <= self._bar.n:
            self.close()
            total = model.get_params().get("n_iter")
            self._bar = tqdm(total=total, unit="epoch", disable=None, **ONE_LINE)
        self._bar.update(epoch - self._bar.n)

    def close(self) -> None:
        """Leave the line to what comes next."""
        self._bar.close()


class Progress:
    """How many of `total` jobs have ended, at most, and how many are `running`.

    On a terminal there is one line, drawn anew; in a pipe, a line a job. The default stream is
    standard output.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.running = 0
        self._stream = sys.stdout if stream is None else stream
        live = total > 1 and self._stream.isatty()
        self._bar = tqdm(
            total=total,
            file=self._stream,
            disable=not live,
            bar_format=ENDED,
            **ONE_LINE,
        )
        self._digests: set[str] = set()
        self._failed = 0
        self._best: tuple[float, str] | None = None

    def add(self, record: Record, *, computed: bool = True) -> None:
        """Count a job that has ended, once; or one that an earlier sweep computed."""
        if record.digest in self._digests:
            return
        self._digests.add(record.digest)
        self._failed += record.status == "FAILED"
        error = record.validation_error if record.finished else None
        if error is not None and (self._best is None or error < self._best[0]):
            self._best = error, record.name.removesuffix(" (simulated)")
        remark = "" if computed else " (already computed)"
        line = f"[{len(self._digests)}/{self._bar.total}] {record.name}: {report.outcome(record)}"
        if self._bar.disable:
            print(line + remark, file=self._stream, flush=True)
            return
        if record.status == "FAILED":
            self._bar.write(line, file=self._stream)
        self._bar.n += 1
        if computed:
            self._bar.bar_format = TIMED
        else:
            self._bar.initial += 1  # it took no time
        self.show()

    def show(self) -> None:
        """Draw the live line anew, if there is one."""
        text = f"{self.running} running, {self._failed} failed"
        if self._best is not None:
            text += ", best {:.4f} {}".format(*self._best)
        self._bar.set_postfix_str(text)

    def close(self) -> None:
        """Leave the terminal to what comes next."""
        self._bar.close()
