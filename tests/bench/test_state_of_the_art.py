"""The page's tables from runs whose numbers are known."""

import numpy as np
import pandas as pd
import pytest

from bench.errors import UserError
from bench.studies import ablation
from bench.studies.fits import Fit
from bench.studies.state_of_the_art import OURS, SWEEPS, THEIRS, WITH_SESSIONS, of_one_code, race
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
        metrics={ablation.MSE: mse, ablation.RMSE: mse**0.5, "time/fit_seconds": 1.0},
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
        for split in ablation.SPLITS
        for seed in (0, 1)
    ]


def test_rows_are_what_differs_in_more_than_split_and_seed():
    rows = ablation.rows_of(table_of(3))
    assert [(row.model, len(row.features)) for row in rows] == [
        (model, i) for model in ("fm_gibbs", "fm_ordinal") for i in (1, 2, 3)
    ]
    np.testing.assert_allclose(rows[0].over_folds(ablation.MSE), [0.9, 0.91])
    np.testing.assert_allclose(rows[2].values("ua", ablation.MSE), [0.7, 0.71])
    assert len(ablation.table(rows).splitlines()) == 2 + len(rows)
    assert "+ side" in ablation.table(rows)


def test_a_seed_without_all_folds_has_no_mean():
    records = [r for r in table_of(1) if (r.tags["split"], r.tags["seed"]) != ("u3", "1")]
    assert len(ablation.rows_of(records)[0].over_folds(ablation.MSE)) == 1


def test_steps_add_one_feature_or_ordered_probit():
    found = {what for what, *_ in ablation.steps(ablation.rows_of(table_of(2)))}
    assert found == {
        "+ day, `fm_gibbs`",
        "+ day, `fm_ordinal`",
        "ordered probit, ids",
        "ordered probit, ids, day",
    }


def test_gain_is_the_mean_difference_over_all_folds():
    rows = ablation.rows_of(table_of(2))
    errors = {
        id(row): row.errors(lambda r: pd.Series(np.full(50, r.metrics[ablation.MSE])))
        for row in rows
    }
    np.testing.assert_allclose(errors[id(rows[0])]["u1"], 0.905)
    line = next(
        line for line in ablation.gains(rows, errors).splitlines() if "+ day, `fm_gibbs`" in line
    )
    assert "-0.1000 [-0.1000, -0.1000]" in line and "0.0071" in line


def test_runs_of_another_code_are_left_out():
    records = table_of(1)
    assert of_one_code([*records, run("fm_gibbs", ["ids"], "u1", 0, 9.0, code="b")]) == records
    with pytest.raises(UserError, match="no run"):
        of_one_code([])


def test_a_race_is_judged_by_ratios_within_repeats():
    def fit(epoch, mse):
        return vars(Fit([epoch * (i + 1) for i in range(SWEEPS)], [mse] * SWEEPS, epoch))

    fits = {OURS: [fit(1.0, 0.77), fit(1.0, 0.9)], WITH_SESSIONS: [fit(1.0, 0.77)] * 2}
    (section,) = race({"race": fits})
    assert not section.bars and "never" in section.text
    (section,) = race({"race": fits | {THEIRS: [fit(2.0, 0.77), fit(4.0, 0.77)]}})
    np.testing.assert_allclose(section.bars[0].measured, [1 / 2, 1 / 4])
    np.testing.assert_allclose(section.bars[1].measured, [1 / 2, 1 / 4])
