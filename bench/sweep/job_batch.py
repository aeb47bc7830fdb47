"""Runs that one job computes one after another, since Hydra composes every job anew: a tenth of a second.

Runs of a share differ only in values, which are handed over in a file: launched on this machine, jobs see the
sweep's folder. Shares get smaller towards the end, so that all processes end at about the same time (Polychronopoulos
& Kuck, "Guided Self-Scheduling", IEEE Transactions on Computers 1987).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.files import write_text
from bench.sweep.trials import Trial

PER_PROCESS = 4
"""Shares a process that the runs left make, at least."""


def shares(trials: Sequence[Trial], processes: int) -> Iterator[Sequence[Trial]]:
    """The trials, in order; a single process has one share of every combination."""
    for _, group in itertools.groupby(trials, key=lambda trial: trial.combination):
        left = list(group)
        while left:
            n = len(left) if processes == 1 else max(1, len(left) // (PER_PROCESS * processes))
            yield left[:n]
            left = left[n:]


def write(home: Path, share: Sequence[Trial]) -> str:
    """Into the sweep's folder, under the name returned."""
    name = f"share_{share[0].digest[:16]}"
    entries = [[dict(trial.values), list(trial.limits)] for trial in share]
    write_text(home / f"{name}.json", json.dumps(entries))
    return name


def read(home: Path, name: str) -> list[tuple[dict[str, object], dict[int, float]]]:
    """Each run's values by key, and its limits by epoch."""
    entries = json.loads((home / f"{name}.json").read_text("utf-8"))
    return [(values, {int(epoch): limit for epoch, limit in limits}) for values, limits in entries]
