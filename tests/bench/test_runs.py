"""Tracked runs in the terminal."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.runs import _no_formula, listing, main, run_named
from bench.tracking import MLflowTracker, Record
from tests.bench.test_tracking import EXPERIMENT, RESULT, job, sweep, track

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("results")
    tracker = MLflowTracker(directory=str(directory))
    track(tracker, job(1.0), sweep("s"), name="dummy l2=1")
    track(tracker, job(2.0), sweep("s"), ValueError("no good"), name="dummy l2=2")
    return directory


def shown(capsys: pytest.CaptureFixture, results: Path, *arguments: str) -> str:
    assert main(["--results", str(results), *arguments]) == 0
    return capsys.readouterr().out


def test_lists_the_best_first_and_says_why_others_failed(
    results: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = shown(capsys, results, "list").splitlines()[2:]  # below the data and the split
    assert "dummy l2=1" in rows[2] and job(1.0).digest[:8] in rows[2] and "0.1429" in rows[2]
    assert "FAILED: ValueError: no good" in rows[3]
    assert "and 1 more" in shown(capsys, results, "list", EXPERIMENT.name, "--limit", "1")


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_lists_every_digit(results: Path, capsys: pytest.CaptureFixture, form: str) -> None:
    out = shown(capsys, results, "list", form)
    rows = json.loads(out) if form == "--json" else list(csv.DictReader(io.StringIO(out)))
    best = next(row for row in rows if row["name"] == "dummy l2=1")
    assert float(best["test/mse_clipped"]) == RESULT.metrics["test/mse_clipped"]
    assert best["digest"] == job(1.0).digest and len(rows) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "zzz"], "no run whose digest or run id begins with 'zzz'"),
        (["show", ""], "is the beginning of 2 digests"),
        (["list", "qestion"], "did you mean 'question'?"),
    ],
)
def test_wrong_question_gets_one_sentence(
    results: Path, capsys: pytest.CaptureFixture, arguments: list[str], said: str
) -> None:
    assert main(["--results", str(results), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_of_several_attempts_the_one_that_counts_is_named() -> None:
    finished, failed = (
        Record(run_id, "n", "m", status, None, {}, {}, {"digest": "abc"}, began=began)
        for run_id, status, began in (("1", "FINISHED", 1.0), ("2", "FAILED", 2.0))
    )
    assert run_named([failed, finished], "ab") is finished
    assert run_named([failed, finished], "2") is failed


def test_an_empty_folder_is_not_made_a_store(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--results", str(tmp_path / "none"), "list"]) == 2
    assert "nothing was tracked" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_runs_of_other_data_or_splits_are_tables_of_their_own() -> None:
    def run(data: str, split: str, error: float) -> Record:
        tags = {"digest": f"{data}{error}", "experiment": "e", "split": split}
        tags |= {"data.digest": data, "data.source": f"{data}.csv"}
        metrics = {"validation/mse_clipped": error}
        return Record("", f"fm {error}", "fm", "FINISHED", None, {}, metrics, tags)

    records = [run("a", "ua", 0.8), run("a", "ua", 0.9), run("a", "ub", 0.7), run("b", "ua", 0.1)]
    said = listing(records, 3)
    assert [line for line in said.splitlines() if line.endswith(":")] == [
        "a.csv, split ua:",
        "a.csv, split ub:",
    ]
    assert said.endswith("and 1 more (--limit)") and said.count("validation MSE") == 2


def test_a_list_fits_the_terminal_and_shows_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"digest": "0123456789", "experiment": "e", "data.source": "a.csv", "split": "ua"}
    run = Record("", 30 * "n", "fm", "FINISHED", None, {}, {}, tags, began=86_400_000)
    assert "| 1970-01-0" in listing([run], 1) and " fit s " in listing([run], 1)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = listing([run], 1)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "01234567" in narrow and "validation MSE" in narrow and "1970" not in narrow


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\rx"])
def test_an_exported_text_is_no_formula(text: str) -> None:
    assert _no_formula(text) == f"'{text}"


@pytest.mark.parametrize("value", [-1.5, "-1.5", "+3", "a=b", "", None])
def test_an_exported_number_stays_as_it_is(value: object) -> None:
    assert _no_formula(value) == value


def test_shows_what_a_digest_covers(results: Path, capsys: pytest.CaptureFixture) -> None:
    out = shown(capsys, results, "show", job(1.0).digest[:8])
    assert job(1.0).digest in out and "bench.run" in out and "numpy" in out and "model.l2" in out


def test_runs_are_listed_without_what_takes_seconds_to_import() -> None:
    heavy = {"mlflow", "pandas", "sklearn", "scipy.stats", "hydra", "matplotlib"}
    code = f"import sys, bench.cli, bench.runs; print({heavy!r} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"
