"""The study of scale: bars and tables follow from the fits."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from bench.processes import in_new_process
from bench.report.figures.style import look
from bench.studies import scale
from bench.studies.races import Fit, by_turns
from bench.studies.scale import MODELS, n_epochs, one_fit, settings
from bench.studies.study import Context, Record

pytestmark = pytest.mark.slow

GIB = 2**30


def fit(epoch=1.0, memory=GIB, mse=(0.9, 0.8), predictions=(1.0, 2.0)) -> Fit:
    ends = [2.0] if epoch is None else [epoch, 2 * epoch]
    return Fit(ends, list(mse), epoch, 0.5, memory, 0.79, list(predictions))


FITS = {
    ("fm_sgd", 1_000_000): fit(0.5),
    ("fm_sgd", 10_000_000): fit(5.0),
    ("fm_gibbs", 1_000_000): fit(0.2),
    ("fm_gibbs", 10_000_000): fit(2.0, 2 * GIB),
    ("quadratic", 1_000_000): "not within 600 s",
    ("quadratic", 10_000_000): "not within 600 s",
}
RACES = {
    "race fm_gibbs / two threads": [
        [vars(fit(2.0)), vars(fit(1.0))],
        [vars(fit(3.0)), vars(fit(1.0, predictions=(1, 2 + 1e-6)))],
    ],
    "race fm_gibbs / peer_myfm": [
        [vars(fit(2.0)), vars(fit(5.0))],
        [vars(fit(3.0)), vars(fit(5.0))],
    ],
    "race fm_sgd / vw_rank": "vowpalwabbit is not installed",
}


def alone(fits):
    """Return the section on what each model took alone."""
    values = {f"{name} {n}": f if isinstance(f, str) else vars(f) for (name, n), f in fits.items()}
    (section,) = scale.beside_each_other(values)
    return section


def bars(section) -> dict[str, float]:
    return {bar.what: float(np.median(bar.measured)) for bar in section.bars}


def lines_of(text: str, name: str) -> list[list[str]]:
    """Of each table, the cells of that model's line."""
    lines = (line.split("|") for line in text.splitlines())
    return [
        [c.strip() for c in line[2:-1]] for line in lines if line[1:2] and line[1].strip() == name
    ]


def test_bars_are_ratios_of_each_turn() -> None:
    (section,) = by_turns("scale", RACES)
    assert bars(section) == {
        "`fm_gibbs / two threads`: epoch or sweep / theirs": 2.5,
        "`fm_gibbs / two threads`: greatest difference of a prediction": pytest.approx(5e-7),
        "`fm_gibbs / peer_myfm`: epoch or sweep / theirs": 0.5,
    }
    assert "vowpalwabbit is not installed" in section.text


def test_bars_on_memory_and_growth() -> None:
    assert bars(alone(FITS)) == {
        "peak memory, 10,000,000 ratings, GiB (the most: `fm_gibbs`)": 2,
        "`fm_sgd`: fit: log-log slope in rows": pytest.approx(1.301, abs=1e-3),
        "`fm_gibbs`: fit: log-log slope in rows": pytest.approx(1.301, abs=1e-3),
    }


def test_what_was_not_measured_says_why_once() -> None:
    text = alone(FITS).text
    assert "- quadratic, 1,000,000 ratings: not within 600 s" in text
    assert text.count("not within") == 1


def test_slopes_of_what_grows_in_proportion() -> None:
    epoch, whole, *_ = lines_of(alone(FITS).text, "fm_sgd")
    assert epoch[-1] == "1.00"
    assert whole[-1] == "1.30"  # ten times as long with half the epochs


def test_slopes_are_of_what_can_be_weighed() -> None:
    sizes = ((10, 2**10), (100, 2**20), (1000, 10 * 2**20))
    fits = {("fm_sgd", n): fit(memory=b) for n, b in sizes}
    assert lines_of(alone(fits).text, "fm_sgd")[2] == ["0", "1", "10", "1.00"]


def test_errors_are_compared_with_the_floor() -> None:
    fits = {("fm_als", 100): fit(mse=(0.78, 0.795)), ("linear", 100): fit(None, mse=(0.85,))}
    assert lines_of(alone(fits).text, "fm_als")[-1] == ["0.6"]
    assert lines_of(alone(fits).text, "linear")[-1] == ["7.6"]


def test_no_line_and_no_mark_is_drawn_twice() -> None:
    looks = [tuple(look(number).values()) for number in range(len(MODELS))]
    assert len(set(looks)) == len(MODELS)


def test_page_and_figures(tmp_path: Path) -> None:
    of = {f"{name} {n}": f if isinstance(f, str) else vars(f) for (name, n), f in FITS.items()}
    record = Record(values={**RACES, **of, "linear 10000000": vars(fit(None, mse=(1.0,)))})
    text = scale.STUDY.write(record, tmp_path).read_text()
    assert "bars are met" in text
    assert (tmp_path / "scale_epoch.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["fm_als", "fm_gibbs", "linear"])
def test_a_fit_of_few_ratings(name: str) -> None:
    found = one_fit(name, 20_000)
    assert len(found.seconds) == len(found.mse) and list(found.seconds) == sorted(found.seconds)
    assert found.oracle < min(found.mse) < 1.3 * found.oracle
    assert (found.epoch is None) == (name == "linear")


def test_what_would_take_too_long_is_not_tried(monkeypatch) -> None:
    tried = []
    monkeypatch.setattr(scale, "in_new_process", lambda *of, limit: tried.append(of) or fit())
    before = {"linear 1000000": vars(fit(100.0)), "linear 100000": vars(fit(1.0))}
    said = scale.measure_fit("linear", 10_000_000, Context(1, before))
    assert said == "not tried, since a tenth of them took 200 s to fit"
    assert scale.measure_fit("linear", 1_000_000, Context(1, before)) == fit()
    assert scale.measure_fit("linear", 100_000, Context(1, {"linear 10000": said})) == said
    assert [of[2] for of in tried] == [1_000_000]


def test_larger_data_have_fewer_epochs() -> None:
    n_iter = [settings("fm_gibbs", rows)["n_iter"] for rows in (1_000_000, 10_000_000, 25_000_000)]
    assert n_iter == sorted(n_iter, reverse=True) and len(set(n_iter)) == 3
    assert [n_epochs(name, 10_000_000) for name in ("fm_gibbs", "vw_rank", "linear")] == [15, 4, 1]
    assert [n_epochs(name, 1_000_000) for name in ("fm_gibbs", "vw_rank", "linear")] == [30, 10, 1]


def test_a_process_of_its_own_returns_or_says_why_not() -> None:
    assert in_new_process(len, "four") == 4
    assert in_new_process(int, "four").startswith("ValueError: invalid literal")
    assert in_new_process(os.abort) == "its process was killed (out of memory?)"
    said = in_new_process(time.sleep, 60, limit=0.1)
    assert said == "TimeUp: stopped after 0.1 s, the time it was given"
