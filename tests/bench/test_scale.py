import math

import numpy as np
import pytest

from bench.report.figures import look
from bench.studies.scale import by_k, noise_floor
from bench.studies.scale.__main__ import main, measured
from bench.studies.scale.cell import MODELS, Cell, measure, n_epochs, settings
from bench.studies.scale.page import billion, by_turns, errors, side_by_side, write
from bench.studies.scale.race import TURNS, TWO_THREADS, Race, race
from bench.studies.scale.record import Record
from bench.studies.speed.page import Section, here

GIB = 2**30


def cell(epoch=1.0, memory=GIB, mse=(0.9, 0.8), predictions=(1.0, 2.0)):
    ends = [1.0, 2.0] if epoch is None else [epoch, 2 * epoch]
    return Cell(epoch, ends, list(mse), ends[-1], 0.5, memory, 0.79, list(predictions))


CELLS = {
    ("fm_sgd", 1_000_000): cell(0.5),
    ("fm_sgd", 10_000_000): cell(5.0),
    ("fm_gibbs", 1_000_000): cell(0.2),
    ("fm_gibbs", 10_000_000): cell(2.0, 2 * GIB),
    ("quadratic", 1_000_000): "not within 600 s",
}
RACES = {
    ("fm_gibbs", TWO_THREADS): Race(
        [cell(2.0), cell(3.0)], [cell(1.0), cell(1.0, predictions=(1, 2 + 1e-6))]
    ),
    ("fm_gibbs", "peer_myfm"): Race([cell(2.0), cell(3.0)], [cell(5.0), cell(5.0)]),
    ("fm_sgd", "vw_rank"): "vowpalwabbit is not installed",
}


def bars(section):
    return {bar.what: float(np.median(bar.measured)) for bar in section.bars}


def test_bars_are_ratios_of_each_turn():
    section = by_turns(RACES)
    assert bars(section) == {
        "`fm_gibbs`, 10,000,000 ratings: speed-up by two threads": 2.5,
        "greatest difference of a prediction between one and two threads": pytest.approx(1e-6),
        "`fm_gibbs`, 10,000,000 ratings: sweep / myFM's": 0.5,
    }
    assert "vowpalwabbit is not installed" in section.text


def test_bars_on_memory():
    assert bars(side_by_side(CELLS)) == {
        "peak memory, 10,000,000 ratings, GiB (the most: `fm_gibbs`)": 2
    }


def test_what_was_not_measured_says_why():
    assert "- quadratic, 1,000,000 ratings: not within 600 s" in side_by_side(CELLS).text


def lines_of(section, name):
    """Of each table, the cells of that model's line."""
    lines = (line.split("|") for line in section.text.splitlines())
    return [
        [part.strip() for part in line[2:-1]]
        for line in lines
        if line[1:2] and line[1].strip() == name
    ]


def test_slopes_of_what_grows_in_proportion():
    epoch, fit, *_ = lines_of(side_by_side(CELLS), "fm_sgd")
    assert epoch[-1] == "1.00"
    assert fit[-1] == "1.30"  # ten times as long with half the epochs


def test_slopes_are_of_what_can_be_weighed():
    cells = {
        ("fm_sgd", n): cell(memory=b) for n, b in ((10, 2**10), (100, 2**20), (1000, 10 * 2**20))
    }
    assert lines_of(side_by_side(cells), "fm_sgd")[2] == ["0", "1", "10", "1.00"]


def test_errors_are_held_against_the_floor_and_the_best():
    cells = {
        ("fm_als", 100): cell(mse=(0.78, 0.795)),
        ("linear", 100): cell(None, mse=(0.99, 0.85)),
    }
    section = errors(cells)
    assert lines_of(section, "fm_als") == [["0.6"], ["1.00"], ["1.00"]]
    assert lines_of(section, "linear") == [["7.6"]]
    assert "No model came within" in errors({("linear", 100): cell(None, mse=(0.99, 0.85))}).text


def test_no_line_and_no_mark_is_drawn_twice():
    looks = [tuple(look(number).values()) for number in range(len(MODELS))]
    assert len(set(looks)) == len(MODELS)


def test_billion_is_in_proportion():
    row = next(line for line in billion(CELLS).text.splitlines() if line.startswith("| fm_gibbs"))
    assert [c.strip() for c in row.split("|")[2:4]] == ["200", "200"]


def test_page_and_figures(tmp_path):
    cells = CELLS | {("linear", 10_000_000): cell(None)}
    page = write(Record(cells=cells, races=RACES), "python -m bench.studies.scale", tmp_path)
    assert "bars are met" in page.read_text() and all(
        (tmp_path / f"scale_{name}.png").stat().st_size > 1000
        for name in ("epoch", "fit", "memory", "pareto")
    )


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = Record(cells=CELLS, races=RACES, by_k={2: {"all": 0.1}})
    record.write(tmp_path / "scale.json")
    assert (
        Record.read(tmp_path / "scale.json") == Record.going_on(tmp_path / "scale.json") == record
    )


def test_a_record_from_where_there_was_no_git(tmp_path):
    where = here()
    elsewhere = {**where, "code": {"source": where["code"]["source"]}}
    Record(where=elsewhere, cells=CELLS).write(tmp_path / "scale.json")
    git = "modified" in where["code"]
    assert Record.going_on(tmp_path / "scale.json").cells == ({} if git else CELLS)


def test_what_other_code_measured_is_not_gone_on_with(tmp_path):
    where = here()
    other = {**where, "code": {**where["code"], "source": "other"}}
    Record(where=other, cells=CELLS).write(tmp_path / "scale.json")
    assert Record.going_on(tmp_path / "scale.json").cells == {}
    assert Record.read(tmp_path / "scale.json").cells == CELLS


@pytest.mark.parametrize("name", ["fm_als", "fm_gibbs", "linear"])
def test_a_cell_of_few_ratings(name):
    found = measure(name, 30_000)
    assert len(found.seconds) == len(found.mse) and found.seconds == sorted(found.seconds)
    assert found.oracle < min(found.mse) < 1.3 * found.oracle
    assert (found.epoch is None) == (name == "linear")


def test_a_model_that_takes_too_long_is_given_up():
    assert measured("cell", "fm_gibbs", 30_000, limit=0.1) == "not within 0.1 s"


def test_a_model_that_fails_says_why():
    assert "no such" in measured("cell", "no such", 30_000, limit=60)


def test_what_would_take_too_long_is_not_tried(monkeypatch, capsys):
    tried = []

    def measured(_, name, rows, limit):
        tried.append(rows)
        return cell(rows / 10_000)

    monkeypatch.setattr("bench.studies.scale.__main__.measured", measured)
    assert main(["linear", "--limit", "300"]) == 0
    assert tried == [100_000, 1_000_000]  # whose fit took 200 s
    assert "not tried, since a tenth of them took 200 s to fit" in capsys.readouterr().out


def test_larger_data_have_fewer_epochs():
    n_iter = [settings("fm_gibbs", rows)["n_iter"] for rows in (1_000_000, 10_000_000, 25_000_000)]
    assert n_iter == sorted(n_iter, reverse=True) and len(set(n_iter)) == 3


def test_epochs_of_a_fit():
    assert [n_epochs(name, 10_000_000) for name in ("fm_gibbs", "vw_rank", "linear")] == [15, 4, 1]
    assert [n_epochs(name, 1_000_000) for name in ("fm_gibbs", "vw_rank", "linear")] == [30, 10, 1]


def test_unknown_model(capsys):
    assert main(["fm_nothing"]) == 2
    assert "fm_nothing" in capsys.readouterr().err


def test_a_measurement_goes_on_where_it_was_interrupted(monkeypatch, tmp_path):
    asked = []

    def measured(what, *of, limit):
        asked.append(of)
        if of == ("linear", 1_000_000):
            raise KeyboardInterrupt
        return cell() if what == "cell" else "not today"

    monkeypatch.setattr("bench.studies.scale.__main__.measured", measured)
    monkeypatch.setattr("bench.studies.scale.__main__.RESULTS", tmp_path)
    monkeypatch.setattr("bench.studies.scale.__main__.MODELS", ["linear"])
    monkeypatch.setattr(by_k, "measure", lambda: {2: {"all": 0.1}})
    assert main([]) == 130
    monkeypatch.setattr(
        "bench.studies.scale.__main__.measured", lambda what, *of, limit: asked.append(of) or "no"
    )
    monkeypatch.setattr(
        "bench.studies.scale.__main__.write",
        lambda record, *_: record.write(tmp_path / "scale.json"),
    )
    assert main([]) == 0
    assert asked[len(RACES) :] == [
        ("linear", 100_000),
        ("linear", 1_000_000),
        ("linear", 1_000_000),
    ]
    assert Record.read(tmp_path / "scale.json").cells["linear", 100_000] == cell()


def test_drawing_without_a_measurement(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("bench.studies.scale.__main__.RESULTS", tmp_path)
    assert main(["--draw"]) == 2
    assert "measure first" in capsys.readouterr().err


def test_a_race():
    found = race("fm_gibbs", TWO_THREADS, 30_000)
    assert len(found.ours) == len(found.theirs) == TURNS and found.apart == 0


def test_parts_of_a_sweep():
    found = {
        k: dict.fromkeys(by_k.PARTS, k**2 * 1e-3) | {"all": 4e-3 * k**2} for k in (2, 4, 8, 16)
    }
    text = by_k.section(found).text
    assert "| slope, the last three k |" in text and text.count("2.00") == 5
    assert math.isnan(by_k._slope(np.array([1, 2, 3]), [0.0, 1.0, 2.0]))


def test_the_noise_floor(monkeypatch, tmp_path):
    monkeypatch.setattr(noise_floor, "OF_EACH", (40, 80))
    monkeypatch.setattr(noise_floor, "SEEDS", range(2))
    monkeypatch.setattr(noise_floor, "MODELS", ("linear", "fm_ordinal"))
    monkeypatch.setattr(noise_floor, "ROOT", tmp_path)
    assert noise_floor.main() == 0
    page = (tmp_path / "results" / "noise_floor.md").read_text()
    few, many = (
        float(c.split(" ")[0]) for c in lines_of(Section("", page), noise_floor.EXPECTED)[0][:2]
    )
    assert few == pytest.approx(100 * 10 / 36, rel=1e-3) and many == pytest.approx(
        few / 2, rel=1e-3
    )
    few, many = (float(c.split(" ")[0]) for c in lines_of(Section("", page), "fm_ordinal")[0][:2])
    assert 1 < many < few < 40
    assert (tmp_path / "results" / "noise_floor.png").stat().st_size > 1000
