"""The accuracy check within pytest: a fixture `accuracy`.

    def test_accuracy(accuracy):
        accuracy.check("my_model", evaluate, metrics={"loss": "lower"}, seeds=8)

`evaluate(seed)` returns {metric: value}. Record first, or again: `pytest --accuracy-record
"why"`. The reference is `accuracy.reference.yaml` beside the test, or what `--accuracy-reference`
names. The promise on false alarms is of all results of a reference together; where a new one has
been recorded since, record all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bench.errors import UserError


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the check to pytest's."""
    group = parser.getgroup("accuracy")
    group.addoption("--accuracy-record", metavar="REASON", help="record what is measured")
    group.addoption("--accuracy-reference", metavar="FILE", type=Path, help="recorded results")


@pytest.fixture
def accuracy(request: pytest.FixtureRequest) -> Accuracy:
    """Hold results against those that were recorded."""
    beside = request.path.with_name("accuracy.reference.yaml")
    option = request.config.getoption
    return Accuracy(option("--accuracy-reference") or beside, option("--accuracy-record"))


class Accuracy:
    """What the fixture gives a test: a file of recorded results, and why to record them anew."""

    def __init__(self, reference: Path, reason: str | None) -> None:
        self.reference = reference
        self.reason = reason

    def check(
        self,
        name: str,
        evaluate: Callable[[int], Mapping[str, float]],
        *,
        metrics: Mapping[str, str],
        seeds: int = 24,
    ) -> None:
        """Fail the test when a result is worse than chance explains.

        Parameters
        ----------
        name : str
            Of the experiment in the reference.
        evaluate : callable
            Seed -> {metric: value}.
        metrics : mapping
            Those that are compared -> "lower" or "higher", whichever is better.
        seeds : int
            Of the second look; twice as many are recorded.
        """
        # Hydra and pandas are imported by tests that check accuracy only.
        from bench.check import reference
        from bench.check.checking import check, record, summary
        from bench.check.experiments import FUNCTION, Experiment

        experiment = Experiment(name, name, metrics, seeds, evaluate)
        recorded = reference.load(self.reference).get(FUNCTION, {}).get("experiments", {})
        others = sum(len(entry["metrics"]) for other, entry in recorded.items() if other != name)
        n = others + experiment.n_results
        try:
            if self.reason:
                list(record([experiment], self.reference, self.reason, n))
                return
            outcomes = list(check([experiment], self.reference, n))
        except UserError as error:
            pytest.fail(str(error).replace("--record --reason", "pytest --accuracy-record"), False)
        if any(outcome.failure for outcome in outcomes):
            pytest.fail(summary(outcomes, name), pytrace=False)
