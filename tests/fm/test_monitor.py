"""The progress bar; the rest of what happens between epochs is tested through the estimators."""

import io

import numpy as np
import pytest

from fm import FMRegressor


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stop", [3, 2])
def test_bar_on_a_terminal(monkeypatch, stop):
    """Drawn anew after each epoch, with the losses; its line ends with the fit."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    model = FMRegressor(solver="sgd", n_iter=3, verbose=True)
    model.callback = lambda epoch, _: epoch == stop
    model.fit(np.eye(4), np.arange(4.0))
    _, first, *_, last = stream.getvalue().split("\r")
    assert first.startswith("[######..............]    1  train_mse ")
    assert f"{model.history_['train_mse'][0]:.4f}" in first
    assert last.startswith("[####################]" if stop == 3 else "[#############.......]")
    assert stream.getvalue().count("\n") == 1 and last.endswith("\n")


def test_quiet_in_a_pipe_and_when_not_asked_for(monkeypatch):
    for stream, verbose in ((io.StringIO(), True), (Terminal(), False)):
        monkeypatch.setattr("sys.stderr", stream)
        FMRegressor(solver="sgd", n_iter=3, verbose=verbose).fit(np.eye(4), np.arange(4.0))
        assert stream.getvalue() == ""
