"""What a single run shows on a terminal."""

import sys

import pytest

from bench.progress import Epochs
from fm import FMRegressor


def test_epochs_and_the_time_left_are_shown_on_a_terminal(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show, model = Epochs(), FMRegressor(n_iter=4)
    show(1, model)
    show(4, model)
    assert "4/4 [" in capsys.readouterr().err
    show(1, model)  # of the refit
    assert "0/4 [" in capsys.readouterr().err
    show.close()
    assert capsys.readouterr().err.endswith("\r")


def test_nothing_is_shown_in_a_pipe(capsys: pytest.CaptureFixture) -> None:
    Epochs()(1, FMRegressor(n_iter=4))
    assert capsys.readouterr().err == ""
