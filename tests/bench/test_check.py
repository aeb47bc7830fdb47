"""The accuracy check: its rule, its reference, experiments of one's own, and what it reports."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from bench.check import reference, rule
from bench.check.__main__ import main
from bench.check.checking import Outcome, check, record, summary, with_verdict
from bench.check.experiments import Experiment, own_experiments, read_experiments
from bench.check.rule import FALSE_ALARMS, Judged, Recorded, Verdict, judge, looks_of
from bench.errors import UserError
from tests.accuracy_check.study import Mutant, mutants

pytestmark = pytest.mark.slow

N = 9


@pytest.fixture(autouse=True)
def fewer_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "N_CHECKS", 10_000)


FIRST, SECOND = looks_of(24)


def recorded_of(losses) -> Recorded:
    return Recorded(tuple(losses))


def normal_losses() -> Recorded:
    """Of mean 0.9 and standard deviation 1e-3, exactly."""
    z = np.random.default_rng(0).standard_normal(48)
    return recorded_of(0.9 + 1e-3 * (z - z.mean()) / z.std(ddof=1))


def measured(rng: np.random.Generator, mean: float, std: float = 1e-3):
    return lambda start, stop: list(rng.normal(mean, std, stop - start))


def test_looks_are_four_and_twenty_four_seeds_by_default() -> None:
    assert (FIRST, SECOND) == (4, 24) and looks_of(8) == (2, 8)


def test_false_alarms_of_the_whole_check_are_as_rare_as_it_says() -> None:
    """At 50 times the rate, so that 2,000 checks are enough to see it."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(2000):
        recorded = recorded_of(rng.normal(0.9, 1e-3, 48))
        n = 1 / 50  # results: allows the loss that a check of so few would
        alarms += judge(recorded, measured(rng, 0.9), n).verdict is Verdict.WORSE
    assert 0 < alarms / 2000 < 50 * FALSE_ALARMS


def test_loss_beyond_chance_is_caught_and_a_gain_is_not_a_failure() -> None:
    rng = np.random.default_rng(1)
    recorded = recorded_of(rng.normal(0.9, 1e-3, 48))
    assert judge(recorded, measured(rng, 0.910), N).verdict is Verdict.WORSE
    assert judge(recorded, measured(rng, 0.903), N).verdict is Verdict.WORSE
    assert judge(recorded, measured(rng, 0.890), N).verdict is Verdict.BETTER


@pytest.mark.parametrize(
    ("losses", "seeds"), [([0.9001, 0.8999], 4), ([0.9009, 0.9011], 24), ([0.9999, 0.9998], 4)]
)
def test_second_look_only_where_the_first_leaves_a_doubt(losses, seeds) -> None:
    recorded = normal_losses()
    judged = judge(recorded, lambda a, b: losses * ((b - a) // 2), N)
    assert len(judged.losses) == seeds


def test_where_the_seed_changes_nothing_one_is_enough() -> None:
    recorded = recorded_of([0.9, 0.9])
    assert judge(recorded, lambda a, b: [0.9 + 5e-5] * (b - a), N).verdict is Verdict.CHANGED
    judged = judge(recorded, lambda a, b: [0.9 + 2e-4] * (b - a), N)
    assert judged.verdict is Verdict.WORSE and len(judged.losses) == 1
    large = recorded_of([5000.0, 5000.0])  # rounding is in proportion
    assert judge(large, lambda a, b: [5000.1] * (b - a), N).verdict is Verdict.CHANGED


def test_ignored_seed_and_results_that_are_no_number() -> None:
    recorded = normal_losses()
    assert judge(recorded, lambda a, b: [0.9] * (b - a), N).verdict is Verdict.SEEDLESS
    with pytest.raises(ValueError, match="not a number"):
        judge(recorded, lambda a, b: [np.nan] * (b - a), N)


def test_simulation_agrees_with_what_normal_losses_give() -> None:
    losses = np.random.default_rng(2).normal(0.9, 1e-3, 48)
    recorded = recorded_of(losses)
    false, sure = rule.alarms(recorded, [0.0, 0.02], N)
    assert false <= 3 * FALSE_ALARMS / N and sure == 1
    caught = rule.smallest_caught(recorded, N)
    assert 0.0015 < caught < 0.0035
    assert rule.seeds_needed(recorded, 1.1 * caught, N) <= 24
    assert rule.seeds_needed(recorded, 1e-4, N) is None


def test_what_chance_explains_is_widened_where_tails_are_heavy() -> None:
    rng = np.random.default_rng(3)
    skewed = 0.9 + np.where(rng.random(48) < 0.06, 0.02, 0) + rng.normal(0, 1e-4, 48)
    wide = rule.widened(recorded_of(skewed), N)
    assert wide.widened > 1
    assert rule.alarms(wide, [0.0], N)[0] <= FALSE_ALARMS / N
    assert rule.widened(recorded_of(rng.normal(0.9, 1e-3, 48)), 1).widened == 1


@pytest.mark.parametrize(
    "mutant", [m for of in mutants().values() for m in of], ids=lambda mutant: mutant.bug
)
def test_every_bug_still_fits_the_code(mutant: Mutant) -> None:
    compile(mutant.patched(), mutant.path, "exec")


def outcome(verdict: Verdict, loss: float, better: str = "lower") -> Outcome:
    judged = Judged(verdict, (0.9 + loss,), loss, 0.001, same=1)
    return with_verdict(Outcome("fm", "mse", better, 0.9), judged, 2.0)


def test_a_summary_says_what_failed_and_what_to_do() -> None:
    broken = Outcome("broken", "mse", "lower", 0.9, failure="ValueError: | no")
    outcomes = [outcome(Verdict.WORSE, 0.01), outcome(Verdict.BETTER, -0.01), broken]
    text = summary(outcomes, "ml100k")
    assert "2 of 3 results got worse" in text and "mse 0.91000" in text and "ValueError" in text
    assert "better than the reference. Record it?" in text and "worse: fails" in text
    assert "nothing got worse" in summary(outcomes[1:2], "ml100k")
    higher = outcome(Verdict.WORSE, 0.01, "higher")
    assert higher.change == -0.01 and "mse 0.89000" in higher.failure


def noisy(shift: float = 0.0):
    def evaluate(seed: int) -> dict[str, float]:
        noise = float(np.random.default_rng(seed).normal(0, 1e-3))
        return {"accuracy": 0.8 + noise - shift, "loss": 0.5 + noise + shift}

    return evaluate


def experiment(function=None, **options) -> Experiment:
    metrics = {"accuracy": "higher", "loss": "lower"}
    return Experiment("mine", "mine", metrics, function=function or noisy(), **options)


def test_a_function_of_a_seed_is_recorded_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "reference.yaml"
    with pytest.raises(UserError, match="no mine on function; record it"):
        list(check([experiment()], path))
    ((_, entry),) = record([experiment()], path, "first")
    of = entry["metrics"]["accuracy"]
    assert of["n"] == 48 and of["false_alarms"] <= FALSE_ALARMS / 2 and 0 < of["catches"] < 0.01
    assert entry["recorded"]["reason"] == "first"
    for shift, verdict in ((0, Verdict.SAME), (-0.01, Verdict.BETTER), (0.01, Verdict.WORSE)):
        outcomes = list(check([experiment(noisy(shift))], path))
        assert [o.verdict for o in outcomes] == [verdict] * 2
    other_seeds = list(check([experiment()], path, first_seed=1000))
    assert {o.verdict for o in other_seeds} == {Verdict.CHANGED}


def test_a_function_that_fails_is_an_outcome(tmp_path: Path) -> None:
    path = tmp_path / "reference.yaml"
    list(record([experiment(seeds=4)], path, "first"))

    def broken(seed: int):
        raise RuntimeError("no")

    for function, message in ((broken, "RuntimeError: no"), (lambda _: {"loss": 1}, "accuracy")):
        outcomes = list(check([experiment(function, seeds=4)], path))
        assert all(message in o.failure for o in outcomes)
    with pytest.raises(UserError, match="mine failed: RuntimeError: no"):
        list(record([experiment(broken)], path, "again"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {}", "either run or _target_"),
        ("- a", "must map names"),
        ("a: {run: model=linear, sed: 1}", "seeds"),
        ("a: {run: model=linear, seeds: 1}", "a: seeds must be"),
        ("a: {run: model=linear, metrics: {mse: less}}", "lower"),
        ("a: {_target_: math.sqrt}", "say its metrics"),
        ("a: {_target_: no.such.thing, metrics: [x]}", "cannot import no.such.thing"),
        ("a: [", "cannot read"),
    ],
)
def test_a_file_of_checks_that_makes_no_sense_is_one_sentence(text, message, tmp_path) -> None:
    (tmp_path / "checks.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_experiments(tmp_path / "checks.yaml")


MODULE = """
import json, pathlib, random
def evaluate(seed):
    shift = json.loads(pathlib.Path("shift.json").read_text())
    return {"score": 1 + random.Random(seed).gauss(0, 0.01) + shift}
"""


def test_the_command_on_ones_own_file(tmp_path, store, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("own_model.py").write_text(MODULE)
    Path("shift.json").write_text("0")
    mine = {"_target_": "own_model.evaluate", "metrics": {"score": "higher"}, "seeds": 8}
    Path("checks.yaml").write_text(yaml.safe_dump({"mine": mine}))
    here = ["checks.yaml", "--results", str(tmp_path)]
    assert main(here) == 2
    assert "record it" in capsys.readouterr().err
    assert main([*here, "--record"]) == 2
    assert main([*here, "--record", "--reason", "a start"]) == 0
    assert "false alarms" in capsys.readouterr().out and Path("checks.reference.yaml").exists()
    assert main(here) == 0
    assert capsys.readouterr().out.count("same numbers") == 1
    assert main([*here, "--power", "0.05"]) == 0
    assert "seeds to catch 0.05" in capsys.readouterr().out
    Path("shift.json").write_text("-0.1")
    assert main([*here, "mine", "--json", "o.json"]) == 1
    assert "worse: fails" in capsys.readouterr().out
    assert json.loads(Path("o.json").read_text())[0]["verdict"] == "worse: fails"
    assert main(["history", "--results", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("| step |") == 1 and "mine, score" in shown
    (failed, passed) = store.search([store.experiment_id("checks")], "tags.role = 'check'")
    assert (failed.info.status, passed.info.status) == ("FAILED", "FINISHED")
    assert failed.data.metrics["mine/score"] < passed.data.metrics["mine/score"] - 0.05
    assert "code.source" in passed.data.tags
    assert main(["checks.yaml", "mime"]) == 2
    assert "mine" in capsys.readouterr().err


def test_the_verdict_does_not_depend_on_the_store(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("checks.yaml").write_text("a: {_target_: builtins.float, metrics: [x]}")
    monkeypatch.setattr("bench.check.__main__.check", lambda *_, **__: [outcome(Verdict.SAME, 0.0)])
    Path("results").write_text("not a folder")
    assert main(["checks.yaml"]) == 0
    said = capsys.readouterr().out
    assert "nothing got worse" in said and "could not be tracked in results" in said


CLICKS = "data=planted_clicks data.n_rows=800 data.n_fields=3 split=random model=logistic"


def test_slices_are_losses_of_some_test_rows_and_count_as_results() -> None:
    conditions = {"first": "field_1 == 1", "rare": "field_3_rows < 30"}
    own = Experiment("line", CLICKS, slices=conditions)
    values, _ = own.measure(0)
    assert list(values) == ["test/log_loss", "test/log_loss of first", "test/log_loss of rare"]
    assert own.n_results == 3 and set(own.metrics.values()) == {"lower"}
    levels = {f"level {n}": f"field_1 == {n}" for n in range(1, 6)}
    shares = {name: own._job.dataset.rows.eval(of).mean() for name, of in levels.items()}
    assert abs(sum(shares.values()) - 1) < 1e-9
    for condition, message in (
        ("field_1 == 99", "no test row"),
        ("none > 1", "their columns are"),
    ):
        with pytest.raises(UserError, match=message):
            Experiment("line", CLICKS, slices={"of": condition}).measure(0)


def test_reference_refuses_what_it_is_not_of(tmp_path) -> None:
    path = tmp_path / "reference.yaml"
    shape = "data=planted data.n_users=40 data.n_items=50 data.n_ratings=1000 split=random"
    own = Experiment("line", f"model=linear {shape}")
    list(record([own], path, "a reason"))
    entry = reference.entry_of(own, path)
    assert entry["metrics"]["test/mse_clipped"]["n"] == 2 and entry["run"] == own.run
    with pytest.raises(UserError, match="of other rows"):
        reference.entry_of(Experiment("line", f"model=linear {shape} data.seed=1"), path)
    with pytest.raises(UserError, match="not the experiment that was recorded"):
        reference.entry_of(Experiment("line", f"model=linear model.l2=5 {shape}"), path)


def test_the_projects_reference_is_of_its_experiments() -> None:
    found = reference.load(reference.OWN)
    own = {e.name: e for e in own_experiments()}
    clicks = {name for name, e in own.items() if "data=planted_clicks" in e.run}
    assert len(own) == 14 and len(clicks) == 3
    assert found.keys() == {"ml100k", "planted", "planted_clicks"}
    for data, section in found.items():
        expected = clicks if data == "planted_clicks" else own.keys() - clicks
        assert section["experiments"].keys() == expected
        for name, entry in section["experiments"].items():
            assert entry["run"] == own[name].run
            for of in entry["metrics"].values():
                recorded = recorded_of(of["values"])
                assert of["mean"] == pytest.approx(recorded.mean, abs=1e-6)
                assert of["std"] == pytest.approx(recorded.std, abs=1e-6)
        alarms = sum(
            of["false_alarms"]
            for e in section["experiments"].values()
            for of in e["metrics"].values()
        )
        assert alarms <= FALSE_ALARMS
