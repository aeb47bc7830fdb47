"""The study of speed counts, fits and judges what it says. No time is asserted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bench.studies import speed, speed_growth, speed_lemma, speed_limits
from bench.studies.fits import SOLVERS, Fit, configured, rows_of
from bench.studies.study import Context, Record
from fm.design import Block, Design

PLANTED = ("data=planted", "data.n_users=40", "data.n_items=60", "data.n_ratings=1000")
ONCE = Context(1, {})


def test_epochs_are_chosen_on_validation_rows_and_kept() -> None:
    model = configured("fm_als", n_iter=20, early_stopping=2, l2=0.1)
    settled, seconds = speed.settle(model, *PLANTED)
    assert seconds > 0
    assert (settled.n_iter, settled.early_stopping) == (model.n_iter_, None)
    gibbs = configured("fm_gibbs")
    assert speed.settle(gibbs) == (gibbs, 0.0)


def test_vw_is_timed_with_the_arguments_of_the_registry(tmp_path: Path) -> None:
    rows = rows_of(*PLANTED)
    speed.write_rows(rows, tmp_path / "rows.vw")
    user, item = (block.labels[block.levels[0]] for block in rows.X)
    lines = (tmp_path / "rows.vw").read_text().splitlines()
    assert lines[0] == f"{rows.y[0]:.0f} |u {user} |i {item}" and len(lines) == len(rows.y)
    assert speed.vw_seconds(configured("vw_rank"), str(tmp_path), 2) > 0


def test_work_of_a_sweep_by_hand() -> None:
    X = Design((Block("user", np.zeros(5, int), 3), Block("item", np.zeros(5, int), 4)))
    flops, n_bytes = speed_limits.work_of_a_sweep(X, k=1)
    assert flops == 10 * (2 * 2 * 3) + 7 * 27 / 3
    assert n_bytes == 10 * (4 + 4 + 8 + 3 * 3 * 8)


@pytest.mark.parametrize("m", [10, 300, 1000])
def test_rows_of_the_lemma_have_m_features(m: int) -> None:
    X = speed_lemma.sparse_rows(np.random.default_rng(0), 7, m)
    X.check_format()
    assert X.has_canonical_format
    assert_array_equal(np.diff(X.indptr), m)


def test_the_explicit_model_has_a_weight_for_every_pair() -> None:
    rng = np.random.default_rng(0)
    model = speed_lemma.explicit_model(rng)
    X = speed_lemma.sparse_rows(rng, 2, 10)
    i, j = np.triu_indices(speed_lemma.N_FEATURES, 1)
    x = X.toarray()
    assert_allclose(model.predict(X), X @ model.coef_ + (x[:, i] * x[:, j]) @ model.pair_coef_)


def test_the_lemma_and_growth_measure_every_size_in_every_repeat(monkeypatch) -> None:
    monkeypatch.setattr(speed_growth, "SHAPES", {2000: (10, 20), 4000: (20, 30)})
    monkeypatch.setattr(speed_growth, "SPARSE_ROWS", 50)
    lemma = speed_lemma.measure(Context(2, {}), work=600_000)
    predictions = speed_growth.measure_predictions(ONCE)
    for times, n in [
        *((of, 2) for of in lemma.values()),
        *((of, 3) for of in predictions.values()),
        *((of, 1) for of in speed_growth.measure_nonzeros(ONCE).values()),
    ]:
        assert all(len(t) == n and np.all(np.array(t) > 0) for t in times.values())
    assert list(predictions["predict"]) == [2000, 4000] and next(iter(lemma["factors"])) == 8


def values() -> dict[str, object]:
    two = [1.0, 3.0]
    fit = vars(Fit([0.1, 0.2], [0.95, 0.85], 0.1))
    sizes = {"10": two, "100": [10.0, 30.0]}
    return {
        "vw": {
            "vw_mse": 0.9051,
            "vw": [8.0, 8.0],
            "vw_pass": [0.4, 0.4],
            "fits": {solver: [fit, fit] for solver in SOLVERS},
            "selection": {solver: [0.0, 0.0] for solver in SOLVERS},
        },
        "myfm": "myFM is not installed",
        "libfm": [[0.1, 0.2], [0.2, 0.5]],
        "predict": {"rows": 10**6, "seconds": [0.1, 0.3], "memory": 0.01, "look-up": 0.05},
        "growth": {kind: sizes for kind in ("look-up alone", "predict", "rows alone")},
        "nonzeros": {solver: {str(m): two for m in (50, 100, 200, 400)} for solver in SOLVERS},
        "lemma": {"features": sizes, "factors": sizes, "explicit": {"10": two, "100": two}},
        "limits": {
            "sweep": {"als": two},
            "work": {"arithmetic": 1e7, "moving": 1e7},
            "speed": {"arithmetic": 1e10, "moving": 1e10},
        },
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
    assert "6.667 (3.333–10)" in rows["predict, two ids, k = 10: million rows/s"]
    assert "0.45 (0.4–0.5)" in rows["`gibbs`: sweep / libFM's, k = 10"]
    assert "limit that binds is look-up" in text
    assert "Skipped: myFM is not installed." in text
    for section in speed.STUDY.sections(record.values):
        for plot in section.plots:
            assert (tmp_path / f"{plot.name}.png").exists() and f"({plot.name}.png)" in text


def test_a_sweep_of_libfm_is_what_more_of_them_take(monkeypatch) -> None:
    model = SimpleNamespace(n_iter=0)
    model.set_params = lambda **params: SimpleNamespace(fit=lambda *_: params["n_iter"])
    monkeypatch.setattr(speed, "configured", lambda *_, **__: model)
    monkeypatch.setattr(speed, "rows_of", lambda _: SimpleNamespace(X="X", y="y"))
    monkeypatch.setattr(speed, "sweep_seconds", lambda *_: 0.1)
    monkeypatch.setattr(speed, "seconds", lambda call: 5 + 0.25 * call())
    assert speed.measure_libfm(ONCE) == [(0.1, 0.25)]
