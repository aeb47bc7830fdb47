"""What MLflow is given of an experiment, a sweep and a job: values, tags, Markdown, a view."""

from __future__ import annotations

import base64
import json
import re
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import yaml

from bench.metrics import Task, task_of
from bench.tables import MISSING, code, escaped
from bench.tracking.run_reader import CURVE, QUESTION
from bench.tracking.run_record import Experiment, Record, overrides_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

VIEW = "leaderboard"
"""Name of the saved view of an experiment's runs."""
MODE = "workflowType=machine_learning"
"""What makes MLflow show its pages of training, not those of language models."""
MAX_TEXT = 4000
"""Characters of a text; MLflow takes 5,000 in a tag and 6,000 in a parameter."""
_PARAM = re.compile(r"[\w.\-/ ]{1,250}")


def log(
    client: MlflowClient,
    run_id: str,
    params: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    curves: Mapping[str, Mapping[int, float]] | None = None,
    time: int = 0,
) -> None:
    """Log parameters, metrics and curves to a run in one call, all of the same time."""
    from mlflow.entities import Metric, Param

    logged = [Metric(name, value, time, 0) for name, value in (metrics or {}).items()]
    for name, curve in (curves or {}).items():
        logged += [Metric(CURVE + name, value, time, step) for step, value in curve.items()]
    pairs = [Param(key, value) for key, value in (params or {}).items()]
    client.log_batch(run_id, metrics=logged, params=pairs)


def data_input(about: Mapping[str, str]) -> DatasetInput:
    """Return the data set of a job (`job_entry`) as an input of its run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    facts = {key: value for key, value in about.items() if key != "context"}
    context = InputTag("mlflow.data.context", about["context"])
    return DatasetInput(Dataset(source_type="local", **facts), [context])


def source_tags(commit: str | None) -> dict[str, str]:
    """Return what MLflow's columns "User" and "Source" show."""
    tags = {"mlflow.source.name": "python -m bench", "mlflow.source.type": "LOCAL"}
    with suppress(KeyError, OSError):  # a user without a name
        tags["mlflow.user"] = getuser()
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def sweep_params(words: str) -> dict[str, str]:
    """Return what a sweep's command fixes and varies, by key."""
    pairs = (override.lstrip("+").partition("=") for override in overrides_of(words))
    return {key: value[:MAX_TEXT] for key, _, value in pairs if value and _PARAM.fullmatch(key)}


def run_description(record: Record, experiment_id: str, parent: str | None) -> str:
    """Return the Markdown that MLflow shows of a job: what it is, why it failed, its sweep."""
    tags = record.tags
    about = f"{code(record.model)} on {escaped(tags.get('data.source', MISSING))}"
    parts = [f"{about}, split {code(tags.get('split', MISSING))}."]
    if record.reason:
        parts.append(f"{record.status}:\n\n{_literal(record.reason)}")
    if parent is not None:
        parts.append(f"[Its sweep](#/experiments/{experiment_id}/runs/{parent}?{MODE})")
    return "\n\n".join(parts)


def sweep_description(
    experiment_id: str, sweep: str, words: str, best: str | None = None, report: str | None = None
) -> str:
    """Return the Markdown that MLflow shows of a sweep: its command, and where to read on.

    `best` is a run, `report` the run and the name of the file that is the report.
    """
    runs = f"#/experiments/{experiment_id}/runs"
    query = quote(f"tags.`sweep.{sweep}` = 'true'")
    links = [f"[Its runs]({runs}?{MODE}&searchFilter={query})"]
    if best is not None:
        links.append(f"[The chosen one]({runs}/{best}?{MODE})")
    if report is not None:
        links.append(f"[The report]({runs}/{report.replace('/', '/artifacts/')}?{MODE})")
    return f"{_literal(f'python -m bench {words}')}\n\n{', '.join(links)}"


def _literal(text: str) -> str:
    """Return a text from outside as a code block of Markdown."""
    return f"    {' '.join(text[:MAX_TEXT].split())}"


def experiment_tags(experiment: Experiment) -> dict[str, str]:
    """Return an experiment's description, the report's question and the saved view."""
    return {
        "mlflow.note.content": experiment.description,
        QUESTION: json.dumps(experiment.question),
        f"mlflow.sharedViewState.{VIEW}": saved_view(task_of(experiment.question)),
    }


def saved_view(task: Task) -> str:
    """Return the view of all runs, lowest error first, as MLflow's pages keep one.

    MLflow shows no metric by default; shown are the task's own.
    """
    names = (task.selection_metric, task.headline_metric, "time/fit_seconds")
    columns = [*(f"metrics.`{name}`" for name in names), "attributes.`Dataset`"]
    state = yaml.safe_load(Path(__file__).with_name("view.yaml").read_text("utf-8"))
    state |= {"orderByKey": columns[0], "selectedColumns": columns}
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    now = int(1000 * time.time())
    about = {"name": VIEW, "createdAt": now, "updatedAt": now}
    return json.dumps(about | {"state": f"deflate;{packed}"})


def pages(client: MlflowClient) -> dict[str, str]:
    """Return of each experiment the dashboard's page of its runs, lowest error first."""
    return {
        e.name: f"#/experiments/{e.experiment_id}/runs?{MODE}&viewStateShareKey={VIEW}"
        for e in client.search_experiments()
        if f"mlflow.sharedViewState.{VIEW}" in e.tags
    }
