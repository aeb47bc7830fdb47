"""What a single run shows on a terminal."""

import sys

import pytest

from bench.progress import Epochs
from fm import FMRegressor


def test_epochs_and_the_time_left_are_shown_on_a_terminal(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 2.0, 4.0, 10.0, 10.0, 13.0])
    monkeypatch.setattr("bench.progress.time.monotonic", lambda: next(clock))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show, model = Epochs(), FMRegressor(n_iter=4)
    show(1, model)
    show(2, model)
    shown = capsys.readouterr().err
    assert "[##########..........] epoch 2 of 4, 4 s left" in shown
    show(1, model)  # of the refit, at 10 s
    show(2, model)
    assert "epoch 2 of 4, 3 s left" in capsys.readouterr().err
    show(3, model.set_params(n_iter=None))
    assert "epoch 3\x1b" in capsys.readouterr().err


def test_nothing_is_shown_in_a_pipe(capsys: pytest.CaptureFixture) -> None:
    Epochs()(1, FMRegressor(n_iter=4))
    assert capsys.readouterr().err == ""
