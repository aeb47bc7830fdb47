"""From runs to the rows of a comparison: which runs repeat one configuration, and which configuration is chosen.

Runs that differ in nothing but seeds, folds or published parts of one data set repeat a configuration. Of
a model's configurations (one row for each model, set of features and kind of split) the one with the
lowest mean validation error is chosen, never looking at test.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics import HEADLINE_METRIC, SELECTION_METRIC
from bench.tables import short
from bench.tracking import Record

REPEATED = {
    "seed": "seeds",
    "data_seed": "data seeds",
    "split": "splits",
    "split.fold": "folds",
}
"""What may vary between repeats -> what several of them are called."""
NO_PART = {*REPEATED, "model.random_state", "split.seed", "split.name", "test"}
"""Parameters that make no other configuration."""
FOLDS = re.compile(r"[ur][1-5]")


@dataclass(frozen=True)
class Configuration:
    """Repeats of one configuration; a repeat that was tested stands for one that was only validated."""

    model: str
    features: str
    split: str
    params: tuple[tuple[str, str], ...]
    records: tuple[Record, ...]

    def values(self, metric: str) -> list[float]:
        """Of the finished repeats."""
        return [r.metrics[metric] for r in self.records if r.finished and metric in r.metrics]

    def mean(self, metric: str) -> float | None:
        """None where it was not measured."""
        values = self.values(metric)
        return float(np.mean(values)) if values else None

    def std(self, metric: str) -> float | None:
        """ddof = 1; None of fewer than two."""
        values = self.values(metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    @property
    def tested(self) -> list[Record]:
        return [r for r in self.records if r.finished and HEADLINE_METRIC in r.metrics]

    @property
    def modified(self) -> bool:
        return any(r.modified for r in self.records)

    def over(self) -> str:
        """`5 seeds`, `2 seeds x 5 folds`, `1 run`: what mean and spread are over."""
        told = self.tested or list(self.records)
        sizes = {word: len({_value(r, key) for r in told}) for key, word in REPEATED.items()}
        return " × ".join(f"{n} {word}" for word, n in sizes.items() if n > 1) or "1 run"


@dataclass(frozen=True)
class Choice:
    """The configuration chosen out of `of`, in which `varied` parameters differ; `n_runs` runs took `seconds`
    of fitting."""

    chosen: Configuration
    of: tuple[Configuration, ...]
    varied: tuple[str, ...]
    n_runs: int
    seconds: float

    @property
    def model(self) -> str:
        return self.chosen.model

    def settings(self) -> str:
        """`k=8, l2=12`: the values of what varied."""
        params = dict(self.chosen.params)
        return ", ".join(
            f"{key.removeprefix('model.')}={short(params[key])}"
            for key in self.varied
            if key in params
        )


def choices(records: Sequence[Record]) -> list[Choice]:
    """A choice for each model, features and kind of split with a finished run, in order of validation error.
    Runs of modified code are kept apart from the others."""
    grouped: dict[tuple, list[Configuration]] = defaultdict(list)
    for c in configurations(records):
        grouped[c.model, c.features, c.split, c.modified].append(c)
    found = [choice for of in grouped.values() for choice in _chosen(of)]
    return sorted(
        found,
        key=lambda c: (
            c.chosen.mean(SELECTION_METRIC) or c.chosen.mean(HEADLINE_METRIC) or np.inf,
            c.model,
        ),
    )


def differing(rows: Sequence[Choice]) -> list[str]:
    """Of features and kind of split, what is not the same in all."""
    return [
        name
        for name in ("features", "split")
        if len({getattr(row.chosen, name) for row in rows}) > 1
    ]


def configurations(records: Sequence[Record]) -> list[Configuration]:
    grouped: dict[tuple, dict[tuple, Record]] = defaultdict(dict)
    for r in records:
        split = r.tags.get("split", "")
        split = f"{split[0]}1–{split[0]}5" if FOLDS.fullmatch(split) else split
        params = tuple(sorted((k, v) for k, v in r.params.items() if k not in NO_PART))
        repeats = grouped[r.model, r.tags.get("features", ""), split, params, r.modified]
        repeat = tuple(_value(r, key) for key in REPEATED)
        if repeat not in repeats or (HEADLINE_METRIC in r.metrics and r.finished):
            repeats[repeat] = r
    return [Configuration(*key[:4], tuple(repeats.values())) for key, repeats in grouped.items()]


def _chosen(of: list[Configuration]) -> list[Choice]:
    """One choice; or each, where nothing was held out to choose by; none where all failed."""
    varied = tuple(
        key
        for key in sorted(set().union(*(dict(c.params) for c in of)))
        if len({dict(c.params).get(key) for c in of}) > 1
    )
    runs = [r for c in of for r in c.records]
    spent = sum(
        r.metrics.get("time/selection_fit_seconds", 0) + r.metrics.get("time/fit_seconds", 0)
        for r in runs
    )
    most = max(len(c.values(SELECTION_METRIC)) for c in of)
    picked = [c for c in of if c.tested]
    if most:
        complete = [c for c in of if len(c.values(SELECTION_METRIC)) == most]
        picked = [min(complete, key=lambda c: (c.mean(SELECTION_METRIC), c.params))]
    return [Choice(c, tuple(of), varied, len(runs), spent) for c in picked]


def _value(record: Record, key: str) -> str | None:
    return record.tags.get("split") if key == "split" else record.params.get(key)
