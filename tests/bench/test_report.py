"""The report of a sweep: which configuration it chooses, what it says, that it says it again to the byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.identity import ROOT
from bench.metrics import HEADLINE_METRIC, SELECTION_METRIC
from bench.report.comparison import ORACLE, compared, unfinished
from bench.report.figure_selection import _cells, _tried
from bench.report.figures import tried
from bench.report.model_selection import Choice, choices
from bench.report.sweep_summary import top
from bench.tracking import Record

TINY = ["data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000"]


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


def test_configuration_with_a_missing_repeat_is_not_chosen() -> None:
    runs = [record(0, 4, 0.1, 0.1), record(0, 8, 0.8, 0.9), record(1, 8, 0.8, 0.9)]
    assert choices(runs)[0].settings() == "k=8"


def test_rows_of_several_features_say_which() -> None:
    more = {"split": "ua", "features": "all", "digest": "more"}
    rows = choices([record(0, 4, 0.8, 0.9), record(0, 4, 0.7, 0.8, tags=more)])
    assert [line.split("|")[2].strip() for line in top(rows).splitlines()] == [
        "features",
        "--------",
        "all",
        "ids",
    ]
    assert "features" not in top(rows[:1])


def test_tested_run_stands_for_the_one_that_chose_it() -> None:
    tested = record(0, 4, 0.8, 0.9, run_id="tested")
    (choice,) = choices([record(0, 4, 0.8, None), tested])
    assert [r.run_id for r in choice.chosen.records] == ["tested"]


def test_modified_code_is_kept_apart() -> None:
    tags = {"split": "ua", "features": "ids", "digest": "x", "code.modified": "true"}
    rows = choices([record(0, 4, 0.8, 0.9), record(0, 4, 0.1, 0.1, tags=tags)])
    assert sorted(row.chosen.modified for row in rows) == [False, True]


def test_published_folds_are_one_row() -> None:
    runs = [record(0, 4, 0.8, 0.9, tags={"split": f"u{i}", "features": "ids"}) for i in (1, 2, 3)]
    (choice,) = choices(runs)
    assert choice.chosen.over() == "3 splits" and choice.chosen.split == "u1–u5"


def test_failed_and_missing_are_rows() -> None:
    text = unfinished(
        [record(0, 4, None, None, status="FAILED", reason="ValueError: no")], ["2 of 9 runs"]
    )
    assert "| fm k=4" in text and "ValueError: no" in text and "2 of 9 runs" in text
    assert unfinished([record(0, 4, 0.8, 0.9)], []) == ""
    assert "| peer | SKIPPED | not installed" in unfinished([], [], {"peer": "not installed"})


def test_simulated_ratings_are_held_against_the_best_possible() -> None:
    metrics = {
        SELECTION_METRIC: 0.8,
        HEADLINE_METRIC: 0.9,
        ORACLE: 0.85,
        "size/peak_memory_mib": 12.4,
    }
    told = compared(
        choices([record(0, 4, None, None, metrics=metrics)]), "linear", predictions=None
    )
    header, _, row = (line.split("|") for line in told.splitlines())
    cells = {name.strip(): cell.strip() for name, cell in zip(header, row, strict=True)}
    assert (cells["MSE − best possible"], cells["memory MiB"]) == ("+0.0500", "12")
    assert "best possible" not in compared(
        choices([record(0, 4, 0.8, 0.9)]), "linear", predictions=None
    )


def tuned(*tried: tuple[float, float, float | None]) -> Choice:
    """Of runs with such a learning rate, L2 and validation error."""
    return choices(
        [
            record(
                0, 4, error, None, params={"model.learning_rate": str(rate), "model.l2": str(l2)}
            )
            for rate, l2, error in tried
        ]
    )[0]


def test_a_grid_is_a_heat_map() -> None:
    found = _cells(tuned((0.1, 1, 0.8), (0.1, 2, 0.7), (0.3, 1, None), (0.3, 2, 0.9)))
    assert found[0].rates == [0.1, 0.3] and found[0].l2 == [1, 2]
    np.testing.assert_array_equal(found[0].error, [[0.8, np.nan], [0.7, 0.9]])


def test_a_search_is_points(tmp_path: Path) -> None:
    row = tuned((0.1, 1, 0.8), (0.2, 2, 0.7), (0.3, 3, None))
    assert _cells(row) is None
    points = _tried(row)
    found = sorted(zip(points.rates, points.l2, points.error, strict=True))
    np.testing.assert_array_equal(found, [(0.1, 1, 0.8), (0.2, 2, 0.7), (0.3, 3, np.nan)])
    tried("fm_sgd", points, tmp_path / "tried")
    assert (tmp_path / "tried.png").stat().st_size > 1000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store and the report of a sweep in which one run fails."""
    folder = tmp_path_factory.mktemp("results")
    sweep = [
        "model=fm_sgd",
        "model.n_iter=4",
        "model.k=2,4",
        "model.learning_rate=0.1,1e6",
        "model.l2=1,8",
    ]
    sweep += ["refit=false"]
    for arguments, status in (
        (["-m", *TINY, "model=linear,fm_gibbs"], 0),
        (["-m", *TINY, *sweep], 1),
    ):
        command = [sys.executable, "-m", "bench", *arguments, f"results={folder}"]
        done = subprocess.run(
            command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == status, done.stderr
        (folder / "said.txt").write_text(done.stdout)
        (folder / "page.md").write_bytes((folder / "sweeps_simulated" / "README.md").read_bytes())
    return folder


@pytest.mark.slow
def test_sweep_ends_with_what_was_found_and_where_it_is(results: Path) -> None:
    said = (results / "said.txt").read_text()
    assert "Best by validation: model=fm_sgd features=ids model.k=" in said
    assert f"Report: {results}/sweeps_simulated/README.md" in said
    assert "Dashboard: python -m bench.ui sweeps_simulated" in said and "diverged" in said
    page = (results / "page.md").read_text()
    assert "Generated by `python -m bench -m data=planted data.n_users=40" in page
    assert "Of `fm_sgd` the fit that was validated is tested itself (`refit=false`)." in page


@pytest.mark.slow
def test_report_of_an_experiment(results: Path) -> None:
    command = [sys.executable, "-m", "bench.report", "sweeps_simulated", "--results", str(results)]
    folder = results / "sweeps_simulated"
    written = []
    for _ in range(2):
        for file in folder.iterdir():
            file.unlink()
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True, timeout=120)
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert written[0] == written[1]
    page = written[0]["README.md"].decode()
    for expected in (
        "`fm_gibbs`",
        "`linear`",
        "| k=",
        "Simulated data",
        "MSE − best possible",
        "memory MiB",
        "## What failed",
        "FloatingPointError",
    ):
        assert expected in page, expected
    names = {
        "error_by_k",
        "heat_map_fm_sgd",
        "pareto",
        "learning_curves",
        "error_by_count",
        "predicted_and_observed",
    }
    assert {f"{name}{suffix}" for name in names for suffix in (".png", ".svg")} <= written[0].keys()
    assert all(f"({name}.png)" in page for name in names)


@pytest.mark.slow
def test_unknown_experiment_is_refused_in_a_sentence(results: Path) -> None:
    command = [sys.executable, "-m", "bench.report", "sweeps_simulatd", "--results", str(results)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "bench: there is no experiment 'sweeps_simulatd' (did you mean 'sweeps_simulated'?)"
    )
