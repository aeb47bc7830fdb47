"""The page of published values: who is compared with whom, and what was not measured."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.studies import published_runs
from bench.studies.published_results import BENCHMARKS, RMSE, STUDY, contexts, records, sections
from bench.studies.published_runs import (
    Benchmark,
    Row,
    measure_curve,
    measure_run,
)
from bench.studies.study import Context, Part
from bench.studies.study import Record as StudyRecord
from bench.sweep import plan
from bench.sweep.protocol import protocol
from bench.tracking import Record

pytestmark = pytest.mark.slow

DOUBAN, FRAPPE = (Benchmark.read(name) for name in ("douban", "frappe"))
IMPLICIT = "ids, implicit, implicit_items"
PLANTED = [
    *("data=planted", "data.n_users=20", "data.n_items=50", "data.n_ratings=450", "split=random"),
    *("split.validation=0", "model=fm_gibbs", "model.n_iter=4", "experiment.name=published"),
]


def run(code: str = "a", **values: float) -> dict:
    given = {"k": "8", "sweeps": "200", "burn_in": None, "run": "r", "code": code}
    return given | {
        "values": {f"test/{name}": of for name, of in values.items()},
        "seconds": 2.0,
        "cpu": 1.0,
    }


def test_a_run_is_made_by_the_harness_and_read_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []
    monkeypatch.setattr(published_runs, "_make", commands.append)
    planned = plan(PLANTED, multirun=False)
    (trial,) = next(protocol(planned))
    record = Record(
        run_id="r",
        name="",
        model="fm_gibbs",
        status="FINISHED",
        reason=None,
        params={"model.k": "10", "model.n_iter": "4"},
        metrics={RMSE: 0.9, "validation/mse": 1.0}
        | {"time/fit_seconds": 2.0, "time/fit_cpu_seconds": 1.0},
        tags={"digest": trial.digest, "code.source": "abc" * 9},
    )

    class Reader:
        def __init__(self, directory: str) -> None: ...

        def experiment(self, name: str) -> str:
            assert name == "published_simulated"
            return name

        def records(self, experiment: str) -> list[Record]:
            return [record]

    monkeypatch.setattr(published_runs, "RunReader", Reader)
    measured = measure_run(PLANTED, Context(1, {}))
    assert commands == [PLANTED]
    assert measured["values"] == {RMSE: 0.9} and measured["code"] == "abcabcabcabc"
    with pytest.raises(FileNotFoundError, match="gave no result"):
        measure_run([*PLANTED, "seed=1"], Context(1, {}))


def test_without_the_data_a_part_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOUBAN_DIR", raising=False)
    record = StudyRecord()
    one = replace(DOUBAN, rows=DOUBAN.rows[:1])
    study = replace(STUDY, parts=[Part("Douban", one.measures(), partial(sections, one))])
    study.measure(record, lambda: None)
    (section,) = study.sections(record.values)
    assert section.text.startswith("Skipped: Douban is not fetched: put douban.train.csv")


def test_a_learning_curve_ends_at_the_error_of_the_run() -> None:
    curve = measure_curve(PLANTED, Context(1, {}))
    assert len(curve["seconds"]) == len(curve["rmse"]) == 4
    assert np.all(np.diff(curve["seconds"]) >= 0) and np.all(curve["rmse"] > 0)
    others = [*PLANTED[:6], "model=peer_sklearn_boosting", "model.n_iter=16", *PLANTED[-1:]]
    curve = measure_curve(others, Context(1, {}))
    assert len(curve["seconds"]) == len(set(curve["rmse"])) == 4


def test_only_values_of_the_same_information_are_compared() -> None:
    values = {
        f"douban: fm_ordinal, {IMPLICIT}, seed=0": run(rmse_clipped=0.70),
        f"douban: fm_ordinal, {IMPLICIT}, seed=2": run(rmse_clipped=0.71),
    }
    (section,) = sections(DOUBAN, values)
    alone, graph = section.text.split("### From ")[1:]
    assert "GLocal-K" in alone and "GC-MC" not in alone
    assert "-0.0158" in alone and "2 of 3 seeds" in alone
    assert "GC-MC" in graph and "| any FM here" in graph
    assert f"| `fm_gibbs`, {IMPLICIT} | not measured |" in " ".join(alone.split())
    assert not section.bars
    row = replace(DOUBAN.rows[0], model="fm_ordinal", note="", bars={RMSE: 0.71})
    (section,) = sections(replace(DOUBAN, rows=[row]), values)
    (bar,) = section.bars
    assert bar.met and bar.value == "0.7050 ± 0.0071"


def test_a_bar_of_auc_is_a_lower_bound() -> None:
    values = {"frappe: fm_gibbs, ids, 6 chains, seed=0": run(log_loss=0.13, auc=0.985)}
    values["frappe: lookup, user, item, seed=0"] = run(log_loss=0.16, auc=0.9)
    (section,) = sections(FRAPPE, values)
    bounds = [(bar.low, bar.high) for bar in section.bars]
    assert bounds == [(-np.inf, 0.140), (0.984, np.inf)] and all(bar.met for bar in section.bars)
    assert section.text.index("### From user and app alone") > section.text.index("FinalNet")


def test_a_row_that_was_not_measured_says_why() -> None:
    values = {"frappe: peer_libfm, ids, seed=0": "there is no libFM here\nmore"}
    values["frappe: logistic, ids, seed=0"] = run(log_loss=0.3, auc=0.9)
    (section,) = sections(FRAPPE, values)
    line = next(line for line in section.text.splitlines() if "peer_libfm" in line)
    assert "not measured" in line and "| there is no libFM here |" in " ".join(line.split())


def test_a_record_is_the_time_to_the_published_value() -> None:
    head = f"douban: fm_gibbs, {IMPLICIT}, curve seed"
    ends = 0.7190, 0.7200, 0.7210
    values = {
        f"{head}={i}": {"seconds": [1.0, 2.0 + i, 5.0], "rmse": [0.75, 0.72, end], "code": "a"}
        for i, end in enumerate(ends)
    }
    (section,) = records(values)
    line = next(line for line in section.text.splitlines() if "Douban" in line)
    assert "GLocal-K (Han et al., CIKM 2021): 0.7208" in line
    assert "3 (2–4)" in line and "0.7200 ± 0.0010" in line and "| 0.15 " in line
    late = {name: curve | {"rmse": [0.75, 0.73, 0.721]} for name, curve in values.items()}
    assert "never" in records(late)[0].text


def test_contexts_are_held_against_the_lowest_possible() -> None:
    values = {
        f"contexts: {model}, data.n_fields={n}": run(log_loss=0.5, oracle_log_loss=0.4)
        for model, n in (("logistic", 3), ("logistic", 10), ("vw_pairs", 3))
    }
    (section,) = contexts(values)
    lines = section.text.splitlines()
    assert sum("+0.1000 (1.00 s)" in line for line in lines) == 2
    assert next(line for line in lines if "vw_pairs" in line).rstrip(" |").endswith("–")


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_run_is_one_legal_run(benchmark: Benchmark) -> None:
    assert len(benchmark.measures()) >= sum(len(list(row.runs)) for row in benchmark.rows)
    for row in {(row.model, *row.repeats): row for row in benchmark.rows}.values():
        words = f"{benchmark.command} {row.words(row.runs[0])}"
        planned = plan(words.split(), multirun=False)
        assert planned.total == 1 and not planned.selects
        assert planned.jobs[0].experiment.name == benchmark.name


@pytest.mark.parametrize("name", ["douban", "frappe", "ml1m"])
def test_an_experiment_makes_the_row_with_the_bars(name: str) -> None:
    if f"{name.upper()}_DIR" not in os.environ:
        pytest.skip(f"{name.upper()}_DIR names no copy of {name}")
    benchmark = Benchmark.read(name)
    row = next(row for row in benchmark.rows if row.bars)
    run = f"features.names=[{','.join(row.features)}] {row.runs[0]}"
    commands = f"experiment={name} {run}", f"{benchmark.command} {row.words(row.runs[0])}"
    digests = [
        trial.digest for c in commands for (trial,) in protocol(plan(c.split(), multirun=False))
    ]
    assert digests[0] == digests[1]


def test_repeats_are_every_combination() -> None:
    row = Row("linear", ["ids"], "", repeats={"split.fold": [0, 1], "seed": [0]})
    assert row.runs == ["split.fold=0 seed=0", "split.fold=1 seed=0"]
    assert row.every_run == "model=linear features.names=[ids] split.fold=0,1 seed=0"
    assert row.over(1) == "1 of 2 folds × seeds"


def test_every_published_value_has_its_source_and_protocol() -> None:
    for published in (p for b in BENCHMARKS for p in b.published):
        assert published.link.startswith("https://")
        assert published.information and published.protocol and published.values
