"""The study of speed counts, fits and judges what it says. No time is asserted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bench.studies import speed
from bench.studies.fits import SOLVERS, Fit, configured
from bench.studies.study import Context, Record

pytestmark = pytest.mark.slow

PLANTED = ("data=planted", "data.n_users=40", "data.n_items=60", "data.n_ratings=1000")


def test_epochs_are_chosen_on_validation_rows_and_kept() -> None:
    model = configured("fm_als", n_iter=20, early_stopping=2, l2=0.1)
    settled, seconds = speed.settle(model, *PLANTED)
    assert seconds > 0
    assert (settled.n_iter, settled.early_stopping) == (model.n_iter_, None)
    gibbs = configured("fm_gibbs")
    assert speed.settle(gibbs) == (gibbs, 0.0)


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
    two = [1.0, 3.0]
    fit = vars(Fit([0.1, 0.2], [0.95, 0.85], 0.1))
    sizes = {"10": two, "100": [10.0, 30.0]}
    return {
        "vw": {
            "fits": {solver: [fit, fit] for solver in SOLVERS}
            | {"vw": [vars(Fit([9.0], [0.9051], 0.4))] * 2},
            "selection": {solver: [0.0, 0.0] for solver in SOLVERS},
        },
        "myFM": "myFM is not installed",
        "libFM": {"10": [[0.1, 0.2], [0.2, 0.5]]},
        "predict": [10.0, 3.0],
        "lemma": {"features": sizes, "factors": sizes},
    }


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    record = Record(values=values(), repeats=2)
    text = speed.STUDY.write(record, tmp_path).read_text("utf-8")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert "0.25 (0.25–0.25)" in rows["`sgd`: epoch / VW pass"]
    assert "**not met**" in rows["`sgd`: epoch / VW pass"]
    assert "0.025 (0.025–0.025)" in rows["`sgd`: time to 0.9140 / VW's 20 passes"]
    assert "**not met**" not in rows["`sgd`: time to 0.9140 / VW's 20 passes"]
    assert "0.2 (0.2–0.2)" in rows["`gibbs`: seconds of fit to 0.9140"]
    assert "6.5 (3–10)" in rows["predict, two ids, k = 10: million rows/s"]
    assert "0.45 (0.4–0.5)" in rows["`gibbs`: sweep / libFM's, k = 10"]
    assert "Skipped: myFM is not installed." in text
    for section in speed.STUDY.sections(record.values):
        for plot in section.plots:
            assert (tmp_path / f"{plot.name}.png").exists() and f"({plot.name}.png)" in text
