import math

import numpy as np
import pytest

from bench.scale import by_k
from bench.scale.__main__ import main, measured
from bench.scale.cell import Cell, epochs, measure, settings
from bench.scale.page import billion, errors, sections, side_by_side, threads, write

GIB = 2**30


def cell(epoch=1.0, memory=GIB, mse=(0.9, 0.8), predictions=(1.0, 2.0)):
    ends = [1.0, 2.0] if epoch is None else [epoch, 2 * epoch]
    return Cell(epoch, ends, list(mse), ends[-1], 0.5, memory, 0.79, list(predictions))


CELLS = {
    ("fm_sgd", 1_000_000, 1): cell(0.5),
    ("fm_sgd", 10_000_000, 1): cell(5.0),
    ("fm_gibbs", 1_000_000, 1): cell(0.2),
    ("fm_gibbs", 10_000_000, 1): cell(2.0, 2 * GIB),
    ("fm_gibbs", 10_000_000, 2): cell(1.0, predictions=(1.0, 2.0 + 1e-6)),
    ("peer_myfm", 10_000_000, 1): cell(5.0),
    ("vw_rank", 10_000_000, 1): cell(80.0),
    ("quadratic", 1_000_000, 1): "not within 600 s",
}


def bars(section):
    return {bar.what: float(np.median(bar.measured)) for bar in section.bars}


def test_bars_are_ratios_of_what_was_measured():
    found = bars(side_by_side(CELLS))
    assert found["`fm_gibbs`, 10,000,000 ratings: sweep / myFM's"] == 0.4
    assert found["`fm_sgd`, 10,000,000 ratings: epoch / a pass of VW's --rank"] == 5 / 80
    assert found["peak memory, 10,000,000 ratings, GiB (the most: `fm_gibbs`)"] == 2


def test_what_was_not_measured_says_why():
    assert "- quadratic, 1,000,000 ratings: not within 600 s" in side_by_side(CELLS).text


def test_slopes():
    row = next(line for line in side_by_side(CELLS).text.splitlines() if line.startswith("| fm_sgd"))
    assert row.split("|")[-2].strip() == "1.00"


def test_threads():
    found = bars(threads(CELLS))
    assert found["`fm_gibbs`, 10,000,000 ratings: speed-up by two threads"] == 2
    assert found["greatest difference of a prediction between one and two threads"] == pytest.approx(1e-6)


def test_errors_are_held_against_the_floor_and_the_best():
    cells = {("fm_als", 100, 1): cell(mse=(0.9, 0.795)), ("linear", 100, 1): cell(None, mse=(0.99, 0.85))}
    als, linear = (
        [c.strip() for c in line.split("|")[2:-1]]
        for line in errors(cells).text.splitlines()
        if line.startswith(("| fm_als", "| linear"))
    )
    assert als == ["0.6", "2.00", "2.00"] and linear == ["7.6", "never", "never"]


def test_billion_is_in_proportion():
    row = next(line for line in billion(CELLS).text.splitlines() if line.startswith("| fm_gibbs"))
    assert [c.strip() for c in row.split("|")[2:4]] == ["200", "200"]


def test_page_and_figures(tmp_path):
    page = write(sections(CELLS), "python -m bench.scale", tmp_path)
    assert "bars are met" in page.read_text() and (tmp_path / "scale_epoch.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["fm_als", "fm_gibbs", "linear"])
def test_a_cell_of_few_ratings(name):
    found = measure(name, 30_000)
    assert len(found.seconds) == len(found.mse) and found.seconds == sorted(found.seconds)
    assert found.oracle < min(found.mse) < 1.3 * found.oracle
    assert (found.epoch is None) == (name == "linear")


def test_a_model_that_takes_too_long_is_given_up():
    assert measured("fm_gibbs", 30_000, 1, limit=0.1) == "not within 0.1 s"


def test_a_model_that_fails_says_why():
    assert "no such" in measured("no such", 30_000, 1, limit=60)


def test_what_would_take_too_long_is_not_tried(monkeypatch, capsys):
    tried = []

    def measured(name, rows, threads, limit):
        tried.append(rows)
        return cell(rows / 10_000)

    monkeypatch.setattr("bench.scale.__main__.measured", measured)
    assert main(["linear", "--limit", "300"]) == 0
    assert tried == [100_000, 1_000_000]  # whose fit took 200 s
    assert "not tried, since a tenth of them took 200 s to fit" in capsys.readouterr().out


def test_larger_data_have_fewer_epochs():
    n_iter = [settings("fm_gibbs", rows)["n_iter"] for rows in (1_000_000, 10_000_000, 25_000_000)]
    assert n_iter == sorted(n_iter, reverse=True) and len(set(n_iter)) == 3


def test_fewer_epochs_are_expected_to_take_less():
    assert epochs("fm_gibbs", 10_000_000) == 0.5 and epochs("vw_rank", 10_000_000) == 0.4
    assert epochs("vw_rank", 1_000_000) == epochs("linear", 10_000_000) == 1


def test_unknown_model(capsys):
    with pytest.raises(SystemExit):
        main(["fm_nothing"])
    assert "there is no model 'fm_nothing'" in capsys.readouterr().err


def test_parts_of_a_sweep():
    found = {k: dict.fromkeys(by_k.PARTS, k**2 * 1e-3) | {"all": 4e-3 * k**2} for k in (2, 4, 8, 16)}
    text = by_k.section(found).text
    assert "| slope, the last three k |" in text and text.count("2.00") == 5
    assert math.isnan(by_k._slope(np.array([1, 2, 3]), [0.0, 1.0, 2.0]))
