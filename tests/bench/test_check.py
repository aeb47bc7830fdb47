"""The rule of the accuracy check, its reference, and what it tells."""

import numpy as np
import pytest
import yaml

from bench.check import reference, simulation
from bench.check.experiments import EXPERIMENTS, Measurement
from bench.check.outcome import Outcome, cases, junit, summary
from bench.check.rule import FALSE_ALARMS, LOOKS, Judged, Recorded, Verdict, judge
from bench.data import planted
from bench.errors import UserError
from bench.studies.mutants import HARMLESS, MUTANTS, patched

N = 9


def measured(rng: np.random.Generator, mean: float, std: float = 1e-3):
    return lambda start, stop: list(rng.normal(mean, std, stop - start))


def test_false_alarms_of_the_whole_check_are_as_rare_as_it_says() -> None:
    """At 50 times the rate, so that 2,000 checks are enough to see it."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(2000):
        recorded = Recorded.of(rng.normal(0.9, 1e-3, 48))
        n = 1 / 50  # experiments: allows the loss that a check of so few would
        alarms += judge(recorded, measured(rng, 0.9), n).verdict is Verdict.WORSE
    assert 0 < alarms / 2000 < 50 * FALSE_ALARMS


def test_loss_beyond_chance_is_caught_and_a_gain_is_not_a_failure() -> None:
    rng = np.random.default_rng(1)
    recorded = Recorded.of(rng.normal(0.9, 1e-3, 48))
    assert judge(recorded, measured(rng, 0.910), N).verdict is Verdict.WORSE
    assert judge(recorded, measured(rng, 0.903), N).verdict is Verdict.WORSE
    assert judge(recorded, measured(rng, 0.890), N).verdict is Verdict.BETTER


def test_second_look_only_where_the_first_leaves_a_doubt() -> None:
    recorded = Recorded(0.9, 1e-3, 48)
    assert (
        len(judge(recorded, lambda a, b: [0.9001, 0.8999] * ((b - a) // 2), N).errors) == LOOKS[0]
    )
    assert (
        len(judge(recorded, lambda a, b: [0.9009, 0.9011] * ((b - a) // 2), N).errors) == LOOKS[1]
    )
    assert (
        len(judge(recorded, lambda a, b: [0.9999, 0.9998] * ((b - a) // 2), N).errors) == LOOKS[0]
    )


def test_where_the_seed_changes_nothing_one_is_enough() -> None:
    recorded = Recorded.of([0.9, 0.9])
    assert judge(recorded, lambda a, b: [0.9 + 5e-5] * (b - a), N).verdict is Verdict.AS_RECORDED
    judged = judge(recorded, lambda a, b: [0.9 + 2e-4] * (b - a), N)
    assert judged.verdict is Verdict.WORSE and len(judged.errors) == 1


def test_ignored_seed_is_noticed() -> None:
    recorded = Recorded(0.9, 1e-3, 48)
    assert judge(recorded, lambda a, b: [0.9] * (b - a), N).verdict is Verdict.SEEDLESS


def test_simulation_agrees_with_what_normal_errors_give() -> None:
    errors = np.random.default_rng(2).normal(0.9, 1e-3, 48)
    false, sure = simulation.alarms(errors, [0.0, 0.02], N)
    assert false <= 3 * FALSE_ALARMS / N and sure == 1
    assert 0.0015 < simulation.smallest_caught(errors, N) < 0.0035


@pytest.mark.parametrize("mutant", MUTANTS + HARMLESS, ids=lambda mutant: mutant.bug)
def test_every_bug_still_fits_the_code(mutant) -> None:
    compile(patched(mutant), mutant.path, "exec")


def outcome(verdict: Verdict, loss: float) -> Outcome:
    return Outcome("fm", 0.9, Judged(verdict, (0.9 + loss,), loss, 0.001), 1, 2.0, 1.0)


def test_summary_and_junit_say_what_failed_and_what_to_do() -> None:
    broken = Outcome("broken", 0.9, None, 0, 0.0, 1.0, "ValueError: | no")
    outcomes = [outcome(Verdict.WORSE, 0.01), outcome(Verdict.BETTER, -0.01), broken]
    text = summary(outcomes, "ml100k")
    assert "2 of 3 experiments FAILED" in text and "MSE 0.91000" in text and "ValueError" in text
    assert "better than the reference: record it?" in text
    found = cases(junit(outcomes[:1]))
    assert found["fm"].failure == outcomes[0].failure and found["fm"].row == outcomes[0].row
    assert "no model got worse" in summary(outcomes[1:2], "ml100k")


def test_reference_is_written_to_be_read_and_refuses_what_it_is_not_of(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(reference, "PATH", tmp_path / "reference.yaml")
    dataset = planted(40, 50, 1000)
    with pytest.raises(UserError, match="no linear on planted; record it"):
        reference.section(dataset, ["linear"])
    reference.record(
        dataset, "linear", [Measurement(1 / 3, 0.1), Measurement(0.4, 0.3)], 0.1, "a reason"
    )
    entry = reference.section(dataset, ["linear"])["linear"]
    assert entry["errors"] == [0.3333333, 0.4] and entry["time"] == 2.0 and entry["n"] == 2
    assert entry["recorded"]["reason"] == "a reason" and entry["run"] == EXPERIMENTS["linear"]
    with pytest.raises(UserError, match="of other ratings"):
        reference.section(planted(40, 50, 1000, seed=1), ["linear"])
    monkeypatch.setitem(EXPERIMENTS, "linear", "model=linear model.l2=5")
    with pytest.raises(UserError, match="not the experiment that was recorded"):
        reference.section(dataset, ["linear"])


def test_reference_in_the_repository_is_of_the_experiments_as_they_are() -> None:
    found = yaml.safe_load(reference.PATH.read_text("utf-8"))
    assert found["ml100k"]["experiments"].keys() == EXPERIMENTS.keys()
    for section in found.values():
        for name, entry in section["experiments"].items():
            recorded = Recorded.of(entry["errors"])
            assert entry["run"] == EXPERIMENTS[name]
            assert entry["mean"] == pytest.approx(recorded.mean, abs=1e-6)
            assert entry["std"] == pytest.approx(recorded.std, abs=1e-6)
            assert entry["n"] == recorded.n
