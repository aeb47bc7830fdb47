"""The page of published values: who is compared with whom, and what was not measured."""

import numpy as np
import pandas as pd
import pytest

from bench.studies import published_results
from bench.studies.published_results import STUDY, contexts, sections
from bench.studies.published_values import BENCHMARKS, DOUBAN, FRAPPE, ML100K
from bench.studies.study import Context
from bench.studies.study import Record as StudyRecord
from bench.sweep import plan
from bench.tracking import Record
from bench.tracking.run_record import RunData

RMSE = "test/rmse_clipped"


def row(model="fm_ordinal", features="ids, implicit, implicit_items", over="3 seeds", **values):
    named = {f"test/{name}": of for name, of in (values or {"rmse_clipped": [0.7, 0.71]}).items()}
    given = {"model": model, "features": features, "k": "8", "sweeps": "200", "over": over}
    return given | {"values": named, "seconds": [2.0], "cpu": [1.0], "code": ["a"]}


def run(seed: int, prediction: float) -> Record:
    params = {"features.names": "['ids']", "model.k": "8", "model.n_iter": "200", "seed": str(seed)}
    metrics = {RMSE: abs(3 - prediction), "test/mse_clipped": (3 - prediction) ** 2}
    return Record(
        run_id=f"run {seed}",
        name="",
        model="fm_gibbs",
        status="FINISHED",
        reason=None,
        params=params,
        metrics=metrics | {"time/fit_seconds": 2.0, "time/fit_cpu_seconds": 1.0},
        tags={"split": "given", "seed": str(seed), "code.source": "a", "data.digest": "d"},
    )


class Reader:
    """What the study reads of a store: two runs, off by one in opposite directions."""

    def __init__(self, directory: str) -> None:
        self.runs = [run(0, 2.0), run(1, 4.0)]

    def experiment(self, name: str) -> str:
        return name

    def records(self, experiment: str) -> list[Record]:
        return self.runs

    def predictions(self, run_id: str) -> pd.DataFrame:
        value = 2.0 if run_id == "run 0" else 4.0
        return pd.DataFrame({"rating": [3.0, 3.0], "prediction": [value, value]}, index=[5, 7])

    def data(self, run_id: str) -> RunData:
        return RunData("d", "two ratings", (1.0, 5.0))


def test_chains_are_averaged_beside_their_own_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []
    monkeypatch.setattr(published_results, "RunReader", Reader)
    monkeypatch.setattr(
        published_results.subprocess, "run", lambda words, **_: commands.append(words[3:])
    )
    monkeypatch.setenv("DOUBAN_DIR", "somewhere")
    single, mean = published_results.measure(DOUBAN, Context(1, {}))
    assert commands == [["experiment=douban"]]
    assert (single["over"], single["values"][RMSE]) == ("2 seeds", [1.0, 1.0])
    assert (mean["over"], mean["values"][RMSE]) == ("mean of 2 chains", [0.0])
    assert (mean["seconds"], mean["cpu"]) == ([4.0], [2.0])


def test_without_the_data_a_part_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOUBAN_DIR", raising=False)
    record = StudyRecord()
    STUDY.measure(record, ["douban"], lambda: None)
    (section,) = STUDY.sections(record.values)
    assert section.text == "Skipped: DOUBAN_DIR names no folder of this data set."


def test_only_rows_of_the_same_information_are_compared() -> None:
    (section,) = sections(DOUBAN, {"douban": [row(), row(features="ids", over="1 run")]})
    alone, graph = section.text.split("### From ")[1:]
    assert "GLocal-K" in alone and "GC-MC" not in alone and alone.count("-0.0158") == 2
    assert "GC-MC" in graph and "not measured" in graph
    assert "| `fm_gibbs`, ids, implicit, implicit_items | not measured |" in " ".join(alone.split())
    (bar,) = section.bars
    assert bar.high == 0.7190 and np.array_equal(bar.measured, [0.7, 0.71])


def test_a_bar_of_auc_is_a_lower_bound_and_averaged_chains_have_their_own() -> None:
    values = {"log_loss": [0.13], "auc": [0.985]}
    rows = [row("fm_gibbs", "ids", **values), row("fm_gibbs", "ids", "mean of 3 chains", **values)]
    (section,) = sections(FRAPPE, {"frappe": [*rows, row("lookup", "user, item", **values)]})
    bounds = [(bar.low, bar.high) for bar in section.bars]
    assert bounds == [(-np.inf, 0.140)] * 2 + [(0.984, np.inf)] * 2
    assert [bar.what.endswith("mean of 3 chains") for bar in section.bars] == [False, True] * 2
    assert section.text.index("### From user and app alone") > section.text.index("FinalNet")


def test_contexts_are_held_against_the_lowest_possible() -> None:
    values = {"log_loss": [0.5], "oracle_log_loss": [0.4]}
    rows = [row("logistic", "ids", **values) | {"n_fields": n} for n in (3, 10)]
    (section,) = contexts({"contexts": [*rows, row("vw_pairs", **values) | {"n_fields": 3}]})
    lines = section.text.splitlines()
    assert sum("+0.1000 (1.00 s)" in line for line in lines) == 2
    assert next(line for line in lines if "vw_pairs" in line).rstrip(" |").endswith("–")


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_command_is_a_legal_sweep(benchmark) -> None:
    for command in benchmark.commands:
        words = [word for word in command.split() if word != "-m"]
        planned = plan(words, multirun=True)
        assert planned.jobs[0].experiment.name == benchmark.name


def test_every_published_value_has_its_source_and_information() -> None:
    for published in (p for b in BENCHMARKS for p in b.published):
        assert published.link.startswith("https://") and published.information
        assert published.values
    assert len({p.information for p in ML100K.published}) == 2
