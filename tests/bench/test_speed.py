"""The study of speed counts, fits and judges what it says. No time is asserted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bench.studies import races, speed
from bench.studies.races import Fit
from bench.studies.study import Context, Record

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("m", [10, 300, 1000])
def test_rows_of_the_lemma_have_m_features(m: int) -> None:
    X = speed.sparse_rows(np.random.default_rng(0), 7, m)
    X.check_format()
    assert X.has_canonical_format
    assert_array_equal(np.diff(X.indptr), m)


def test_growth_is_measured_at_every_size_in_every_repeat() -> None:
    predictions = speed.measure_growth(Context(2, {}), work=10_000)
    for times in predictions.values():
        assert all(len(t) == 2 and np.all(np.array(t) > 0) for t in times.values())
    assert next(iter(predictions["factors"])) == 8


def values() -> dict[str, object]:
    ours, vw = vars(Fit([0.1, 0.2], [0.95, 0.85], 0.1)), vars(Fit([9.0], [0.9051], 0.4))
    libfm = [
        [vars(Fit([1], [0.8], own)), vars(Fit([1], [0.9], of))] for own, of in ((1, 2), (2, 5))
    ]
    return {
        "race fm_sgd / vw_rank": [[ours, vw]] * 2,
        "race fm_gibbs / vw_rank": [[ours, vw]],
        "race fm_gibbs / peer_myfm, k = 8": "myFM is not installed",
        "race fm_gibbs / peer_libfm, k = 10": libfm,
        "predict": [10.0, 3.0],
        "lemma": {of: {"10": [1.0, 3.0], "100": [10.0, 30.0]} for of in ("features", "factors")},
    }


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    record = Record(values=values(), repeats=2)
    text = speed.STUDY.write(record, tmp_path).read_text("utf-8")
    lines = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    bars = {line[1].strip(): [cell.strip() for cell in line[3:-1]] for line in reversed(lines)}
    assert bars["`fm_sgd / vw_rank`: epoch or sweep / theirs"] == [
        "0.25 (0.25–0.25)",
        "2",
        "**not met**",
    ]
    assert bars["`fm_sgd / vw_rank`: time to 0.9140 / their 20 passes"][::2] == [
        "0.025 (0.025–0.025)",
        "met",
    ]
    assert bars["`fm_gibbs / vw_rank`: seconds to 0.9140"][0] == "0.2"
    assert bars["`fm_gibbs / peer_libfm, k = 10`: epoch or sweep / theirs"][0] == "0.45 (0.4–0.5)"
    assert bars["predict, two ids, k = 10: million rows/s"][0] == "6.5 (3–10)"
    assert "myFM is not installed" in text
    for section in speed.STUDY.sections(record.values):
        for plot in section.plots:
            assert (tmp_path / f"{plot.name}.png").exists() and f"({plot.name}.png)" in text


def test_a_race_is_run_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [["fm_gibbs", {"k": 2, "n_iter": 4}], ["fm_gibbs", {"k": 2, "n_iter": 4, "n_jobs": 2}]]
    rows = ["data=planted", "data.n_ratings=10000", "split=random"]
    monkeypatch.setitem(races.RACES, "tiny", {"two": {"rows": rows, "most": 50, "models": models}})
    turns = races.race("tiny", "two", 2)
    assert len(turns) == 2
    assert all(races.QUANTITIES["difference"][1](*turn) == 0 for turn in turns)
    assert turns[0][0].predictions != turns[1][0].predictions  # each turn has a seed of its own
