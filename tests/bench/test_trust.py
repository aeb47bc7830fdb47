"""Nothing that comes from a store is executed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bench import models
from bench.cli import main
from bench.errors import UserError
from bench.sweep import composed, load_data
from bench.tracking import RunReader
from bench.tracking.models import register

pytestmark = pytest.mark.slow

TINY = ["data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunReader, str, Path]:
    """A store, a run in it, and the file that holds the run's configuration."""
    folder = tmp_path_factory.mktemp("results")
    assert main([*TINY, "model=fm_als", "model.n_iter=2", f"results={folder}"]) == 0
    reader = RunReader(directory=str(folder))
    (record,) = reader.all_records("sweeps_simulated")
    (path,) = (folder / "mlartifacts").rglob("config.yaml")
    return reader, record.run_id, path


@pytest.mark.parametrize("part", ["model", "split", "model.l2", "model.solver"])
def test_a_poisoned_configuration_is_not_instantiated(store, part: str, tmp_path: Path) -> None:
    reader, run_id, path = store
    before = path.read_text()
    config = yaml.safe_load(before)
    poison = {"_target_": "os.mkdir", "path": str(tmp_path / "executed")}
    group, _, key = part.partition(".")
    if key == "solver":
        config[group][key] = "${oc.env:HOME}"
    elif key:
        config[group][key] = poison
    else:
        config[group] = poison
    path.write_text(yaml.safe_dump(config))
    try:
        with pytest.raises(UserError, match="do not allow"):
            models.keep(reader, run_id, load_data(composed(TINY)))
    finally:
        path.write_text(before)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["../../evil", "fm_sgd,seed=1", "${oc.env:HOME}", "fm_sdg"])
def test_a_model_that_is_not_registered_here_is_refused(
    store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, run_id, _ = store
    run = reader.run(run_id)
    run = replace(run, tags=run.tags | {"model": name})
    monkeypatch.setattr(type(reader), "run", lambda *_: run)
    with pytest.raises(UserError, match="no model"):
        models.keep(reader, run_id, load_data(composed(TINY)))


def test_other_settings_than_those_of_the_run_are_refused(store) -> None:
    reader, run_id, path = store
    before = path.read_text()
    config = yaml.safe_load(before)
    config["model"]["l2"] = 77.0
    path.write_text(yaml.safe_dump(config))
    try:
        with pytest.raises(UserError, match="other code or settings"):
            models.keep(reader, run_id, load_data(composed(TINY)))
    finally:
        path.write_text(before)


def test_an_honest_run_is_fitted_again(store) -> None:
    reader, run_id, _ = store
    address = models.keep(reader, run_id, load_data(composed(TINY)))
    assert address.startswith("models:/")
    for _ in range(2):  # a sweep that is started again registers nothing twice
        assert register(reader, run_id, address, "fm_als-tiny") == "models:/fm_als-tiny@best"
    version = reader.client.get_model_version_by_alias("fm_als-tiny", "best")
    assert (version.run_id, int(version.version)) == (run_id, 1)
