"""Fitted models in MLflow: what can be loaded with `mlflow.pyfunc.load_model` and served, without a pickle."""

from __future__ import annotations

import tempfile
from importlib.metadata import version

import pandas as pd

from bench.identity import ROOT
from bench.tracking.store import Store
from fm import deployment
from fm.deployment import Served

NAME = "model"
REQUIRED = ("numpy", "scipy", "scikit-learn", "threadpoolctl", "pandas")


def log_model(store: Store, run_id: str, model: Served, example: pd.DataFrame) -> str:
    """Logs `model` to a run, with its code (`fm`), its signature and `example` rows; returns its address."""
    import mlflow
    from mlflow.models import Model, infer_signature

    mlflow.set_tracking_uri(store.uri)
    mlflow.set_experiment(experiment_id=store.client.get_run(run_id).info.experiment_id)
    with tempfile.TemporaryDirectory() as folder:
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
