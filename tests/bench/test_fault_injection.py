"""A fault at the n-th call that changes a file or the database costs no result and doubles none."""

import os
from pathlib import Path

import pytest

from bench.studies import reliability
from bench.studies.fault_injection import FAULTS
from bench.studies.reliability import SURVIVED, trial

STRIDE = int(os.environ.get("FAULT_STRIDE", "59"))
"""Every how many calls a fault is injected, at each of four offsets; FAULT_STRIDE=1 tries all."""


@pytest.fixture(scope="module")
def undisturbed(
    empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, list[tuple]]:
    """How many calls the sweep makes, and what it leaves."""
    return reliability.undisturbed(empty_store, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_loses_nothing_and_doubles_nothing(
    tmp_path: Path, empty_store: Path, undisturbed: tuple[int, list[tuple]], fault: str
) -> None:
    calls, expected = undisturbed
    assert calls > 80 and any("README.md" in str(what[0]) for what in expected)
    for call in range(1 + FAULTS.index(fault) * STRIDE // len(FAULTS), calls + 1, STRIDE):
        outcome = trial(empty_store, tmp_path / str(call), fault, call, expected)
        assert outcome == SURVIVED, f"after {fault} at call {call}"


def test_a_sweep_that_leaves_something_else_is_noticed(
    tmp_path: Path, empty_store: Path, undisturbed: tuple[int, list[tuple]]
) -> None:
    assert trial(empty_store, tmp_path, "kill", 30, undisturbed[1][:-1]) != SURVIVED


def test_the_page_names_each_trial_that_failed() -> None:
    of = {"calls": 30, "stride": 11, "trials": 3, "failed": {"12": "the same command fails"}}
    files = {"files": 7, "findings": {"misread": 2}}
    sections = reliability.STUDY.sections({"kill": of, "files": files})
    assert "- kill at call 12: the same command fails." in sections[0].text
    assert [bar.met for section in sections for bar in section.bars] == [False, True, False, True]
