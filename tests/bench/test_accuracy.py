"""`python -m bench.check` as tests: no model is less accurate than the reference says."""

import json
import os
from dataclasses import asdict

import pytest

from bench.check import reference
from bench.check.checking import Outcome, check, summary
from bench.check.experiments import own_experiments

EXPERIMENTS = own_experiments()


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    found = list(check(EXPERIMENTS, reference.OWN))
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(page, "a", encoding="utf-8") as file:
            file.write(summary(found, EXPERIMENTS[0].dataset))
    return {outcome.experiment: outcome for outcome in found}


@pytest.mark.slow
@pytest.mark.accuracy
@pytest.mark.parametrize("name", [e.name for e in EXPERIMENTS])
def test_no_less_accurate(name: str, outcomes: dict[str, Outcome], record_property) -> None:
    outcome = outcomes[name]
    record_property("outcome", json.dumps(asdict(outcome)))
    assert outcome.failure is None, outcome.failure
