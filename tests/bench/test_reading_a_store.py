"""A store is read whatever its disk or database is like, and reading writes nothing."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import UserError
from bench.run import Pruned
from bench.tracking import MLflowTracker, Record, RunReader
from bench.tracking.local_store import damage_of, read_runs
from tests.bench.test_tracking import EXPERIMENT, job, sweep, track

pytestmark = pytest.mark.slow


def test_a_store_on_a_read_only_disk_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    path = shutil.copy(empty_store, tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert damage_of(Path(path)) is None and read_runs(Path(path)) == []
    assert [file.name for file in tmp_path.iterdir()] == [Path(path).name], "nothing is made"


def test_runs_are_read_without_mlflow_as_with_it(store: MLflowTracker) -> None:
    track(store, job(1.0), sweep("s"))
    track(store, job(2.0), sweep("s"), Pruned([2.0, 1.5]))
    track(store, job(3.0), sweep("t"), ValueError("no"))
    odd = track(store, job(4.0), sweep("s")).run_id
    for name, value in (("nan", np.nan), ("inf", np.inf), ("low", -np.inf)):
        store.client.log_metric(odd, name, value)
    store.client.delete_run(track(store, job(5.0), sweep("s")).run_id)
    reader = RunReader(directory=str(store.directory))
    read = reader.all_records()
    assert "client" not in vars(reader)
    experiment_id = store.experiment_id(EXPERIMENT.name)
    searched = [
        Record.of_mlflow(run, EXPERIMENT.name)
        for run in store.search([experiment_id], "tags.digest != ''")
    ]
    assert [r.run_id for r in read] == [r.run_id for r in searched] and len(read) == 4
    for one, other in zip(read, searched, strict=True):
        assert repr({n: one.metrics[n] for n in sorted(one.metrics)}) == repr(
            {n: other.metrics[n] for n in sorted(other.metrics)}
        )
        assert replace(one, metrics={}, tags={}) == replace(other, metrics={}, tags={})
        assert one.tags == other.tags


def test_reading_writes_nothing(tmp_path: Path) -> None:
    reader = RunReader(directory=str(tmp_path / "none"))
    with pytest.raises(UserError, match="nothing was tracked into it yet"):
        reader.records(EXPERIMENT)
    assert not list(tmp_path.iterdir())


def test_opening_a_store_forgets_nothing_of_another(store: MLflowTracker) -> None:
    track(store, job(), sweep("s"))
    other = MLflowTracker(f"sqlite:///{store.directory}/other.db", str(store.directory))
    assert other.prepare(EXPERIMENT)(job().digest) is None
    assert other.settled(EXPERIMENT, job().digest) is None
    assert store.settled(EXPERIMENT, job().digest) is not None


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "other", "overwritten"])
def test_a_broken_database_is_one_sentence(
    store: MLflowTracker, empty_store: Path, damage: str
) -> None:
    whole = empty_store.read_bytes()
    content = {
        "truncated": whole[: len(whole) // 2],
        "garbage": os.urandom(10_000),
        "empty": b"",
        "other": b"SQLite format 3\0" + bytes(100),
        "overwritten": whole[:4096] + os.urandom(8192) + whole[12288:],
    }
    store.database.write_bytes(content[damage])
    for use in (lambda: store.prepare(EXPERIMENT), lambda: store.client):
        with pytest.raises(UserError, match=r"no usable MLflow database .*restore a") as raised:
            use()
        assert "\n" not in str(raised.value)
