"""The study of shapes: its rows, its measurements and its tables."""

from functools import partial

import numpy as np
import pytest

from bench.studies import general
from bench.studies.study import Context


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(general, "N_ROWS", 600)
    monkeypatch.setattr(general, "SWEEPS", 3)
    monkeypatch.setattr(general, "STRENGTHS", (1.0, 10.0))
    monkeypatch.setattr(general, "_peer", lambda: None)


@pytest.mark.parametrize(
    ("draw", "nonzeros"),
    [
        (partial(general.one_hot, 3), (3, 3)),
        (partial(general.one_hot, 3, shuffled=True, classes=False), (3, 3)),
        (partial(general.bags, 200, 30, True), (1, 30)),
        (partial(general.dense, 4), (4, 4)),
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
    assert f"| {name}" in losses.text and len(losses.bars) == len(general.SOLVERS)
    assert "–" in times.text  # myFM is not installed


def test_units_change_nothing() -> None:
    changes = general.measure_units(Context(1, {}))
    (section,) = general.units_section({"units": changes})
    assert all(bar.met for bar in section.bars)
