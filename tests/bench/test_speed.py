"""What measures speed: that it counts, fits and judges what it says. No time is asserted."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from baselines import QuadraticRegression
from bench.studies.speed import __main__ as program
from bench.studies.speed import (
    against_libfm,
    against_myfm,
    against_vw,
    growth,
    lemma,
    limits,
    machine,
    page,
    predicting,
)
from bench.studies.speed.against_vw import Curve
from bench.studies.speed.bars import Bar, bars_table, medians, slopes, spread
from bench.studies.speed.setting import SOLVERS, Setting, configured, setting
from fm import FMRegressor
from fm.design import Block, Design


@pytest.fixture(scope="module")
def data() -> Setting:
    return setting("data=planted", "data.n_users=40", "data.n_items=60", "data.n_ratings=1000")


def test_slopes_are_the_exponents_of_power_laws() -> None:
    sizes = np.array([10, 100, 1000])
    times = {n: np.array([3e-6 * n**1.0, 2e-9 * n**2.0]) for n in sizes}
    assert_allclose(slopes(times), [1, 2])


def test_medians_are_those_of_each_size() -> None:
    x, y = medians({10: np.array([3.0, 1, 2]), 20: np.array([9.0, 7, 8])})
    assert_array_equal([x, y], [[10, 20], [2, 8]])


@pytest.mark.parametrize(
    ("measured", "low", "high", "met"),
    [
        ([1, 2, 9], -np.inf, 2, True),
        ([1, 2.1, 9], -np.inf, 2, False),
        ([11, 12, 1], 10, np.inf, True),
        ([9, 9, 11], 10, np.inf, False),
        ([0.94], 0.95, 1.05, False),
        ([1.06], 0.95, 1.05, False),
        ([1.05], 0.95, 1.05, True),
        ([0.1, np.inf, np.inf], -np.inf, 2, False),
    ],
)
def test_a_verdict_follows_the_median(
    measured: list[float], low: float, high: float, met: bool
) -> None:
    bar = Bar("what", np.array(measured, dtype=float), low, high)
    assert bar.met is met
    assert ("**not met**" in bars_table([bar])) is not met


def test_bars_are_shown_with_their_range_and_spread() -> None:
    bars = [Bar("a", np.array([3.0, 1, 2]), high=0.05), Bar("b", np.array([1.0]), low=10)]
    bars.append(Bar("c", np.array([1.0]), 0.95, 1.05))
    assert [bar.range for bar in bars] == ["≤ 0.05", "≥ 10", "0.95–1.05"]
    cells = [cell.strip() for cell in bars_table(bars).splitlines()[2].split("|")]
    assert cells[1:-1] == ["a", "≤ 0.05", "2 (1–3)", "3", "**not met**"]
    assert spread([0.1, np.inf, np.inf]) == "never (0.1–never)"


def test_the_target_is_reached_in_the_first_epoch_that_has_it() -> None:
    seconds = np.array([0.1, 0.3, 0.4, 0.6])
    assert Curve(seconds, np.array([1.2, 0.9140, 0.92, 0.9])).to_target == 0.3
    assert Curve(seconds, np.array([1.2, 1.1, 1.0, 0.92])).to_target == np.inf
    assert_allclose(Curve(seconds, np.ones(4)).epoch, 0.2)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_curve_has_the_errors_of_shorter_fits(solver: str, data: Setting) -> None:
    model = FMRegressor(solver=solver, k=2, n_iter=6, random_state=3)
    curve = against_vw.curve(model, data)
    rows = data.split.test
    for n in (1, 3, 6):
        prediction = model.set_params(n_iter=n).fit(*data.development).predict(data.X[rows])
        error = np.mean((np.clip(prediction, *data.scale) - data.y[rows]) ** 2)
        assert_allclose(curve.mse[n - 1], error, rtol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
def test_looking_at_test_rows_takes_no_fit_time(solver: str, data: Setting) -> None:
    began = time.perf_counter()
    asleep = 0.0

    def callback(*_: object) -> None:
        nonlocal asleep
        paused = time.perf_counter()
        time.sleep(0.05)
        asleep += time.perf_counter() - paused

    model = FMRegressor(solver=solver, k=2, n_iter=4, callback=callback).fit(*data.development)
    assert asleep >= 0.2
    assert model.history_["seconds"][-1] <= time.perf_counter() - began - asleep


def test_epochs_are_chosen_on_validation_rows_and_kept(data: Setting) -> None:
    model = configured("fm_als", n_iter=20, early_stopping=2, l2=0.1)
    settled, seconds = against_vw.settle(model, data)
    assert seconds > 0
    assert (settled.n_iter, settled.early_stopping) == (model.n_iter_, None)
    gibbs = configured("fm_gibbs")
    assert against_vw.settle(gibbs, data) == (gibbs, 0.0)


def test_vw_is_timed_with_the_arguments_of_the_registry(data: Setting, tmp_path: Path) -> None:
    against_vw._write_rows(data, tmp_path / "rows.vw")
    first = data.split.development[0]
    user, item = (block.labels[block.levels[first]] for block in data.X)
    lines = (tmp_path / "rows.vw").read_text().splitlines()
    assert lines[0] == f"{data.y[first]:.0f} |u {user} |i {item}"
    assert len(lines) == len(data.split.development)
    assert against_vw.vw_seconds(configured("vw_rank"), str(tmp_path), 2) > 0


def test_work_of_a_sweep_by_hand() -> None:
    X = Design((Block("user", np.zeros(5, int), 3), Block("item", np.zeros(5, int), 4)))
    work = limits.Work.of(X, k=1)
    assert work.flops == 10 * (2 * 2 * 3) + 7 * 27 / 3
    assert work.bytes == 10 * (4 + 4 + 8 + 3 * 3 * 8)


def test_shares_are_of_own_time_and_add_up() -> None:
    here = str(limits.ROOT / "fm" / "model.py")
    entries = {
        (here, 1, "<lambda>"): 3,
        (here, 9, "<lambda>"): 1,
        ("~", 0, "<take>"): 4,
        ("/lib/x.py", 2, "f"): 2,
    }
    stats = SimpleNamespace(stats={key: (1, 1, own, 99, {}) for key, own in entries.items()})
    assert limits.shares_of(stats) == {"fm/model.py:<lambda>": 0.4, "<take>": 0.4, "x.py:f": 0.2}


def test_the_machine_has_limits() -> None:
    assert machine.flops(repeats=1) > 0
    assert machine.bandwidth(machine.IN_CACHE, repeats=1) > 0


@pytest.mark.parametrize("m", [10, 300, 1000])
def test_rows_of_the_lemma_have_m_features(m: int) -> None:
    X = lemma.sparse_rows(np.random.default_rng(0), 7, m)
    X.check_format()
    assert X.has_canonical_format
    assert_array_equal(np.diff(X.indptr), m)


def test_the_explicit_model_has_a_weight_for_every_pair() -> None:
    rng = np.random.default_rng(0)
    model = lemma._explicit(rng)
    X = lemma.sparse_rows(rng, 2, 10)
    expected = X @ model.coef_
    i, j = np.triu_indices(lemma.N_FEATURES, 1)
    x = X.toarray()
    assert_allclose(model.predict(X), expected + (x[:, i] * x[:, j]) @ model.pair_coef_)
    assert isinstance(model, QuadraticRegression)


def test_a_fit_in_a_new_process_is_weighed(data: Setting) -> None:
    memory = growth.peak_memory(FMRegressor(solver="als", k=2, n_iter=3), *data.development)
    assert memory is None or memory >= 0


def test_growth_measures_every_size_in_every_repeat(data: Setting) -> None:
    X, y = data.development
    sizes = {len(y) // 4: (X[: len(y) // 4], y[: len(y) // 4]), len(y): (X, y)}
    models = {s: FMRegressor(solver=s, k=2, n_iter=3) for s in ("als", "sgd")}
    epochs, predictions = growth.interleaved(models, sizes, repeats=2)
    fits = [(times, 2) for times in (*epochs.values(), *predictions.values())]
    for times, n in (*fits, *((times, 6) for times in growth.look_ups(sizes, repeats=2))):
        assert list(times) == list(sizes)
        assert all(t.shape == (n,) and np.all(t > 0) for t in times.values())


def test_fits_by_nonzeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "SPARSE_ROWS", 50)
    for times in growth.nonzeros(repeats=2).values():
        assert list(times) == list(growth.NONZEROS)
        assert all(t.shape == (2,) and np.all(t > 0) for t in times.values())


def fake_sections() -> list[page.Section]:
    two = np.array([1.0, 3.0])
    curves = [Curve(np.array([0.1, 0.2]), np.array([0.95, 0.85]))] * 2
    times = against_vw.Times([8.0, 8.0], [0.4, 0.4], dict.fromkeys(SOLVERS, curves))
    grown = {solver: {n: two * n for n in (1000, 10_000)} for solver in SOLVERS}
    memory = {solver: {n: 48 * n for n in (1000, 10_000)} for solver in SOLVERS}
    nonzeros = {solver: {m: two * m for m in growth.NONZEROS} for solver in SOLVERS}
    by_size = {n: two * n for n in (10, 100)}
    work = limits.Work(1e7, 1e7)
    shares = {"fm/conditional.py:update": 0.75, "other": 0.25}
    return [
        against_vw.section(times, 0.9051),
        page.Section(against_myfm.TITLE, "Skipped: no myfm."),
        predicting.section(predicting.Prediction(10**6, two / 10, 0.01, 0.05)),
        growth.section(growth.Growth(grown, grown, memory, grown["als"], grown["als"], nonzeros)),
        lemma.section(lemma.Lemma(by_size, by_size, {n: two * n**2 for n in by_size})),
        limits.section(limits.Limits({"als": two}, {"als": shares}, work, 1e10, 1e10)),
    ]


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    path = page.write(
        fake_sections(), "speed", "How fast", "All warm.", "python -m bench.studies.speed", tmp_path
    )
    text = path.read_text("utf-8")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert "0.25 (0.25–0.25)" in rows["`sgd`: epoch / VW pass"]
    assert "**not met**" in rows["`sgd`: epoch / VW pass"]
    assert "0.025 (0.025–0.025)" in rows["`sgd`: time to 0.9140 / VW's 20 passes"]
    assert "**not met**" not in rows["`sgd`: time to 0.9140 / VW's 20 passes"]
    assert "0.2 (0.2–0.2)" in rows["`gibbs`: seconds of fit to 0.9140"]
    assert "6.667 (3.333–10)" in rows["predict, two ids, k = 10: million rows/s"]
    assert rows["`als`: memory of fit / data, 10,000 rows"].split("|")[3].strip() == "2"
    assert "75.0%" in rows["`fm/conditional.py:update`"]
    assert "limit that binds is look-up" in text
    assert "Skipped: no myfm." in text
    for plot in [plot for section in fake_sections() for plot in section.plots]:
        assert f"({plot.name}.png)" in text
        assert {(tmp_path / f"{plot.name}{suffix}").exists() for suffix in (".png", ".svg")} == {
            True
        }


def test_a_missing_peer_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "myfm", None)
    section = program.peer(against_myfm, repeats=1)
    assert section.text.startswith("Skipped: ")
    assert "myfm" in section.text
    assert not section.bars


def test_without_libfm_its_section_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    section = program.peer(against_libfm, repeats=1)
    assert section.text.startswith("Skipped: libFM is not installed") and not section.bars


def test_a_sweep_of_libfm_is_what_more_of_them_take(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(fit):
        model = fit.func.__self__
        assert model.random_state == 3 and fit.args == data.development
        return 5 + 0.25 * model.n_iter

    data = SimpleNamespace(development=("X", "y"))
    monkeypatch.setattr(against_libfm, "seconds", seconds)
    assert against_libfm.libfm_sweep(configured("peer_libfm"), data, 3) == 0.25
    (bar,) = against_libfm.section((np.array([0.1, 0.2]), np.array([0.2, 0.5]))).bars
    assert bar.met and np.median(bar.measured) == 0.45


def test_named_sections_are_printed_not_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        program.SECTIONS, "lemma", lambda asked: page.Section("L", f"{asked.repeats} repeats")
    )
    assert program.main(["lemma", "--repeats", "3"]) == 0
    assert "3 repeats" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["lema"], "'lemma'"), (["lemma", "--repeats", "0"], "--repeats must be")],
)
def test_a_wrong_command_is_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(arguments) == 2
    assert message in capsys.readouterr().err
