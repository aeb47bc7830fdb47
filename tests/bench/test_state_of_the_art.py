"""The page's tables from runs whose numbers are known."""

import numpy as np
import pandas as pd
import pytest

from bench.errors import UserError
from bench.studies import state_of_the_art as study
from bench.tracking import Record

FEATURES = ["ids", "day", "side"]


def run(model, features, split, seed, mse, code="a"):
    return Record(
        run_id=f"{model} {features} {split} {seed}",
        name="",
        model=model,
        status="FINISHED",
        reason=None,
        params={"features.names": str(features), "model.k": "10", "model.n_iter": "200"},
        metrics={study.MSE: mse, study.RMSE: mse**0.5, "time/fit_seconds": 1.0},
        tags={"split": split, "seed": str(seed), "code.source": code},
    )


def table_of(n):
    """Runs of `n` sets of features on all splits, two seeds; each takes 0.1 off the error."""
    return [
        run(
            model,
            FEATURES[:i],
            split,
            seed,
            1 - 0.1 * i - 0.05 * (model == "fm_ordinal") + 0.01 * seed,
        )
        for model in ("fm_ordinal", "fm_gibbs")
        for i in range(1, n + 1)
        for split in ("u1", "u2", "u3", "u4", "u5", "ua", "ub")
        for seed in (0, 1)
    ]


def test_rows_are_what_differs_in_more_than_split_and_seed():
    runs = study.runs_of(table_of(3))
    rows = [(study.MODELS[m], n) for (m, n, *_), _ in runs.groupby(study.KEY)]
    assert rows == [(model, i) for model in ("fm_gibbs", "fm_ordinal") for i in (1, 2, 3)]
    first = runs[(runs["model"] == 0) & (runs["n_features"] == 1)]
    np.testing.assert_allclose(study.over_folds(first, study.MSE), [0.9, 0.91])
    text = study.table(runs)
    assert len(text.splitlines()) == 2 + len(rows) and text.count("+ side") == 2


def test_a_seed_without_all_folds_has_no_mean():
    records = [r for r in table_of(1) if (r.tags["split"], r.tags["seed"]) != ("u3", "1")]
    runs = study.runs_of(records)
    assert len(study.over_folds(runs[runs["model"] == 0], study.MSE)) == 1


def test_steps_add_one_feature_or_ordered_probit():
    rows = dict.fromkeys(key for key, _ in study.runs_of(table_of(2)).groupby(study.KEY))
    assert {what for what, *_ in study.steps(rows)} == {
        "+ day, `fm_gibbs`",
        "+ day, `fm_ordinal`",
        "ordered probit, ids",
        "ordered probit, ids, day",
    }


def test_gain_is_the_mean_difference_over_all_folds():
    runs = study.runs_of(table_of(2))
    text = study.gains(runs, lambda r: pd.Series(np.full(50, r.metrics[study.MSE])))
    line = next(line for line in text.splitlines() if "+ day, `fm_gibbs`" in line)
    assert "-0.1000 [-0.1000, -0.1000]" in line and "0.0071" in line


def test_runs_of_another_code_are_left_out():
    records = table_of(1)
    assert (
        study.of_one_code([*records, run("fm_gibbs", ["ids"], "u1", 0, 9.0, code="b")]) == records
    )
    with pytest.raises(UserError, match="no run"):
        study.of_one_code([])
