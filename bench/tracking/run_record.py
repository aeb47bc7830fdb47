"""What is tracked, as the rest of the harness sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.metrics import Task, task_of


@dataclass(frozen=True)
class Experiment:
    """The question a set of runs answers; `description` is Markdown. `question` is what a report has to
    know of it: `title`, the model that is the `reference`, and where an article is held against what is
    measured, its `systems` and `pairs`."""

    name: str
    description: str
    question: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """One sweep of an experiment: its digest, its name and what was asked for; a single run has no name, and
    no run above it. `owner` is the process that started it (`bench.processes.this_process`)."""

    id: str
    name: str
    description: str
    owner: str


@dataclass(frozen=True)
class ParentRun:
    """A sweep as its parent run shows it: its id, the words of its command and the run's name."""

    sweep: str
    words: str
    name: str

    @property
    def planned(self) -> int | None:
        """How many jobs the sweep planned (`linear over l2: 13 runs`); None where that is not said."""
        planned = re.search(r"(?:^|: )(\d+) runs?$", self.name)
        return int(planned[1]) if planned else None


@dataclass(frozen=True)
class RunData:
    """What a run was computed on: first digits of the digest, where it is from, its scale."""

    digest: str
    source: str
    scale: tuple[float, float]


@dataclass(frozen=True)
class Record:
    """One job as it was tracked: FINISHED, FAILED with its reason, KILLED, or PRUNED.

    `curves` have at most 500 points each, by epoch.
    """

    run_id: str
    name: str
    model: str
    status: str
    reason: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    curves: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return self.tags["digest"]

    @property
    def finished(self) -> bool:
        return self.status == "FINISHED"

    @property
    def settled(self) -> bool:
        """Whether there is nothing to gain by running it again."""
        return self.status in ("FINISHED", "PRUNED")

    @property
    def task(self) -> Task:
        """What its model predicts, and the metrics that go with it."""
        return task_of(self.tags)

    @property
    def validation_error(self) -> float | None:
        """The error that configurations are chosen by; None where nothing was held out."""
        return self.metrics.get(self.task.selection_metric)

    @property
    def test_error(self) -> float | None:
        """The error that is reported; None of a run that stopped at validation."""
        return self.metrics.get(self.task.headline_metric)

    @property
    def data(self) -> str:
        """First digits of the digest of the data; runs of different data are never compared."""
        return self.tags.get("data.digest", "")

    @property
    def modified(self) -> bool:
        """Whether the code was not what its commit says."""
        return self.tags.get("code.modified") == "true"


def flatten(config: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """`{"model": {"k": 8}}` as `{"model.k": 8}`."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
