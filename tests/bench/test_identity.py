"""A run is the same exactly if its configuration, its data and the code it imports are the same."""

from __future__ import annotations

import importlib
import sys
from itertools import islice
from pathlib import Path

import pytest

from bench import identity
from bench.cli import main
from bench.identity import closure, code_targets, job_digest
from bench.sweep import plan
from bench.sweep.protocol import protocol
from bench.tracking import RunReader

OWN_MODEL = """
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
import own_shift

class Constant(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_ + own_shift.SHIFT)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of one's own, in which alone files change while a test runs."""
    (tmp_path / "constant_model.py").write_text(OWN_MODEL)
    (tmp_path / "own_shift.py").write_text("SHIFT = 0.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    read, project = identity._read.__wrapped__, identity._read

    def only_own_files_change(path: str, package: str) -> tuple[str, tuple[str, ...]]:
        return (read if Path(path).is_relative_to(tmp_path) else project)(path, package)

    monkeypatch.setattr(identity, "_read", only_own_files_change)
    monkeypatch.setattr(identity, "_git", lambda *_: None)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files of one size and one second
    _forget()
    return tmp_path


def _forget() -> None:
    """As a new process would begin."""
    for function in (identity.closure, identity.code_version, identity._versions):
        function.cache_clear()
    for name in ("constant_model", "own_shift"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def _source(name: str) -> str:
    _forget()
    return closure((name,)).digest


def test_code_is_what_the_run_and_the_model_import(own: Path) -> None:
    code = closure(("constant_model.Constant",))
    assert {
        "constant_model",
        "own_shift",
        "bench.run",
        "bench.metrics",
        "bench.data.splits",
    } <= set(code.modules)
    assert {"numpy", "scikit-learn", "python"} <= set(code.packages)
    outside = ("bench.report", "bench.tracking", "bench.studies", "bench.check", "bench.sweep")
    assert not [name for name in code.modules if name.startswith((*outside, "bench.cli"))]
    assert "matplotlib" not in code.packages and "mlflow" not in code.packages
    assert {"myfm"} < set(closure(("baselines.peers.myfm.X",)).packages)
    assert {"vowpalwabbit"} < set(closure(("baselines.VowpalWabbit",)).packages)
    surprise = closure(("baselines.peers.surprise.X",)).packages
    assert {"scikit-surprise", "surprise"} & set(surprise)  # or that it is not installed


def test_an_edit_of_the_model_or_of_what_it_imports_is_other_code(own: Path) -> None:
    before = _source("constant_model.Constant")
    (own / "own_shift.py").write_text("SHIFT = 1.0\n")
    edited = _source("constant_model.Constant")
    (own / "constant_model.py").write_text(OWN_MODEL + "\n")
    assert len({before, edited, _source("constant_model.Constant")}) == 3
    assert _source("fm.FMRegressor") == _source("fm.FMRegressor")


def test_another_version_of_numpy_is_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _source("fm.FMRegressor")
    real = identity.importlib.metadata.distribution

    class Upgraded:
        version = "99.0"

        def read_text(self, name: str) -> None:
            return None

    monkeypatch.setattr(
        identity.importlib.metadata,
        "distribution",
        lambda name: Upgraded() if name == "numpy" else real(name),
    )
    assert _source("fm.FMRegressor") != before
    _forget()


def test_how_data_are_read_is_no_part_of_a_run_but_what_was_read_is() -> None:
    code = {"source": "s"}
    runs = [{"model": {"l2": 1}, "data": {"path": path}} for path in ("a.csv", "b.csv")]
    assert len({job_digest(run, "same", code) for run in runs}) == 1
    assert len({job_digest(runs[0], data, code) for data in ("one", "two")}) == 2


def test_targets_are_found_wherever_they_stand() -> None:
    config = {
        "data": {"_target_": "bench.data.planted"},
        "split": {"_target_": "hydra.utils.get_method", "path": "own.split"},
        "model": {"_target_": "own.Bagging", "parts": [{"_target_": "own.Part"}], "k": 3},
    }
    assert code_targets(config) == ("own.Bagging", "own.Part", "own.split")


RATINGS = "user,item,rating\n" + "".join(
    f"{user},{item},{1 + (user * item + again) % 5}\n"
    for user in range(12)
    for item in range(8)
    for again in range(2)
)


def test_each_way_to_read_a_file_is_a_run_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(RATINGS)
    data = ["data=file", f"data.path={tmp_path / 'ratings.csv'}", "data.duplicates=first,last,mean"]
    (batch,) = islice(protocol(plan([*data, "split=random", "model=linear"], multirun=True)), 1)
    assert len({trial.digest for trial in batch}) == len(batch) == 3


@pytest.mark.slow
def test_an_edited_model_of_ones_own_is_computed_again(
    own: Path, capsys: pytest.CaptureFixture
) -> None:
    (own / "ratings.csv").write_text(RATINGS)
    arguments = ["model=linear", "~model.l2", "model._target_=constant_model.Constant"]
    arguments += ["data=file", f"data.path={own / 'ratings.csv'}", "split=random"]
    arguments += ["data.duplicates=first", f"results={own / 'results'}"]
    shown = []
    for shift in ("0.0", "0.0", "2.0"):
        (own / "own_shift.py").write_text(f"SHIFT = {shift}\n")
        _forget()
        assert main(arguments) == 0
        shown.append(capsys.readouterr().out)
    assert "already computed" in shown[1] and "already computed" not in shown[2]
    reader = RunReader(directory=str(own / "results"))
    (record,) = [r for r in reader.all_records("sweeps") if r.metrics["test/mse_raw"] > 5]
    covered = reader.code(record.run_id)
    assert "own_shift" in covered["modules"] and "numpy" in covered["packages"]
