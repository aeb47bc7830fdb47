"""`python -m bench.check` as tests: no model is less accurate than the reference says."""

import os

import pytest

from bench.check.checking import check
from bench.check.experiments import EXPERIMENTS, load
from bench.check.outcome import Outcome, summary


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    dataset = load("auto")
    found = list(check(dataset))
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(page, "a", encoding="utf-8") as file:
            file.write(summary(found, dataset.name))
    return {outcome.name: outcome for outcome in found}


@pytest.mark.slow
@pytest.mark.accuracy
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_less_accurate(name: str, outcomes: dict[str, Outcome], record_property) -> None:
    outcome = outcomes[name]
    record_property("row", " | ".join(outcome.row))
    assert outcome.failure is None, outcome.failure
