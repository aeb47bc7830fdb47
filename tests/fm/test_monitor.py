"""The progress bar; the rest of what happens between epochs is tested through the estimators."""

import io

import numpy as np

from fm import FMRegressor
from fm.monitor import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_on_a_terminal():
    stream = Terminal()
    progress = Progress(4, stream)
    progress.show(1, {"train_mse": 0.5})
    progress.show(2, {"train_mse": 0.25})
    progress.close()
    first, second = stream.getvalue().split("\r")[1:]
    assert "#####..............." in first and "train_mse 0.5000" in first
    assert "##########.........." in second and second.endswith("\n")


def test_quiet_in_a_pipe():
    stream = io.StringIO()
    progress = Progress(1, stream)
    progress.show(1, {"train_mse": 0.5})
    progress.close()
    assert stream.getvalue() == ""


def test_bar_only_when_asked_for(monkeypatch):
    for verbose, lines in ((False, 0), (True, 1)):
        stream = Terminal()
        monkeypatch.setattr("sys.stderr", stream)
        FMRegressor(solver="sgd", n_iter=3, verbose=verbose).fit(np.eye(4), np.arange(4.0))
        assert stream.getvalue().count("\n") == lines
