"""What Hydra offers on the command line works or is refused in one sentence, never ignored."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bench.cli import main

pytestmark = pytest.mark.slow

TINY = ["data=planted", "data.n_users=40", "data.n_items=40", "data.n_ratings=800", "model=linear"]
OWN = {
    "model/mine.yaml": "_target_: baselines.RidgeRegression\nl2: 3\n",
    "own.yaml": "defaults: [config, _self_]\nmodel: {l2: 7}\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hydra")
    for name, text in OWN.items():
        path = folder / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run(folder: Path, *words: str) -> int:
    words = tuple(word.format(conf=folder / "conf", folder=folder) for word in words)
    return main([*TINY, "keep_model=false", f"results={folder / 'results'}", *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.mode=RUN"], "[1/1] linear (simulated)"),
        (["~search"], "[1/1] linear (simulated)"),
        (["-m", "hydra.sweeper.params={{model.l2: '1,2'}}"], "[2/2] linear l2=2"),
        (["-m", "+hydra.sweeper.params.model.l2='1,2'"], "[2/2] linear l2=2"),
        (["--config-dir", "{conf}", "-cn", "own", "-m", "seed=0,1"], "linear seed=1"),
        (["--config-dir={conf}", "model=mine"], "[1/1] mine (simulated)"),
        (["hydra.searchpath=[file://{conf}]", "model=mine"], "[1/1] mine (simulated)"),
    ],
)
def test_options_that_work(
    folder: Path, capsys: pytest.CaptureFixture, words: list[str], said: str
) -> None:
    assert run(folder, *words) == 0
    shown = capsys.readouterr()
    assert said in shown.out and shown.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.sweep.dir={folder}"], "hydra.sweep.dir is for launchers of other processes"),
        (["search=null", "experiment=peers"], "search=null: search is chosen by a name"),
        (["~search", "experiment=peers"], "but no search: search=default"),
        (["-m", "model=linear,null"], "model=linear,null: model is chosen by a name"),
        (["data=1"], "data=1: data is chosen by a name"),
        (["split="], "split=: split is chosen by a name"),
        (["model._target_=builtins.dict"], "dict is not derived from sklearn.base.BaseEstimator"),
        (["~features"], "~features: every run has a features; choose one, features=NAME"),
        (["hydra.run.dir=x"], "hydra.run.dir changes nothing here"),
        (["hydra.sweep.subdir=x"], "hydra.sweep.subdir changes nothing here"),
        (["hydra.output_subdir=.hydra"], "hydra.output_subdir changes nothing here"),
        (["hydra.job.chdir=true"], "hydra.job.chdir changes nothing here"),
        (["hydra.verbose=[bench.test]"], "hydra.verbose, hydra/job_logging: runs write no log"),
        (["hydra/job_logging=default"], "hydra.verbose, hydra/job_logging: runs write no log"),
        (["-m", "seed=0,1", "hydra/sweeper=basic"], "sweeps need hydra/sweeper=protocol"),
        (["hydra.sweep.dirr=x"], "(did you mean 'hydra.sweep.dir'?)"),
        (["hydra/job_logging=nope"], "there is no hydra/job_logging 'nope'"),
        (["hydra/launcher=nope"], "there is no hydra/launcher 'nope'"),
        (["hydra/sweeper=nope"], "sweeps need hydra/sweeper=protocol"),
        (["hydra.mode=nope"], "cannot compose the configuration"),
        (["-cn", "nope"], "there is no configuration 'nope'"),
        (["--config-dir", "{folder}/cnf"], "--config-dir: there is no folder"),
        (["--config-dir={folder}/cnf"], "--config-dir: there is no folder"),
        (["--config-path", "{conf}"], "give --config-dir"),
        (["--config-dir", "{conf}", "model=mien"], "there is no model 'mien' (did you mean 'mine'"),
        (["--config-dir", "{conf}", "model.l3=3"], "model.l3"),
        (["hydra.searchpath=[file://{folder}/cnf]"], "hydra.searchpath: there is no folder"),
        (["hydra.sweeper.params={{model.l2: '1,2'}}"], "has several values: a sweep needs -m"),
        (["--resolve"], "--resolve goes with --cfg"),
        (["-p", "model"], "-p goes with --cfg"),
        (["results="], "results= names no folder"),
    ],
)
def test_options_that_are_refused(
    folder: Path, capsys: pytest.CaptureFixture, words: list[str], said: str
) -> None:
    assert run(folder, *words) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


def test_options_may_stand_behind_overrides(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(folder, "model.l2=9", "--cfg", "job", "--package", "model") == 0
    assert "l2: 9" in capsys.readouterr().out
    for name in logging.root.manager.loggerDict:  # what an earlier run in this process turned off
        logging.getLogger(name).disabled = False
    assert run(folder, "--info", "searchpath") == 0
    assert "Config search path" in capsys.readouterr().out
