"""A sweep's best model: loaded and served it predicts what it predicted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from bench.cli import main
from bench.identity import ROOT
from bench.models import served_model
from bench.run import Job, Result, run
from bench.sweep import composed, composed_job
from bench.tracking import Experiment, RunReader
from bench.ui import free_port
from fm import Block, FMClassifier, FMOrdinal, FMRegressor
from fm.deployment import Served, Source, load, save
from fm.design import Design

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
"""Where MLflow's scoring server looks for uvicorn, whether or not the environment is activated."""
USERS, ITEMS, DAYS = np.array([10, 30, 20]), np.array(["b", "a"]), np.array([17, 3])


@pytest.mark.parametrize("make", [FMRegressor, FMOrdinal, FMClassifier])
def test_raw_ids_give_what_the_design_gave(make, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    levels = [rng.integers(0, n, 60) for n in (3, 2, 2)]
    X = Design(
        [
            Block("user", levels[0], 3, side_features=np.eye(3)[:, :2], labels=USERS),
            Block("item", levels[1], 2, labels=ITEMS),
            Block("day", levels[2], 2, labels=DAYS),
        ]
    )
    y = rng.integers(1, 3 if make is FMClassifier else 4, 60).astype(float)
    model = make(k=2, n_iter=5, random_state=0).fit(X, y)

    def expected(X: Design) -> np.ndarray:
        return model.predict_proba(X)[:, 1] if make is FMClassifier else model.predict(X)

    sources = [[Source("user")], [Source("item")], [Source("timestamp", 86_400)]]
    save(Served(model, X.blocks, sources), tmp_path)
    table = {
        "user": USERS[levels[0]],
        "item": ITEMS[levels[1]],
        "timestamp": DAYS[levels[2]] * 86_400 + 5,
    }
    np.testing.assert_array_equal(load(tmp_path).predict(table), expected(X))
    unknown = {name: np.array([column.dtype.type(0)]) for name, column in table.items()}
    nobody = Design([Block(b.name, [-1], b.n_levels, side_features=b.side_features) for b in X])
    np.testing.assert_array_equal(load(tmp_path).predict(unknown), expected(nobody))


@pytest.mark.parametrize("features", ["device,price", "device,tags,price:standardized"])
def test_records_of_named_columns_give_what_the_run_gave(features: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    price = rng.normal(size=80)
    price[rng.random(80) < 0.1] = np.nan
    rows = pd.DataFrame(
        {
            "device": rng.choice(["phone", "tv", None], 80),
            "price": price,
            "tags": rng.choice(["new|red", "red", "", "big|new|red"], 80),
            "click": rng.integers(0, 2, 80),
        }
    )
    rows.to_csv(tmp_path / "clicks.csv", index=False)
    words = ["data=table", f"data.path={tmp_path}/clicks.csv", "data.target=click"]
    words += ["data.fields=[device]", "data.numeric=[price]", "data.bags=[tags]", "split=random"]
    words += [f"features.names=[{features}]", "features.min_count=7"]
    asked = rows.assign(tags=rows["tags"].str.split("|"))
    for model in (["model=fm_gibbs", "model.n_iter=5"], ["model=logistic"]):
        _, result, served = ran([*words, *model])
        assert isinstance(served, Served)
        assert_answers(served, tmp_path, asked.iloc[result.rows], result.prediction)


PLANTED = ["data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000"]
CLICKS = ["data=planted_clicks", "data.n_rows=400"]
SHORT = ["model.n_iter=5"]


@pytest.mark.parametrize(
    "words",
    [
        [*PLANTED, "model=linear", "features=implicit"],
        [*PLANTED, "model=linear", "features=crossed"],
        [*PLANTED, "model=mf", *SHORT],
        [*PLANTED, "model=nmf", *SHORT],
        [*PLANTED, "model=quadratic", "features.names=[ids,day,sessions]"],
        [*PLANTED, "model=fm_ordinal", "features=all", *SHORT],
        [*PLANTED, "model=fm_als", "features=cyclic", *SHORT],
        [*PLANTED, "model=fm_gibbs", "features=sessions", "features.min_count=15", *SHORT],
        [*PLANTED, "model=quadratic", "features=day", "features.min_count=20"],
        [*CLICKS, "model=base_rate"],
        [*CLICKS, "model=logistic"],
        [*CLICKS, "model=lookup"],
    ],
    ids=lambda words: f"{words[-2] if words[-1] in SHORT else words[-1]}",
)
def test_every_model_of_ours_answers_a_table_with_the_runs_predictions(
    words: list[str], tmp_path: Path
) -> None:
    job, result, served = ran(words)
    assert isinstance(served, Served), served
    rows = job.dataset.rows.iloc[result.rows]
    assert_answers(served, tmp_path, rows, result.prediction)
    fields = list(job.dataset.fields)
    strangers = rows.iloc[:1].drop(columns=fields).assign(**dict.fromkeys(fields, "nobody"))
    assert np.isfinite(load(tmp_path).predict(strangers)).all()


def test_linear_model_of_scikit_learn_is_served(tmp_path: Path) -> None:
    job, result, _ = ran([*CLICKS, "model=base_rate"])
    X, y = result.fitted[1].to_csr(), job.dataset.y
    model = LogisticRegression().fit(X, y)
    served = served_model(job, model)
    assert isinstance(served, Served), served
    assert_answers(served, tmp_path, job.dataset.rows, model.predict_proba(X)[:, 1])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([*PLANTED, "model=quadratic", "features=implicit"], "pairs of side features"),
        ([*CLICKS, "model=lookup", "features.min_count=50"], "with unknown levels"),
        ([*CLICKS, "model=quadratic_logistic", "model.bits=4"], "is no factorization machine"),
    ],
)
def test_what_cannot_be_served_says_why(words: list[str], reason: str) -> None:
    assert reason in ran(words)[2]


def ran(words: list[str]) -> tuple[Job, Result, Served | str]:
    """What a command line computes, and its model as it is served."""
    cfg = composed(words)
    job = composed_job(cfg)
    result = run(job)
    return job, result, served_model(job, result.fitted[0])


def assert_answers(served: Served, folder: Path, table: pd.DataFrame, expected: np.ndarray) -> None:
    save(served, folder)
    np.testing.assert_allclose(load(folder).predict(table), expected, rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunReader, str, str]:
    """The store, the best run of a sweep and the address of its model."""
    folder = tmp_path_factory.mktemp("results")
    models = ["model=fm_als,fm_gibbs", "model.n_iter=5"]
    assert main(["-m", *PLANTED, *models, f"results={folder}"]) == 0
    evidence = RunReader(directory=str(folder))
    found = [
        r for r in evidence.records(Experiment("sweeps_simulated", "")) if "model.logged" in r.tags
    ]
    assert len(found) == 1
    return evidence, found[0].run_id, found[0].tags["model.logged"]


def test_loaded_model_predicts_what_the_run_did_and_holds_no_pickle(
    best, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    evidence, run_id, address = best
    monkeypatch.setenv("MLFLOW_TRACKING_URI", evidence.uri)
    rows = evidence.predictions(run_id)
    loaded = mlflow.pyfunc.load_model(address)
    np.testing.assert_allclose(
        loaded.predict(rows[["user", "item"]]), rows["prediction"], rtol=0, atol=1e-12
    )
    assert (
        loaded.metadata.signature is not None
        and loaded.metadata.load_input_example(None) is not None
    )
    (model,) = evidence.client.get_run(run_id).outputs.model_outputs
    assert model.model_id in address and not (ROOT / "mlruns").exists()
    assert not (ROOT / "mlflow.db").exists()
    folder = Path(mlflow.artifacts.download_artifacts(address))
    assert not [file for file in folder.rglob("*") if file.suffix in (".pkl", ".pickle", ".joblib")]


def test_served_model_answers_with_the_same_number(best) -> None:
    evidence, run_id, address = best
    row = evidence.predictions(run_id).iloc[0]
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        address,
        "--env-manager",
        "local",
    ]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        env=os.environ
        | {"MLFLOW_TRACKING_URI": evidence.uri, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        table = pd.DataFrame([{"user": int(row["user"]), "item": int(row["item"])}])
        body = json.dumps({"dataframe_split": table.to_dict("split")}).encode()
        answer = ask(f"http://127.0.0.1:{port}/invocations", body)
        np.testing.assert_allclose(answer["predictions"], [row["prediction"]], rtol=0, atol=1e-12)
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)


def ask(address: str, body: bytes) -> dict:
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())
        except OSError:
            assert time.monotonic() < deadline, "the server did not answer"
            time.sleep(0.5)
