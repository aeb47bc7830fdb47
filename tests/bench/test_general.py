"""The study of shapes: its rows, its measurements and its tables."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.errors import DataUnavailable
from bench.studies import equal_time, general, shapes
from bench.studies.study import Context, Record, Study

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "N_ROWS", 600)
    monkeypatch.setattr(general, "SWEEPS", 3)
    monkeypatch.setattr(general, "STRENGTHS", (1.0, 10.0))
    monkeypatch.setattr(general, "_peer", lambda: None)


@pytest.mark.parametrize(
    ("draw", "nonzeros"),
    [
        (partial(shapes.one_hot, 3), (3, 3)),
        (partial(shapes.one_hot, 3, shuffled=True, classes=False), (3, 3)),
        (partial(shapes.bags, 200, 30, True), (1, 30)),
        (partial(shapes.dense, 4), (4, 4)),
    ],
)
def test_rows_have_the_shape_they_are_named_for(draw, nonzeros) -> None:
    problem = draw()
    counts = np.diff(problem.X.indptr)
    assert nonzeros[0] <= counts.min() <= counts.max() <= nonzeros[1]
    assert sum(problem.groups) == problem.X.shape[1]
    np.testing.assert_array_equal(draw().y, problem.y)


@pytest.mark.parametrize("name", ["5 fields", "20 fields, real target"])
def test_a_shape_is_measured_and_tabulated(name: str) -> None:
    found = general.measure_shape(name, Context(2, {}))
    losses, times = general.shapes_section({name: found})
    assert len(found["sweep"]) == 2 and min(found["sweep"]) > 0
    assert f"| {name}" in losses.text and len(losses.bars) == 2
    assert "–" in times.text  # myFM is not installed


@pytest.mark.parametrize("n_classes", [0, 2])
def test_gibbs_with_its_defaults_is_measured_against_the_linear_model(
    monkeypatch: pytest.MonkeyPatch, n_classes: int
) -> None:
    shape = partial(shapes.one_hot, 2, classes=bool(n_classes)), 1.0
    monkeypatch.setitem(general.SHAPES, "2 fields", shape)
    linear = {"linear": 0.5, "classes": bool(n_classes)}
    found = general.measure_default("2 fields", Context(1, {"2 fields": linear}))
    (section,) = general.defaults_section({"2 fields" + general.DEFAULTS: found})
    (bar,) = section.bars
    behind = np.array(found["gibbs"]["loss"]) - 0.5
    np.testing.assert_allclose(bar.measured, behind if n_classes else behind / 0.5)
    assert bar.high == (0.005 if n_classes else 0.01) and "| 2 fields" in section.text


def test_units_change_nothing() -> None:
    changes = general.measure_units(Context(1, {}))
    (section,) = general.units_section({"units": changes})
    assert all(bar.met for bar in section.bars)


def test_short_chains_are_measured_and_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FRAPPE_DIR", raising=False)
    part = next(part for part in general.STUDY.parts if set(part.measures) == set(general.STARTS))
    record = Record(repeats=2)
    Study("starts", "", "", "", (part,)).measure(record, lambda: None)
    (section,) = part.written(record.values)
    assert [len(bar.measured) for bar in section.bars] == [2, 2]
    assert "Frappe" in section.text and "FRAPPE_DIR" in section.text


def test_frappe_is_measured_on_its_training_and_test_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FRAPPE_DIR", str(tmp_path))
    for part, n in {"train": 60, "validation": 3, "test": 20}.items():
        levels = np.random.default_rng(0).integers(0, 4, (n, 10)) + 4 * np.arange(10)
        rows = (" ".join(f"{level}:1" for level in row) for row in levels)
        text = "".join(f"{(-1) ** i} {row}\n" for i, row in enumerate(rows))
        (tmp_path / f"frappe.{part}.libfm").write_text(text)
    problem, matrix = shapes.read_frappe(), shapes.read_frappe(flat=True)
    assert (len(problem.train[1]), len(problem.test[1])) == (60, 20)
    assert sum(problem.groups) == problem.X.shape[1]
    np.testing.assert_array_equal(problem.X.to_csr().toarray(), matrix.X.toarray())
    found = general.measure_start("first sweeps, Frappe", Context(1, {}))
    assert all(0 < losses[0] < 2 for losses in found.values()) and list(found) == [20, 40]


def test_a_setting_of_another_program_is_chosen_on_training_rows_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n_rows, tested = len(shapes.SHAPES["2 fields"][0]().y), []

    def peer(
        problem: shapes.Problem, _: str, n_iter: int, step: float, l2: float, seed: int
    ) -> np.ndarray:
        """Predict `step` + 0.1 from the truth, of the test rows ever nearer from seed to seed."""
        if step == 3:
            raise RuntimeError("it diverged")
        y = problem.test[1]
        if len(problem.y) == n_rows:
            tested.append((step, l2))
            step /= 2**seed
        return y + (1 - 2 * y) * (0.1 + step + l2)

    monkeypatch.setattr(equal_time, "PEERS", {"other": (peer, (0.2, 0.1, 3.0), (0.0, 0.1))})
    ours = {"2 fields": {"sgd": {"seconds": [0.5, 0.7], "loss": [0.3, 0.1]}}}
    found = equal_time.measure_sgd("2 fields", "other", Context(2, ours))
    assert found["loss"] == pytest.approx([-np.log(0.8), -np.log(0.85)])
    assert found["setting"][1:] == (0.1, 0.0)
    assert tested[-2:] == [(0.1, 0.0)] * 2 and set(tested[:-2]) == {(0.2, 0.0)}  # timed
    (section,) = equal_time.section({"2 fields" + equal_time.SGD_OF + "other": found})
    (bar,) = section.bars
    np.testing.assert_allclose(bar.measured, np.array([0.3, 0.1]) - np.mean(found["loss"]))
    assert "0.1928" in section.text
    monkeypatch.setattr(equal_time, "TOO_LONG", -1.0)
    found = equal_time.measure_sgd("2 fields", "other", Context(2, ours))
    (section,) = equal_time.section({"2 fields" + equal_time.SGD_OF + "other": found})
    assert "times as long" in section.text and not section.bars


@pytest.mark.parametrize("draw", [partial(shapes.one_hot, 3), partial(shapes.bags, 50, 9, True)])
def test_vowpal_wabbit_learns_from_the_rows_of_a_shape(draw: partial, tmp_path: Path) -> None:
    problem = draw()
    p = equal_time.vowpal_wabbit(problem, str(tmp_path), 2, 0.3, 1e-3, 0)
    y = problem.test[1]
    assert p.shape == y.shape and problem.error(p) < 1
    line = (tmp_path / "test").read_text().splitlines()[0]
    assert line.count("|") == np.diff(problem.test[0].indptr)[0]


def test_growth_and_very_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(general, "ROWS", (100, 200))
    monkeypatch.setattr(general, "FIELDS", (2, 3))
    monkeypatch.setattr(general, "in_new_process", lambda call, *given: (30.0, 21.0))
    monkeypatch.setattr(general, "memory_available", lambda: 20 * 2**30)
    values = {
        "sgd" + general.GROWTH: general.measure_growth("sgd", Context(2, {})),
        "sgd" + general.MANY: general.measure_many("sgd", Context(2, {})),
    }
    rows, fields, memory = general.growth_section(values)[0].bars
    assert (len(rows.measured), len(fields.measured), memory.met) == (2, 2, False)
    monkeypatch.setattr(general, "memory_available", lambda: 2**30)
    with pytest.raises(DataUnavailable, match="1 GiB of memory are free, and 16 needed"):
        general.measure_many("sgd", Context(2, {}))
