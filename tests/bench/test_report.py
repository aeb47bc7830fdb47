"""The report of a sweep: what it compares and chooses, and that it says it again to the byte."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import report
from bench.metrics import TASKS
from bench.report.comparison import slices
from bench.report.figures import style
from bench.report.figures.models import best_by, error_by_parameters
from bench.report.model_selection import Choice, choices, comparisons
from bench.report.page import Report, sweep_folder, write
from bench.report.paired_gaps import Predictions
from bench.tracking import Experiment, Record
from tests.bench.test_comparison import cells_in, of_data, record

pytestmark = pytest.mark.slow


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are painted, but not rendered, which takes most of their time."""
    monkeypatch.setattr(style, "save", lambda figure, path: path.write_bytes(b"PNG"))


class Stored:
    """Stands for a store that holds these records, with predictions of 300 rows each."""

    def __init__(self, records: list[Record], task: str = "rating") -> None:
        self.held = {r.run_id: r for r in records}
        self.task = TASKS[task]
        rng = np.random.default_rng(0)
        p = rng.beta(1, 2, 300)
        self.truth = p
        self.target = (rng.random(300) < p) * 1.0 if task == "binary" else 1 + 4 * p

    def parent(self, name: str) -> None:
        return None

    def experiment(self, name: str) -> Experiment:
        return Experiment(name, "", {"title": "Which <b>is</b> best?", "reference": "linear"})

    def records(self, experiment: Experiment) -> list[Record]:
        return list(self.held.values())

    def curves(self, run_id: str) -> dict:
        epochs = np.arange(1.0, 6)
        return {
            f"train_{self.task.loss}": (epochs, 1 / epochs),
            self.task.validation_curve: (epochs, 2 / epochs),
        }

    def scale(self, run_id: str) -> tuple[float, float]:
        return (1.0, 5.0)

    def predictions(self, run_id: str) -> pd.DataFrame:
        rng = np.random.default_rng(len(run_id))
        noisy = np.clip(self.truth + rng.normal(0, 0.05, 300), 0.01, 0.99)
        columns = {"device": np.arange(300) % 3, "user_rows": np.arange(300) % 40}
        name = "rating" if self.task.name == "rating" else "target"
        predicted = noisy if self.task.name == "binary" else 1 + 4 * noisy
        return pd.DataFrame(columns | {name: self.target, "prediction": predicted})


def test_intervals_are_of_identical_rows_only() -> None:
    runs = [of_data("a", "linear", 0.9), of_data("a", "fm", 0.8)]
    one, other = (row.chosen for row in choices(runs))
    assert Predictions(Stored(runs)).gap(one, other) is not None
    stored = Stored(runs)
    whole = stored.predictions
    for change in (
        lambda frame: frame.iloc[1:],
        lambda frame: frame.set_index(frame.index[::-1]),
        lambda frame: frame.assign(rating=frame["rating"][::-1].to_numpy()),
    ):
        stored.predictions = lambda run_id, change=change: (
            change(whole(run_id)) if run_id == "a-fm" else whole(run_id)
        )
        assert Predictions(stored).gap(one, other) is None


def written(tmp_path: Path, records: list[Record], task: str = "rating", **more) -> Report:
    return write(Stored(records, task), "asked", tmp_path, **more)


@pytest.mark.usefixtures("unrendered")
def test_report_of_two_data_sets_has_a_table_of_each(tmp_path: Path) -> None:
    runs = [of_data(d, model, 0.9) for d in "ab" for model in ("fm", "linear")]
    made = written(tmp_path, runs)
    page = made.page.read_text()
    assert "## Which model is best on a.csv, split ua?" in page
    assert "## Which model is best on b.csv, split ua?" in page
    assert page.count("| `linear` ") == 2
    assert {"pareto.png", "pareto_2.png"} <= {path.name for path in made.figures}


@pytest.mark.usefixtures("unrendered")
def test_html_needs_no_other_file_and_is_the_same_again(tmp_path: Path) -> None:
    runs = [of_data("a", "fm", 0.8), of_data("a", "linear", 0.9)]
    first, second = (written(tmp_path / name, runs) for name in "ab")
    html = first.html.read_text()
    assert first.html.read_bytes() == second.html.read_bytes()
    assert first.page.read_bytes() == second.page.read_bytes()
    assert html.count("data:image/png;base64,") == len(first.figures) > 2
    assert "python -m bench.report asked" in html and "http" not in html.replace("http-equiv", "")
    assert "&lt;b&gt;is&lt;/b&gt;" in html and "<b>is" not in html


@pytest.mark.usefixtures("unrendered")
def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    runs = [of_data("a", "linear", 0.9)]
    left = [tmp_path / "asked" / name for name in (".README.md.0", ".report.html.0", ".a.png.0")]
    left[0].parent.mkdir()
    for path in left:
        path.touch()
    made = written(tmp_path, runs)
    files = {made.page, made.html, *made.figures}
    assert set(made.page.parent.iterdir()) == files


@pytest.mark.usefixtures("unrendered")
def test_nothing_from_outside_is_markup(tmp_path: Path) -> None:
    evil = "<script>x</script>|`*a*`\n# no"
    tags = {
        "data.digest": "d",
        "data.source": evil,
        "split": evil,
        "features": evil,
        "threads": evil,
    }
    runs = [record(0, 4, 0.8, 0.9, model=evil, tags=tags | {"digest": "a", "env.cpu": evil})]
    runs += [record(1, 4, None, None, name=evil, status="FAILED", reason=evil, tags=tags)]
    made = written(tmp_path, runs)
    for text in (made.page.read_text(), made.html.read_text()):
        assert "<script>x" not in text and "\n# no" not in text
    rows = [line for line in made.page.read_text().splitlines() if line.startswith("| ")]
    assert len({re.sub(r"\\.", "", line).count("|") for line in rows[:3]}) == 1


@pytest.mark.usefixtures("unrendered")
def test_a_figure_that_cannot_be_drawn_never_costs_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("model.l2")

    monkeypatch.setattr("bench.report.figures.models.pareto", fail)
    made = written(tmp_path, [of_data("a", "fm", 0.8), of_data("a", "linear", 0.9)])
    page = made.page.read_text()
    assert "Could not be drawn: KeyError: 'model.l2'." in page and "learning_curves.png" in page


@pytest.mark.usefixtures("unrendered")
def test_runs_that_were_cut_off_leave_the_figures_of_others(tmp_path: Path) -> None:
    """A run that was killed while it was sent has no parameters."""
    grid = [
        record(
            0, 4, e, e, run_id=f"{rate}{l2}", params={"model.learning_rate": rate, "model.l2": l2}
        )
        for rate, l2, e in (
            ("0.1", "1", 0.8),
            ("0.1", "2", 0.7),
            ("0.3", "1", 0.9),
            ("0.3", "2", 0.6),
        )
    ]
    cut_off = record(0, 4, None, None, status="KILLED", run_id="cut", params={})
    made = written(tmp_path, [*grid, cut_off])
    assert {"error_by_l2.png", "error_by_learning_rate.png"} <= {p.name for p in made.figures}
    assert "Could not" not in made.page.read_text()


@pytest.mark.usefixtures("unrendered")
def test_report_of_a_binary_task(tmp_path: Path) -> None:
    runs = []
    for model, loss in (("logistic", 0.5), ("fm", 0.45)):
        metrics = {
            f"{part}/{name}": value
            for part in ("validation", "test")
            for name, value in (
                ("log_loss", loss),
                ("auc", 1 - loss),
                ("brier", 0.2),
                ("calibration_error", 0.01),
                ("normalized_entropy", 0.9),
            )
        }
        metrics["time/fit_seconds"] = 1.0
        runs.append(replace(of_data("a", model, 0.1, task="binary"), metrics=metrics))
    made = written(tmp_path, runs, "binary", by="device")
    page = made.page.read_text()
    names = {"reliability", "roc_and_precision_recall", "error_by_count"}
    assert {f"{name}.png" for name in names} <= {path.name for path in made.figures}
    for said in (
        "validation log loss",
        "test AUC",
        "log loss − `logistic` [95 %]",
        "10.0%",
        "AUC − `logistic` [95 %]",
        "## Errors by device",
        "log loss, `fm` [95 %]",
    ):
        assert said in page, said


def test_slices_are_the_means_of_each_level() -> None:
    runs = [of_data("a", "fm", 0.8)]
    (found,) = comparisons(runs)
    predictions = Predictions(Stored(runs))
    table = slices(found, "device", predictions, 5)
    frame = predictions.of(runs[0])
    for level, size, cell in cells_in(table):
        loss = frame["loss"][frame["device"] == int(level)]
        assert size == str(len(loss)) and cell.startswith(f"{loss.mean():.4f} [")
    assert len(cells_in(slices(found, "user_rows", predictions, 5))) == 8
    assert "There is no column `age`" in slices(found, "age", predictions, 5)


def test_each_sweep_has_a_folder_and_the_experiment_keeps_its_own() -> None:
    gap = Experiment("published_gap", "")
    assert (
        sweep_folder(gap, "abc", "-m experiment=published_gap results=x jobs=2") == "published_gap"
    )
    assert sweep_folder(gap, "abc", "-m experiment=published_gap split=ub") == "sweeps/abc"
    assert sweep_folder(Experiment("sweeps", ""), "abd", "-m model=linear") == "sweeps/abd"
    simulated = Experiment("published_gap_simulated", "")
    assert sweep_folder(simulated, "abc", "experiment=published_gap") == "published_gap_simulated"


def test_the_articles_numbers_come_last() -> None:
    systems = {"vw_crossed": {"published": 0.9652}, "vw_rank": {"published": 0.914}}
    question = {"systems": systems, "pairs": [["vw_crossed", "vw_rank"]], "split": "ua"}
    runs = [
        replace(run, metrics=run.metrics | {"test/mse_first_8192_rows": run.test_error})
        for run in (of_data("a", "vw_crossed", 0.96), of_data("a", "vw_rank", 0.91))
    ]
    *_, gain = report.summary(Experiment("published_gap", "", question), runs)[-1].splitlines()
    assert [cell.strip() for cell in gain.split("|")[2:-1]] == ["0.0512", "0.0500", "0.0500"]
    elsewhere = [replace(run, tags=run.tags | {"split": "ub"}) for run in runs]
    assert "article" not in str(
        report.summary(Experiment("published_gap", "", question), elsewhere)
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


def test_the_best_of_each_value_is_drawn(tmp_path: Path) -> None:
    row = tuned((0.1, 1, 0.8), (0.1, 2, 0.7), (0.3, 0, None), (0.2, 2, 0.9))
    by_rate, by_l2 = (best_by(row, f"model.{name}") for name in ("learning_rate", "l2"))
    assert by_rate["validation"].to_dict() == {0.1: 0.7, 0.2: 0.9}
    assert by_l2["validation"].to_dict() == {1: 0.8, 2: 0.7}
    for n in (1, 9):
        shown = style.Shown({f"fm_{i}": row for i in range(n)}, row.chosen.task)
        for drawing in error_by_parameters(shown):
            drawing.draw(tmp_path / f"{drawing.name}_{n}")
            assert (tmp_path / f"{drawing.name}_{n}.png").stat().st_size > 1000
    assert len(list(tmp_path.iterdir())) == 4
