"""What each kind of information adds: a row a model and set of features, from tracked runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from bench.intervals import paired_gap
from bench.metrics import SELECTION_METRIC
from bench.studies.study import mean_std
from bench.tables import MISSING, markdown_table, signed
from bench.tracking import Record

FOLDS = ("u1", "u2", "u3", "u4", "u5")
SPLITS = (*FOLDS, "ua", "ub")
MODELS = ("fm_gibbs", "fm_ordinal", "peer_myfm", "peer_myfm_ordered")
"""In the order of the table."""
RMSE, MSE = "test/rmse_clipped", "test/mse_clipped"

Errors = Mapping[str, NDArray[np.float64]]
"""Split -> squared error of each of its test rows, averaged over seeds."""


@dataclass(frozen=True)
class Row:
    """Finished runs that differ in split and seed alone."""

    model: str
    features: tuple[str, ...]
    k: int
    n_iter: int
    records: tuple[Record, ...]

    @cached_property
    def runs(self) -> dict[tuple[str, str], Record]:
        """(split, seed) -> run."""
        return {(r.tags["split"], r.tags["seed"]): r for r in self.records}

    def values(self, split: str, metric: str) -> NDArray[np.float64]:
        """Return a number a seed."""
        return np.array(
            [r.metrics[metric] for (s, _), r in sorted(self.runs.items()) if s == split]
        )

    def over_folds(self, metric: str) -> NDArray[np.float64]:
        """Return the mean over u1 to u5, of each seed that has all of them."""
        seeds = sorted({seed for _, seed in self.runs})
        whole = [seed for seed in seeds if all((fold, seed) in self.runs for fold in FOLDS)]
        return np.array(
            [np.mean([self.runs[f, seed].metrics[metric] for f in FOLDS]) for seed in whole]
        )

    def errors(self, squared: Callable[[Record], pd.Series]) -> Errors:
        """From the squared errors of each run's test rows."""
        found = defaultdict(list)
        for (split, _), record in sorted(self.runs.items()):
            found[split].append(squared(record).to_numpy())
        return {split: np.mean(of, axis=0) for split, of in found.items()}


def rows_of(records: Sequence[Record]) -> list[Row]:
    """Return the rows that the finished runs make, in the order of the table."""
    found = defaultdict(list)
    for r in records:
        if r.finished:
            features = tuple(yaml.safe_load(r.params["features.names"]))
            found[
                r.model, features, int(r.params["model.k"]), int(r.params["model.n_iter"])
            ].append(r)
    rows = [Row(*key, tuple(of)) for key, of in found.items()]
    return sorted(
        rows, key=lambda row: (MODELS.index(row.model), len(row.features), row.k, row.n_iter)
    )


def table(rows: Sequence[Row]) -> str:
    """RMSE by split, mean +- standard deviation over seeds."""
    header = ["model", "features", "k", "sweeps", *FOLDS, "mean of u1 to u5", "ua", "ub", "n"]
    lines, before = [], None
    for row in rows:
        cells = [_mean_std(row.values(fold, RMSE)) for fold in FOLDS]
        cells += [
            _mean_std(row.over_folds(RMSE)),
            *(_mean_std(row.values(s, RMSE)) for s in ("ua", "ub")),
        ]
        n = max(len(row.values(split, RMSE)) for split in SPLITS)
        lines.append(
            [f"`{row.model}`", _added(row, before), str(row.k), str(row.n_iter), *cells, str(n)]
        )
        before = row
    return markdown_table(header, lines, left=2)


def choice(rows: Sequence[Row]) -> str:
    """Return a table of validation MSE by k, the mean over splits; nothing of test."""
    lines = [
        [
            f"`{row.model}`",
            ", ".join(row.features),
            str(row.k),
            f"{np.mean(of):.4f}",
            ", ".join(splits),
        ]
        for row in rows
        for splits in [sorted({split for split, _ in row.runs})]
        for of in [[row.values(split, SELECTION_METRIC).mean() for split in splits]]
    ]
    return markdown_table(["model", "features", "k", "validation MSE", "mean over"], lines, left=2)


def steps(rows: Sequence[Row]) -> Iterator[tuple[str, Row, Row]]:
    """Yield (what was added, without it, with it): a feature, or ordered probit."""
    for one in rows:
        for other in rows:
            same = (one.k, one.n_iter) == (other.k, other.n_iter)
            if same and one.model == other.model and _added(other, one).startswith("+ "):
                yield f"{_added(other, one)}, `{one.model}`", one, other
            if same and one.features == other.features and (one.model, other.model) == MODELS[:2]:
                yield f"ordered probit, {', '.join(one.features)}", one, other


def gains(rows: Sequence[Row], errors: Mapping[int, Errors]) -> str:
    """Change in MSE over all test rows of u1 to u5 with its interval; `errors` by id of the row."""
    lines = []
    for what, before, after in steps(rows):
        if any(fold not in errors[id(row)] for fold in FOLDS for row in (before, after)):
            continue
        pairs = [[errors[id(row)][fold] for fold in FOLDS] for row in (before, after)]
        gap = paired_gap(*(np.concatenate(both) for both in reversed(pairs)))
        seeds = [_std(row.over_folds(MSE)) for row in (before, after)]
        lines.append([what, signed(*gap), *seeds])
    header = ["added", "change in MSE [95 %]", "std over seeds, before", "after"]
    return markdown_table(header, lines)


def _added(row: Row, before: Row | None) -> str:
    """Return the features, or what is added to those of the row before of the same model."""
    if (
        before is not None
        and before.model == row.model
        and (before.k, before.n_iter) == (row.k, row.n_iter)
    ):
        n = len(before.features)
        if len(row.features) == n + 1 and row.features[:n] == before.features:
            return f"+ {row.features[-1]}"
    return ", ".join(row.features)


def _mean_std(values: NDArray) -> str:
    return mean_std(values) if len(values) else MISSING


def _std(values: NDArray) -> str:
    return f"{values.std(ddof=1):.4f}" if len(values) > 1 else MISSING
