"""From runs to the rows of comparisons: what may be compared, what repeats what, what is chosen.

Runs are compared only within one data set (by digest), task and split. Runs that differ in nothing
but seeds, folds or published parts of one data set repeat one configuration. Of a model's
configurations (one row for each model and set of features) the one with the lowest mean validation
error is chosen, among those with the most repeats, never looking at test.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import yaml

from bench.identity import ROOT
from bench.metrics import Task
from bench.tables import short
from bench.task_models import hyperparameters_for
from bench.tracking import Record, flatten

REPEATED = {
    "seed": "seeds",
    "data_seed": "data seeds",
    "split.fold": "folds",
    "split.origin": "origins",
}
"""What may vary between repeats, beside published parts -> what several of them are called."""
RUN_ONLY = {*REPEATED, "model.random_state", "split.seed", "split.name", "test"}
"""Parameters that are no part of a configuration."""
PART = re.compile(r"([ur])([1-5])")
"""Published parts of one data set: each row is a test row in one of five."""


@dataclass(frozen=True)
class Configuration:
    """Repeats of one configuration; a tested repeat stands for one that was only validated."""

    model: str
    features: str
    task: Task
    params: dict[str, str]
    records: tuple[Record, ...]

    def values(self, metric: str) -> list[float]:
        """Return the metric of every finished repeat that has it."""
        return [r.metrics[metric] for r in self.records if r.finished and metric in r.metrics]

    def mean(self, metric: str) -> float | None:
        """Return the mean over repeats; None where it was not measured."""
        values = self.values(metric)
        return float(np.mean(values)) if values else None

    def std(self, metric: str) -> float | None:
        """Return the standard deviation over repeats (ddof = 1); None of fewer than two."""
        values = self.values(metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    @cached_property
    def validation_error(self) -> float | None:
        """The mean error that configurations are chosen by."""
        return self.mean(self.task.selection_metric)

    @property
    def test_error(self) -> float | None:
        """The mean error that is reported."""
        return self.mean(self.task.headline_metric)

    @property
    def tested(self) -> list[Record]:
        """Repeats with a test error."""
        return [r for r in self.records if r.finished and r.test_error is not None]

    def over(self) -> str:
        """Return what mean and spread are over: `u1–u5 × 2 seeds`, `5 seeds`, `1 run`."""
        records = self.tested or list(self.records)
        sizes = {word: len({r.params.get(key) for r in records}) for key, word in REPEATED.items()}
        parts = [split_names(records)] if PART.fullmatch(records[0].tags.get("split", "")) else []
        parts += [f"{n} {word}" for word, n in sizes.items() if n > 1]
        return " × ".join(parts) or "1 run"


@dataclass(frozen=True)
class Choice:
    """The configuration `chosen` out of those `of` one model and set of features.

    `varied` parameters differ among them; `left_out` of them have fewer repeats than `n_repeats`
    and were not in the running; all their `n_runs` runs took `seconds` of fitting.
    """

    chosen: Configuration
    of: tuple[Configuration, ...]
    varied: tuple[str, ...]
    n_repeats: int
    left_out: int
    n_runs: int
    seconds: float

    @property
    def model(self) -> str:
        return self.chosen.model

    @property
    def given(self) -> dict[str, str]:
        """Parameters that varied, and those that are not as in the model's own file."""
        return {
            key: value
            for key, value in sorted(self.chosen.params.items())
            if key in self.varied
            or differs_from_default(self.model, self.chosen.task.name, key, value)
        }

    def settings(self) -> str:
        """Return `k=8, l2=12`: what varied, and what is not as in the model's own file."""
        return ", ".join(f"{k.removeprefix('model.')}={short(v)}" for k, v in self.given.items())


@dataclass(frozen=True)
class Comparison:
    """Choices that may be compared: of one data set, task and split, in order of error.

    Runs of `modified` code, which no commit has, are compared with each other alone.
    """

    data: str
    source: str
    split: str
    task: Task
    modified: bool
    rows: tuple[Choice, ...]

    @property
    def title(self) -> str:
        code = ", by modified code" if self.modified else ""
        return f"{self.source or 'data unknown'}, split {self.split}{code}"

    @property
    def best(self) -> Record | None:
        """The best tested repeat, by validation, of the first configuration that was tested."""
        tested = next((row.chosen.tested for row in self.rows if row.chosen.tested), [])
        return min(tested, key=lambda r: (ranked(r.validation_error), r.run_id), default=None)

    @property
    def several_features(self) -> bool:
        return len({row.chosen.features for row in self.rows}) > 1


def comparisons(records: Sequence[Record]) -> list[Comparison]:
    """Return a comparison for each data set, task and split, of committed code first."""
    grouped: dict[tuple, list[Record]] = defaultdict(list)
    for record in records:
        grouped[record.data, record.task.name, _protocol(record), record.modified].append(record)
    labels = _split_labels(grouped)
    compared = [
        Comparison(
            data=of[0].data,
            source=of[0].tags.get("data.source", of[0].tags.get("data", "")),
            split=labels[key],
            task=of[0].task,
            modified=of[0].modified,
            rows=tuple(rows),
        )
        for key, of in grouped.items()
        if (rows := choices(of))
    ]
    return sorted(compared, key=lambda c: (c.modified, -len(c.rows), c.title, c.data))


def choices(records: Sequence[Record]) -> list[Choice]:
    """Return a choice for each model and features with a finished run, lowest error first.

    All are of one data set, task and split.
    """
    grouped: dict[tuple, list[Configuration]] = defaultdict(list)
    for c in configurations(records):
        grouped[c.model, c.features].append(c)
    chosen = [choice for of in grouped.values() for choice in _chosen(of)]

    def rank(choice: Choice) -> tuple:
        """By validation error; by test error, and last, where nothing was held out."""
        c = choice.chosen
        by_test = c.validation_error is None
        error = c.test_error if by_test else c.validation_error
        return by_test, ranked(error), c.model, c.features

    return sorted(chosen, key=rank)


def configurations(records: Sequence[Record]) -> list[Configuration]:
    """Return runs of one data set, task and split, those that repeat each other together."""
    grouped: dict[tuple, dict[tuple, Record]] = defaultdict(dict)
    for r in records:
        own = {k: v for k, v in r.params.items() if not k.startswith(("data.", "split."))}
        params = tuple(sorted((k, v) for k, v in own.items() if k not in RUN_ONLY))
        repeats = grouped[r.model, r.tags.get("features", ""), params]
        repeat = (r.tags.get("split"), *(r.params.get(key) for key in REPEATED))
        if repeat not in repeats or (r.finished and r.test_error is not None):
            repeats[repeat] = r
    return [
        Configuration(model, features, records[0].task, dict(params), tuple(repeats.values()))
        for (model, features, params), repeats in grouped.items()
    ]


def differs_from_default(model: str, task: str, key: str, value: str) -> bool:
    """Return whether a parameter of a model is not what its file in `conf/model` says for `task`.

    Of a model without a file there, every parameter that has a value differs.
    """
    if not key.startswith("model.") or key == "model._target_":
        return False
    default = model_defaults(model, task).get(key, "None")
    try:
        return float(default) != float(value)
    except ValueError:
        return default != value and not default.startswith("${")


@cache
def model_defaults(model: str, task: str) -> dict[str, str]:
    """Return the parameters in `conf/model/MODEL.yaml` as they are tracked of a run of `task`.

    None without a file.
    """
    path = ROOT / "conf" / "model" / f"{model}.yaml"
    if path.parent != (ROOT / "conf" / "model") or not path.is_file():
        return {}
    config = hyperparameters_for(yaml.safe_load(path.read_text()), task)
    return {key: str(value) for key, value in flatten({"model": config}).items()}


def split_names(records: Iterable[Record]) -> str:
    """Return the splits that were run: `ua`, `u1, u3`, `u1–u5`."""
    names = sorted({r.tags.get("split", "") for r in records})
    parts = [PART.fullmatch(name) for name in names]
    if len(names) > 2 and all(parts):
        numbers = [int(part[2]) for part in parts if part]
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            return f"{names[0]}–{names[-1]}"
    return ", ".join(names)


def ranked(error: float | None) -> float:
    """Return an error to sort by: what was not measured comes last."""
    return np.inf if error is None or np.isnan(error) else error


def _chosen(of: list[Configuration]) -> list[Choice]:
    """Return one choice; each, where nothing was held out to choose by; none where all failed."""
    keys = sorted(set().union(*(c.params for c in of)))
    varied = tuple(key for key in keys if len({c.params.get(key) for c in of}) > 1)
    runs = [r for c in of for r in c.records]
    times = ("time/selection_fit_seconds", "time/fit_seconds")
    spent = sum(r.metrics.get(time, 0) for r in runs for time in times)
    n_validated = [len(c.values(c.task.selection_metric)) for c in of]
    most = max(n_validated)
    complete = [c for c, n in zip(of, n_validated, strict=True) if n == most]
    picked, left_out = [c for c in of if c.tested], 0
    if most:
        best = min(complete, key=lambda c: (ranked(c.validation_error), sorted(c.params.items())))
        picked, left_out = [best], len(of) - len(complete)
    return [Choice(c, tuple(of), varied, most, left_out, len(runs), spent) for c in picked]


def _protocol(record: Record) -> tuple:
    """Return what makes test and validation rows comparable: the kind of split and its settings."""
    split = record.tags.get("split", "")
    part = PART.fullmatch(split)
    settings = sorted(
        (key.removeprefix("split."), value)
        for key, value in record.params.items()
        if key.startswith("split.") and key not in RUN_ONLY and not key.startswith("split._")
    )
    return (f"{part[1]}1–{part[1]}5" if part else split, *settings)


def _split_labels(grouped: dict[tuple, list[Record]]) -> dict[tuple, str]:
    """Return a label for each group's split, with the settings in which splits of a kind differ."""
    labels = {}
    for key, records in grouped.items():
        kind, *settings = key[2]
        alike = [set(other[2][1:]) for other in grouped if other[2][0] == kind]
        shared = set.intersection(*alike)
        differing = [f"{name}={value}" for name, value in settings if (name, value) not in shared]
        finished = [r for r in records if r.finished] or records
        labels[key] = " ".join([split_names(finished), *differing])
    return labels
