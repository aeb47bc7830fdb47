"""Trials that one job of a launcher runs one after another.

Hydra composes every job anew, which takes a tenth of a second. Batches get smaller towards the end,
so that all processes end at about the same time (Polychronopoulos & Kuck, "Guided Self-Scheduling",
IEEE Transactions on Computers 1987).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.sweep.trials import Trial

PER_PROCESS = 4
"""Batches that the trials left make for each process, at least."""


@dataclass(frozen=True)
class Batch:
    """Trials of one combination of groups.

    Parameters
    ----------
    overrides : tuple of str
        What chooses the groups.
    names : mapping of str to str
        The choice of each group.
    data : str
        Digest of the data set.
    code : mapping of str to str
        Version of the code.
    trials : tuple
        Each trial's values by key, and its limits by epoch.
    """

    overrides: tuple[str, ...]
    names: Mapping[str, str]
    data: str
    code: Mapping[str, str]
    trials: tuple[tuple[Mapping[str, object], Mapping[int, float]], ...]


def batches(trials: Sequence[Trial], processes: int | None) -> Iterator[Batch]:
    """Divide trials, in order, among `processes`; None, each trial is a batch of its own."""
    for overrides, group in itertools.groupby(trials, key=lambda trial: trial.overrides):
        left = list(group)
        while left:
            n = 1 if processes is None else max(1, len(left) // (PER_PROCESS * processes))
            values = tuple((trial.values, trial.limits) for trial in left[:n])
            yield Batch(overrides, left[0].names, left[0].data, left[0].code, values)
            left = left[n:]
