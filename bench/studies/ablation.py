"""What each kind of information adds: tables from tracked runs of models and sets of features."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from bench.intervals import paired_gap
from bench.studies.study import mean_std
from bench.tables import MISSING, markdown_table, signed
from bench.tracking import Record

FOLDS = ("u1", "u2", "u3", "u4", "u5")
SPLITS = (*FOLDS, "ua", "ub")
MODELS = ("fm_gibbs", "fm_ordinal", "peer_myfm", "peer_myfm_ordered")
"""In the order of the table."""
KEY = ["model", "n_features", "k", "n_iter", "features"]
"""What runs of one row of a table share."""
MSE, RMSE, VALIDATION = "test/mse_clipped", "test/rmse_clipped", "validation/mse_clipped"


def runs_of(records: Sequence[Record]) -> pd.DataFrame:
    """Return finished runs in the order of the tables: `KEY`, split, seed, metrics, record."""
    rows = []
    for record in records:
        if record.finished:
            features = yaml.safe_load(record.params["features.names"])
            rows.append(
                {
                    "model": MODELS.index(record.model),
                    "n_features": len(features),
                    "k": int(record.params["model.k"]),
                    "n_iter": int(record.params["model.n_iter"]),
                    "features": ", ".join(features),
                    "split": record.tags["split"],
                    "seed": record.tags["seed"],
                    "record": record,
                }
                | {m: record.metrics.get(m, np.nan) for m in (MSE, RMSE, VALIDATION)}
            )
    return pd.DataFrame(rows).sort_values([*KEY, "split", "seed"], ignore_index=True)


def over_folds(runs: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """Return the mean over u1 to u5, of each seed that has all of them."""
    by_seed = runs.pivot(index="seed", columns="split", values=metric).reindex(columns=FOLDS)
    return by_seed.dropna().mean(axis=1).to_numpy()


def table(runs: pd.DataFrame) -> str:
    """Return RMSE by split, mean ± standard deviation over seeds, a row a model and features."""
    lines, before = [], None
    for key, of in runs.groupby(KEY):
        model, _, k, n_iter, features = key
        by_split = {split: of.loc[of["split"] == split, RMSE].to_numpy() for split in SPLITS}
        cells = [_mean_std(by_split[fold]) for fold in FOLDS]
        cells += [_mean_std(over_folds(of, RMSE)), _mean_std(by_split["ua"])]
        cells += [_mean_std(by_split["ub"]), str(max(map(len, by_split.values())))]
        added = _added(key, before) or features
        lines.append([f"`{MODELS[model]}`", added, str(k), str(n_iter), *cells])
        before = key
    header = ["model", "features", "k", "sweeps", *FOLDS, "mean of u1 to u5", "ua", "ub", "n"]
    return markdown_table(header, lines, left=2)


def validation_table(runs: pd.DataFrame) -> str:
    """Return validation MSE by k, the mean over splits; nothing of test."""
    lines = [
        [
            f"`{MODELS[model]}`",
            features,
            str(k),
            f"{by_split.mean():.4f}",
            ", ".join(by_split.index),
        ]
        for (model, _, k, _, features), of in runs.groupby(KEY)
        for by_split in [of.groupby("split")[VALIDATION].mean()]
    ]
    return markdown_table(["model", "features", "k", "validation MSE", "mean over"], lines, left=2)


def gains(runs: pd.DataFrame, losses: Callable[[Record], pd.Series]) -> str:
    """Return the change in MSE of each step with its interval, over all test rows of u1 to u5.

    `losses` returns the squared errors of a run's test rows; they are averaged over seeds.
    """
    whole: dict[tuple, pd.DataFrame] = {
        key: of for key, of in runs.groupby(KEY) if set(FOLDS) <= set(of["split"])
    }
    errors = {key: _fold_errors(of, losses) for key, of in whole.items()}
    lines = [
        [
            what,
            signed(*paired_gap(errors[after], errors[before])),
            *(_std(over_folds(whole[key], MSE)) for key in (before, after)),
        ]
        for what, before, after in steps(whole)
    ]
    header = ["added", "change in MSE [95 %]", "std over seeds, before", "after"]
    return markdown_table(header, lines)


def steps(rows: Iterable[tuple]) -> Iterator[tuple[str, tuple, tuple]]:
    """Yield (what was added, key without it, key with it): a feature, or ordered probit."""
    for before, after in itertools.permutations(rows, 2):
        if added := _added(after, before):
            yield f"{added}, `{MODELS[after[0]]}`", before, after
        if (before[0], after[0]) == (0, 1) and before[1:] == after[1:]:
            yield f"ordered probit, {after[-1]}", before, after


def _added(row: tuple, before: tuple | None) -> str | None:
    """Return `+ day` where that is all that a row has beyond the one before."""
    if before is None or (row[0], row[2], row[3]) != (before[0], before[2], before[3]):
        return None
    rest = row[-1].removeprefix(f"{before[-1]}, ")
    return f"+ {rest}" if rest != row[-1] and row[1] == before[1] + 1 else None


def _fold_errors(runs: pd.DataFrame, losses: Callable[[Record], pd.Series]) -> NDArray[np.float64]:
    return np.concatenate(
        [
            np.mean(
                [losses(r).to_numpy() for r in runs.loc[runs["split"] == fold, "record"]], axis=0
            )
            for fold in FOLDS
        ]
    )


def _mean_std(values: NDArray) -> str:
    return mean_std(values) if len(values) else MISSING


def _std(values: NDArray) -> str:
    return f"{values.std(ddof=1):.4f}" if len(values) > 1 else MISSING
