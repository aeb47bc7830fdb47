"""What MLflow is given of an experiment and of a job: metrics, parameters, data and tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.metrics import task_of
from bench.tracking.dashboard_view import NAME, saved_view
from bench.tracking.queue_entry import Entry
from bench.tracking.run_reader import CURVE, QUESTION
from bench.tracking.run_record import Experiment

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param


def metrics_of(entry: Entry) -> list[Metric]:
    """Return the metrics of a job, and its curves step by step."""
    from mlflow.entities import Metric

    record = entry.record
    metrics = [Metric(name, value, entry.ended, 0) for name, value in record.metrics.items()]
    for name, curve in record.curves.items():
        metrics += [Metric(CURVE + name, v, entry.ended, step) for step, v in curve.items()]
    return metrics


def params_of(entry: Entry) -> list[Param]:
    """Return the parameters of a job."""
    from mlflow.entities import Param

    return [Param(key, value) for key, value in entry.record.params.items()]


def data_of(entry: Entry) -> DatasetInput:
    """Return the data set of a job that has one."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    about = dict(entry.data)
    context = InputTag("mlflow.data.context", about.pop("context"))
    return DatasetInput(Dataset(source_type="local", **about), [context])


def tags_of(entry: Entry) -> dict[str, str]:
    """Return the tags of a job, and those of its attempt, sweep and owner."""
    tags = {
        **entry.record.tags,
        "attempt": entry.attempt,
        f"sweep.{entry.sweep.id}": "true",
        "owner": entry.sweep.owner,
    }
    return tags | ({"pruned": "true"} if entry.record.status == "PRUNED" else {})


def experiment_tags(experiment: Experiment) -> dict[str, str]:
    """Return an experiment's description, the report's question and the saved view."""
    return {
        "mlflow.note.content": experiment.description,
        QUESTION: json.dumps(experiment.question),
        f"mlflow.sharedViewState.{NAME}": saved_view(task_of(experiment.question)),
    }
