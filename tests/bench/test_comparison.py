"""Runs are chosen by validation error alone, and only like is compared with like."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from bench import report
from bench.metrics import TASKS
from bench.report.comparison import comparison_table, incomplete, unfinished
from bench.report.model_selection import choices, comparisons
from bench.report.paired_gaps import Predictions
from bench.report.published import METRICS, Article
from bench.report.sweep_summary import top
from bench.tracking import Experiment, Record

SELECTION_METRIC = TASKS["rating"].selection_metric
HEADLINE_METRIC = TASKS["rating"].headline_metric


def record(seed: int, k: int, validation: float | None, test: float | None, **more) -> Record:
    metrics = {SELECTION_METRIC: validation, HEADLINE_METRIC: test, "time/fit_seconds": 2.0}
    fields = {
        "run_id": f"{seed}-{k}",
        "name": f"fm k={k}",
        "model": "fm",
        "status": "FINISHED",
        "reason": None,
        "params": {
            "model.k": str(k),
            "model.random_state": str(seed),
            "seed": str(seed),
            "split.name": "ua",
        },
        "metrics": {name: value for name, value in metrics.items() if value is not None},
        "tags": {"split": "ua", "features": "ids", "digest": f"{seed}-{k}"},
    }
    return Record(**(fields | more))


def test_chosen_is_the_lowest_mean_validation_error_not_test() -> None:
    runs = [
        record(0, 4, 0.80, 0.7),
        record(1, 4, 0.90, 0.7),
        record(0, 8, 0.82, 0.9),
        record(1, 8, 0.84, 0.8),
    ]
    (choice,) = choices(runs)
    assert choice.settings() == "k=8" and len(choice.of) == 2 and choice.n_runs == 4
    assert choice.chosen.over() == "2 seeds"
    np.testing.assert_allclose(choice.chosen.mean(HEADLINE_METRIC), 0.85)
    np.testing.assert_allclose(choice.chosen.std(HEADLINE_METRIC), np.std([0.9, 0.8], ddof=1))
    assert choice.seconds == 8.0


def test_rolling_origins_are_repeats() -> None:
    """Of one configuration, as folds are."""
    tags = {"split": "rolling", "features": "ids"}
    runs = [
        replace(
            record(0, 4, 0.8 + origin / 10, 0.9),
            params={"model.k": "4", "seed": "0", "split.origin": str(origin)},
            tags=tags | {"digest": str(origin)},
        )
        for origin in range(3)
    ]
    (choice,) = choices(runs)
    assert choice.chosen.over() == "3 origins"
    np.testing.assert_allclose(choice.chosen.mean(SELECTION_METRIC), 0.9)


def test_configuration_with_a_missing_repeat_is_not_chosen() -> None:
    runs = [record(0, 4, 0.1, 0.1), record(0, 8, 0.8, 0.9), record(1, 8, 0.8, 0.9)]
    assert choices(runs)[0].settings() == "k=8"


def test_rows_of_several_features_say_which() -> None:
    more = {"split": "ua", "features": "all", "digest": "more"}
    (found,) = comparisons([record(0, 4, 0.8, 0.9), record(0, 4, 0.7, 0.8, tags=more)])
    assert [line.split("|")[2].strip() for line in top(found).splitlines()] == [
        "features",
        "--------",
        "all",
        "ids",
    ]
    assert "features" not in top(comparisons([record(0, 4, 0.8, 0.9)])[0])


def test_tested_run_stands_for_the_one_that_chose_it() -> None:
    tested = record(0, 4, 0.8, 0.9, run_id="tested")
    (choice,) = choices([record(0, 4, 0.8, None), tested])
    assert [r.run_id for r in choice.chosen.records] == ["tested"]


def test_modified_code_is_kept_apart() -> None:
    tags = {"split": "ua", "features": "ids", "digest": "x", "code.modified": "true"}
    one, other = comparisons([record(0, 4, 0.1, 0.1, tags=tags), record(0, 4, 0.8, 0.9)])
    assert (one.modified, other.modified) == (False, True)
    assert other.title == f"{one.title}, by modified code"
    assert len(one.rows) == len(other.rows) == 1


def of_split(split: str, **more) -> Record:
    return record(0, 4, 0.8, 0.9, tags={"split": split, "features": "ids"}, run_id=split, **more)


@pytest.mark.parametrize(
    ("run", "named"),
    [
        (["u1", "u2", "u3", "u4", "u5"], "u1–u5"),
        (["u1", "u3"], "u1, u3"),
        (["u1"], "u1"),
    ],
)
def test_published_folds_are_one_row_that_names_those_run(run: list[str], named: str) -> None:
    (found,) = comparisons([of_split(split) for split in run])
    assert len(found.rows) == 1
    assert (found.split, found.rows[0].chosen.over()) == (named, named)


def of_data(digest: str, model: str, error: float, **more) -> Record:
    tags = {"split": "ua", "features": "ids", "data.digest": digest, "data.source": f"{digest}.csv"}
    run_id = f"{digest}-{model}"
    return record(0, 4, error, error, model=model, tags=tags | more, run_id=run_id)


def test_data_sets_tasks_and_splits_are_never_compared() -> None:
    metrics = {"validation/log_loss": 0.3, "test/log_loss": 0.4}
    binary = of_data("a", "fm", 0.1, task="binary")
    runs = [
        of_data("a", "linear", 0.9),
        of_data("a", "fm", 0.8),
        of_data("b", "fm", 0.2),
        of_data("a", "fm", 0.5, split="ub"),
        replace(binary, metrics=metrics),
    ]
    found = comparisons(runs)
    assert [(c.source, c.split, c.task.name, len(c.rows)) for c in found] == [
        ("a.csv", "ua", "rating", 2),
        ("a.csv", "ua", "binary", 1),
        ("a.csv", "ub", "rating", 1),
        ("b.csv", "ua", "rating", 1),
    ]
    said = "\n".join(report.summary(Experiment("sweeps", ""), runs))
    assert said.count("Best by validation") == 4 and "On b.csv, split ua:" in said
    assert "validation log loss" in said


def test_other_settings_of_a_split_are_another_split() -> None:
    runs = [record(0, 4, e, e, params={"split.test": t}) for t, e in (("0.1", 0.9), ("0.2", 0.8))]
    assert [c.split for c in comparisons(runs)] == ["ua test=0.1", "ua test=0.2"]


def test_what_is_not_as_in_the_models_file_is_shown() -> None:
    given = {"model.k": "3", "model.l2": "12", "model._target_": "x", "seed": "0"}
    (row,) = choices([record(0, 3, 0.8, 0.9, model="fm_sgd", params=given)])
    assert row.settings() == "k=3"
    as_filed = {"model.k": "10", "model.l2": "12.0", "model.l2_w": "6.0"}
    assert choices([record(0, 3, 0.8, 0.9, model="fm_sgd", params=as_filed)])[0].settings() == ""
    assert (
        choices([record(0, 3, 0.8, 0.9, model="own", params=given)])[0].settings() == "k=3, l2=12"
    )


def test_those_not_in_the_running_are_counted() -> None:
    runs = [record(0, 4, 0.1, 0.1), record(0, 8, 0.8, 0.9), record(1, 8, 0.8, 0.9)]
    said = incomplete(choices(runs))
    assert "Of the 2 configurations of `fm`, 1 has fewer than 2 validated repeats" in said
    assert incomplete(choices(runs[1:])) == ""


def test_failed_and_missing_are_rows() -> None:
    failed = record(0, 4, None, None, status="FAILED", reason="ValueError: <b>|no`" + "x" * 100)
    heading, table = unfinished([failed], ["2 of 9 runs"])
    assert heading == "## What failed or is missing"
    (name, _, cell), (planned, *_) = cells_in(table)
    assert cell.startswith(r"ValueError: \<b\>\|no\`xx") and len(cell) < 90
    assert (name, planned) == ("fm k=4", "2 of 9 runs")
    assert unfinished([record(0, 4, 0.8, 0.9)], []) == []
    _, table = unfinished([], [], {"peer": "not installed"})
    assert cells_in(table) == [["peer", "SKIPPED", "not installed"]]


def cells_in(table: str) -> list[list[str]]:
    """Return the cells of each row of a Markdown table."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in row] for row in rows]


def cells_of(records: list[Record]) -> dict[str, str]:
    table = comparison_table(comparisons(records)[0], "linear", Predictions(None))
    header, *_ = cells_in(f"\n\n{table}")
    return dict(zip(header, cells_in(table)[0], strict=True))


def test_simulated_ratings_are_held_against_the_best_possible() -> None:
    metrics = {SELECTION_METRIC: 0.8, HEADLINE_METRIC: 0.9, "test/oracle_mse": 0.85}
    metrics["size/peak_memory_mib"] = 12.4
    cells = cells_of([record(0, 4, None, None, metrics=metrics)])
    assert (cells["MSE − best possible"], cells["memory MiB"]) == ("+0.0500", "12")
    assert "MSE − best possible" not in cells_of([record(0, 4, 0.8, 0.9)])


def test_the_articles_gain_is_held_against_that_of_the_best_model() -> None:
    errors = {"vw_crossed": 0.96, "vw_rank": 0.9, "vw_linear": 0.94, "linear": 0.92, "best": 0.8}
    records = [
        record(0, 4, e, e, model=name, metrics=dict.fromkeys(METRICS.values(), e))
        for name, e in errors.items()
    ]
    systems = {name: {"published": 0.95} for name in errors}
    said = Article({"systems": systems}, *comparisons(records)).findings()
    assert "FM gains 0.0200 over a linear model**, not 0.0000" in said
    assert "by validation, `best`, gains 0.1200." in said
