"""What every study shares: bars, spreads, slopes, records, pages drawn from them."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bench.errors import UserError
from bench.studies import STUDIES, sweep_overhead
from bench.studies import __main__ as program
from bench.studies.study import (
    Bar,
    Part,
    Record,
    Section,
    Study,
    bars_table,
    line_plot,
    mean_std,
    slopes,
    spread,
)

OF_TESTS = ("accuracy_check", "reliability")
"""Studies of this project's own tests, which are not installed."""


def study(calls: list[str], **measures) -> Study:
    def measure(name, context):
        calls.append(name)
        value = measures[name]
        return value(context) if callable(value) else value

    def sections(values):
        bars = [Bar(name, np.array(of, float), high=2) for name, of in values.items()]
        lines = {name: ([1, 2, 3], of) for name, of in values.items()}
        return [
            Section(
                "What was measured",
                str(dict(values)),
                bars,
                [line_plot("fig", "A", "x", "y", lines)],
            )
        ]

    part = Part("Part", {name: partial(measure, name) for name in measures}, sections)
    return Study("tiny", "How tiny?", "a study", "All of it.", (part,))


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a study as the command line would."""

    def run(of: Study, *arguments: str) -> int:
        monkeypatch.setattr(program, "STUDIES", ("tiny",))
        monkeypatch.setattr(program, "_study", lambda _: of)
        return program.main(["tiny", "--results", str(tmp_path), *arguments])

    return run


def test_slopes_are_the_exponents_of_power_laws() -> None:
    times = {n: np.array([3e-6 * n**1.0, 2e-9 * n**2.0]) for n in (10, 100, 1000)}
    assert_allclose(slopes(times), [1, 2])


@pytest.mark.parametrize(
    ("measured", "low", "high", "met"),
    [
        ([1, 2, 9], -np.inf, 2, True),
        ([1, 2.1, 9], -np.inf, 2, False),
        ([11, 12, 1], 10, np.inf, True),
        ([9, 9, 11], 10, np.inf, False),
        ([0.94], 0.95, 1.05, False),
        ([1.05], 0.95, 1.05, True),
        ([0.1, np.inf, np.inf], -np.inf, 2, False),
    ],
)
def test_a_verdict_follows_the_median(measured, low, high, met) -> None:
    bar = Bar("what", np.array(measured, dtype=float), low, high)
    assert bar.met is met
    assert ("**not met**" in bars_table([bar])) is not met


def test_bars_are_shown_with_their_range_and_spread() -> None:
    bars = [Bar("a", np.array([3.0, 1, 2]), high=0.05), Bar("b", np.array([1.0]), low=10)]
    bars.append(Bar("c", np.array([1.0]), 0.95, 1.05))
    assert [bar.range for bar in bars] == ["≤ 0.05", "≥ 10", "0.95–1.05"]
    cells = [cell.strip() for cell in bars_table(bars).splitlines()[2].split("|")]
    assert cells[1:-1] == ["a", "≤ 0.05", "2 (1–3)", "3", "**not met**"]
    assert spread([0.1, np.inf, np.inf]) == "never (0.1–never)"
    assert mean_std([1.0, 2.0], 2) == "1.50 ± 0.71" and mean_std([1.0], 1) == "1.0"


def test_a_study_writes_its_record_page_and_figures(run, tmp_path) -> None:
    assert run(study([], a=np.array([1.0, 2, 3]), b=[1, 1, 1])) == 0
    record = Record.read(tmp_path / "tiny.json")
    assert record.values == {"a": [1, 2, 3], "b": [1, 1, 1]}
    page = (tmp_path / "tiny.md").read_text()
    assert page.startswith("# How tiny?\n") and "python -m bench.studies tiny" in page
    assert "2 of 2 bars are met" in page and "![A](fig.png)" in page
    assert (tmp_path / "fig.png").stat().st_size > 1000


def test_an_interrupted_study_goes_on_where_it_stopped(run, tmp_path) -> None:
    calls: list[str] = []

    def stop(_):
        raise KeyboardInterrupt

    assert run(study(calls, a=[1, 2, 3], b=stop)) == 130
    assert run(study(calls, a=[9, 9, 9], b=lambda context: context.values["a"])) == 0
    assert calls == ["a", "b", "b"]
    assert Record.read(tmp_path / "tiny.json").values["b"] == [1, 2, 3]


@pytest.mark.parametrize("field", ["machine", "code", "repeats"])
def test_what_other_code_or_another_machine_measured_is_measured_again(
    run, tmp_path, field
) -> None:
    calls: list[str] = []
    path = tmp_path / "tiny.json"
    other = {"machine": {"cpu": "other"}, "code": {"source": "other"}, "repeats": 7}[field]
    replace(Record(values={"a": [1, 2, 3]}), **{field: other}).write(path)
    assert run(study(calls, a=[4, 5, 6])) == 0
    assert calls == ["a"] and Record.read(path).values == {"a": [4, 5, 6]}


def test_a_page_is_drawn_from_the_record_alone(run, tmp_path) -> None:
    calls: list[str] = []
    Record(values={"a": [1, 2, 3]}, machine={"cpu": "theirs"}).write(tmp_path / "tiny.json")
    assert run(study(calls, a=None, b=None), "--draw") == 0
    assert not calls and "cpu theirs" in (tmp_path / "tiny.md").read_text()


def test_drawing_without_a_record_and_with_a_damaged_one(run, tmp_path, capsys) -> None:
    assert run(study([], a=None), "--draw") == 2
    assert "measure first" in capsys.readouterr().err
    (tmp_path / "tiny.json").write_text('{"values": ')
    assert run(study([], a=None)) == 2
    assert "move it away" in capsys.readouterr().err


def test_a_program_that_is_not_installed_is_skipped_with_the_reason(run, tmp_path) -> None:
    def absent(_):
        raise ImportError("myFM is not installed")

    assert run(study([], a=absent)) == 0
    page = (tmp_path / "tiny.md").read_text()
    assert "Skipped: myFM is not installed." in page and "bars" not in page


def test_a_wrong_command_is_one_sentence(run, capsys) -> None:
    assert run(study([], a=None, bb=None), "--repeats", "0") == 2
    assert "--repeats must be" in capsys.readouterr().err


def test_an_unknown_study_is_refused_with_the_nearest(capsys) -> None:
    assert program.main(["sped"]) == 2
    assert "'sped'" in capsys.readouterr().err


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_listed(name, capsys) -> None:
    assert program.main(["list"]) == 0
    assert any(line.startswith(f"{name} ") for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("name", [*STUDIES, *OF_TESTS])
def test_every_study_draws_what_is_committed(name) -> None:
    module = f"bench.studies.{name}" if name in STUDIES else f"tests.{name}.study"
    found = importlib.import_module(module).STUDY
    assert found.name == name and found.measures
    record = program.RESULTS / f"{name}.json"
    if record.exists():
        kept = Record.read(record)
        assert set(kept.values) <= set(found.measures)
        assert found.page(kept) == (program.RESULTS / f"{name}.md").read_text("utf-8")


def test_every_page_shows_figures_that_are_there() -> None:
    for page in program.RESULTS.rglob("*.md"):
        for name in page.read_text("utf-8").split("](")[1:]:
            target = name.partition(")")[0]
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_a_sweep_without_further_runs_still_has_a_page() -> None:
    times: dict[str, list[float]] = {name: [1.0] for name in sweep_overhead.ROWS}
    (section,) = sweep_overhead.section({"sweeps": times | {"further": []}, "resumed": []})
    assert len(section.bars) == 2 and sweep_overhead.ROWS["further"][0] not in section.text


def test_values_without_a_place_in_json_are_refused() -> None:
    with pytest.raises(TypeError, match="no place in a record"):
        json.dumps({1, 2}, default=importlib.import_module("bench.studies.study").plain)


def test_a_record_of_other_fields_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"cells": []}')
    with pytest.raises(UserError, match="no record of a study"):
        Record.read(tmp_path / "a.json")
