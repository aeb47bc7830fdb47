"""What is tracked, as the rest of the harness sees it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from bench.errors import UserError, quoted
from bench.metrics import Task, task_of
from bench.tracking.store_address import redacted

if TYPE_CHECKING:
    from mlflow.entities import Run

HOW = {"jobs", "rerun", "fail_fast", "keep_model", "results", "job_seconds", "sweep_seconds"}
HOW |= {"tracking.uri", "report.by"}
"""Keys that say how to compute and to report, not what."""


@dataclass(frozen=True)
class Experiment:
    """The question that a set of runs answers.

    `name` is also the name of folders; `description` is Markdown. `question` is what a report
    needs: its `title`, the `reference` model, and where an article is compared with what is
    measured, its `systems` and `pairs`.

    Raises
    ------
    UserError
        If the name cannot be that of a folder.
    """

    name: str
    description: str
    question: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and re.fullmatch(r"\w[\w .-]{0,99}", self.name)):
            raise UserError(
                "experiment.name must be letters, digits, spaces and .-_ only, since it names a "
                f"folder, and begin with a letter or digit, got {quoted(self.name)}"
            )


@dataclass(frozen=True)
class Sweep:
    """One sweep of an experiment: its digest, its name and the words of its command.

    A single run has no name, and no run above it. `owner` is the process that started the sweep
    (`ResultQueue.owner`). Passwords in the description are left out.
    """

    id: str
    name: str
    description: str
    owner: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "description", redacted(self.description))

    @property
    def tag(self) -> str:
        """The tag of the jobs that are a part of it."""
        return f"sweep.{self.id}"

    @property
    def planned(self) -> int | None:
        """How many jobs were planned (`linear over l2: 13 runs`); None where that is not said."""
        planned = re.search(r"(?:^|: )(\d+) runs?$", self.name)
        return int(planned[1]) if planned else None


def overrides_of(words: str) -> list[str]:
    """Return the overrides in the words of a command that say what is computed."""
    return [w for w in shlex.split(words) if w != "-m" and w.partition("=")[0] not in HOW]


@dataclass(frozen=True)
class Record:
    """One job as it was tracked: FINISHED, FAILED with its reason, KILLED, or PRUNED.

    `curves` have at most 500 points each, by epoch. `began` and `ended` are in ms since 1970. Of a
    run in a store `artifacts` is where its files are, `profile` the JSON about its data set, and
    the tag `experiment` names its experiment.
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
    began: int = 0
    ended: int = 0
    artifacts: str = ""
    profile: str | None = None

    @classmethod
    def stored(
        cls, run_id: str, name: str, status: str, *, tags: dict[str, str], **more: Any
    ) -> Self:
        """Return a run as a store has it."""
        status = "PRUNED" if "pruned" in tags else status
        reason = tags.get("reason")
        return cls(run_id, name, tags.get("model", ""), status, reason, tags=tags, **more)

    @classmethod
    def of_mlflow(cls, run: Run, experiment: str) -> Self:
        """Return a run of MLflow's, as one that is read directly."""
        inputs = run.inputs.dataset_inputs if run.inputs else ()
        return cls.stored(
            run.info.run_id,
            run.info.run_name,
            run.info.status,
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
            tags=dict(run.data.tags) | {"experiment": experiment},
            began=run.info.start_time or 0,
            ended=run.info.end_time or 0,
            artifacts=run.info.artifact_uri,
            profile=next((i.dataset.profile for i in inputs), None),
        )

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> Self:
        """Return the record that `asdict` has made into JSON."""
        curves = {n: {int(s): v for s, v in c.items()} for n, c in parts["curves"].items()}
        # Jobs of a sweep say mostly the same: a thousand records share one copy of each text.
        texts = {name: _interned(parts[name]) for name in ("params", "tags")}
        return cls(**{**parts, **texts, "curves": curves})

    @property
    def digest(self) -> str:
        """The job's, which every attempt at it has."""
        return self.tags["digest"]

    @property
    def finished(self) -> bool:
        """Whether it was computed and written to its end."""
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


@dataclass(frozen=True)
class Entry:
    """A job that ended, as it waits to be sent to a store.

    `data` describes the data set to MLflow; `attempt` names this execution of the job; `store` is
    the store it is for, as the queue names it.
    """

    experiment: Experiment
    sweep: Sweep
    record: Record
    data: dict[str, str]
    attempt: str = field(default_factory=lambda: uuid4().hex[:12])
    store: str = ""

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> Self:
        """Return the entry that `asdict` has made into JSON."""
        experiment, sweep = Experiment(**parts["experiment"]), Sweep(**parts["sweep"])
        record = Record.from_json(parts["record"])
        return cls(**{**parts, "experiment": experiment, "sweep": sweep, "record": record})


def attempt_that_counts(attempts: Iterable[Record]) -> Record:
    """Return the attempt that stands for a job, whatever the order of its `attempts`.

    A finished one before one that was given up, before one that failed, before one that was killed;
    then the latest.
    """
    return max(
        attempts,
        key=lambda r: (r.finished, r.settled, r.status == "FAILED", r.began, r.ended, r.run_id),
    )


def _interned(texts: Mapping[str, str]) -> dict[str, str]:
    return {sys.intern(key): sys.intern(text) for key, text in texts.items()}


def flatten(config: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested keys joined by dots: `{"model": {"k": 8}}` as `{"model.k": 8}`."""
    flat: dict[str, object] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
