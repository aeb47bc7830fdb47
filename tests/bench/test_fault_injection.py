"""A fault at the n-th call to disk, database or server costs no result and doubles none.

`python -m tests.reliability` tries every call; here is a slice of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reliability import soak, study
from tests.reliability.fault_injection import FAULTS, Injector, forked
from tests.reliability.faulty_sweeps import MODES, NOT_REACHED, SURVIVED, FaultySweep

pytestmark = pytest.mark.slow

CALLS = {"here": (31, 57, 75), "workers": (41,), "server": ()}
"""Calls that meet a fault; each fault at a few others of its own."""


@pytest.fixture(scope="module", params=[mode for mode in MODES if CALLS[mode]])
def sweep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FaultySweep:
    return FaultySweep(request.param, tmp_path_factory.mktemp(request.param).resolve())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_loses_nothing_and_doubles_nothing(
    sweep: FaultySweep, fault: str
) -> None:
    assert sweep.calls > 60
    for call in CALLS[sweep.mode]:
        outcome = sweep.trial(fault, call + 5 * list(FAULTS).index(fault))
        assert outcome == SURVIVED, f"after {fault} at call {call}"


def test_what_is_left_otherwise_and_calls_beyond_the_last_are_noticed(
    sweep: FaultySweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep.trial("kill", 10 * sweep.calls) == NOT_REACHED
    monkeypatch.setattr(sweep, "left", lambda: ["something else"])
    assert sweep.trial("error", 20) != SURVIVED


def test_loss_of_power_takes_back_what_was_not_synchronized(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "old").write_text("old")

    def act() -> int:
        kept = folder / "kept"
        with kept.open("w") as file:
            file.write("kept")
            os.fsync(file.fileno())
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        (folder / "lost").write_text("lost")
        (folder / "old").rename(folder / "new")
        (folder / "fault").touch()
        return 0

    injector = Injector(folder, "power", 4)
    assert forked(act, tmp_path / "log", injector).status != 0
    left = {path.name: path.read_text() for path in folder.iterdir()}
    assert left == {"kept": "kept", "old": "old"}


def test_the_page_names_each_trial_that_failed() -> None:
    of = {"calls": 30, "trials": 3, "failed": {"12": "the same command fails"}, "commit": "c"}
    files = {"files": 7, "findings": {"misread": 2}, "commit": "c"}
    values = {"here: kill": of, "ratings": files}
    sections = study.STUDY.sections(values)
    assert "- here: kill at call 12: the same command fails." in sections[0].text
    assert "- here: power: not measured yet." in sections[0].text
    met = [bar.met for section in sections for bar in section.bars]
    assert met == [False, True, False, True]


@pytest.mark.parametrize(("mib", "grown"), [([90, 100, 100, 100], 0.0), ([90, 100, 105, 110], 0.1)])
def test_growth_of_memory_is_of_the_second_half(mib: list[float], grown: float) -> None:
    memory = list(zip((0, 500, 750, 1000), mib, strict=True))
    assert soak.growth(memory) == pytest.approx(grown, abs=1e-9)
    of = {"jobs": 1000, "absences": 3, "statuses": [0, 0], "lost": 0, "twice": 0, "list": [0.7]}
    (section,) = soak.soak_section(
        {"soak": of | {"memory": [memory] * 2, "report": [4.0], "commit": "c"}}
    )
    assert [bar.met for bar in section.bars] == [True, True, grown < 0.05, True, True]
