"""Fitted models in MLflow: loaded with `mlflow.pyfunc.load_model` and served, without a pickle."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import pandas as pd

from bench.errors import UserError, first_line
from bench.identity import ROOT
from bench.tracking.run_reader import RunReader
from bench.tracking.store_address import redacted
from fm import deployment
from fm.deployment import Served

NAME = "model"
BEST = "best"
"""Alias of the version of a registered model that was best in the last sweep."""
REQUIRED = ("numpy", "scipy", "scikit-learn", "threadpoolctl", "pandas")


def log_model(store: RunReader, run_id: str, model: Served, example: pd.DataFrame) -> str:
    """Log a model that predicts for tables of raw ids, with its code (`fm`); return its address.

    The columns of the `example` are the model's signature.

    Raises
    ------
    UserError
        If the model cannot be saved, does not predict for the example, or is not taken.
    """
    import mlflow
    from mlflow.models import Model, infer_signature

    try:
        with _current(store, run_id), tempfile.TemporaryDirectory() as folder:
            deployment.save(model, folder)
            return Model.log(
                artifact_path=None,
                name=NAME,
                flavor=mlflow.pyfunc,
                run_id=run_id,
                loader_module=deployment.__name__,
                data_path=folder,
                code_paths=[str(ROOT / "fm")],
                signature=infer_signature(example, model.predict(example)),
                input_example=example,
                pip_requirements=[f"{package}=={version(package)}" for package in REQUIRED],
            ).model_uri
    except Exception as error:
        raise UserError(
            f"the model of run {run_id} cannot be logged: {redacted(first_line(error))}"
        ) from error


@contextmanager
def _current(store: RunReader, run_id: str) -> Iterator[None]:
    """Have MLflow use the store and a run's experiment for the body.

    It notes both in the environment, where other stores of this process would read them.
    """
    import mlflow

    before = {
        name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID")
    }
    mlflow.set_tracking_uri(store.uri)
    try:
        mlflow.set_experiment(experiment_id=store.client.get_run(run_id).info.experiment_id)
        yield
    finally:
        mlflow.set_tracking_uri(before["MLFLOW_TRACKING_URI"])  # type: ignore[arg-type]
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def register(store: RunReader, run_id: str, address: str, name: str) -> str:
    """Register a run's logged model as a version of `name`, once; return the address it then has.

    The version has the alias `best`, which an earlier one loses.
    """
    client = store.client
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    versions = client.search_model_versions(f"name = '{name}'")
    earlier = [v for v in versions if v.run_id == run_id]
    with _current(store, run_id):  # where the address is looked up
        version = earlier[0] if earlier else client.create_model_version(name, address, run_id)
    client.set_registered_model_alias(name, BEST, version.version)
    return f"models:/{name}@{BEST}"
