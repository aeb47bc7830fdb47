"""What MLflow is given of an experiment and of a job: metrics, parameters, data and tags."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from getpass import getuser
from typing import TYPE_CHECKING
from urllib.parse import quote

from bench.metrics import task_of
from bench.tables import MISSING, code, escaped
from bench.tracking.dashboard_view import MODE, NAME, saved_view
from bench.tracking.queue_entry import Entry
from bench.tracking.run_reader import CURVE, QUESTION
from bench.tracking.run_record import Experiment, Record, overrides_of

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param

MAX_TEXT = 4000
"""Characters of a text; MLflow takes 5,000 in a tag and 6,000 in a parameter."""
_PARAM = re.compile(r"[\w.\-/ ]{1,250}")


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
        **source_tags(entry.record.tags.get("code.commit")),
        **entry.record.tags,
        "attempt": entry.attempt,
        f"sweep.{entry.sweep.id}": "true",
        "owner": entry.sweep.owner,
    }
    return tags | ({"pruned": "true"} if entry.record.status == "PRUNED" else {})


def source_tags(commit: str | None) -> dict[str, str]:
    """Return what MLflow's columns "User" and "Source" show."""
    tags = {"mlflow.source.name": "python -m bench", "mlflow.source.type": "LOCAL"}
    with suppress(KeyError, OSError):  # a user without a name
        tags["mlflow.user"] = getuser()
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def sweep_params(words: str) -> list[Param]:
    """Return what a sweep's command fixes and varies, by key."""
    from mlflow.entities import Param

    pairs = (override.lstrip("+").partition("=") for override in overrides_of(words))
    return [
        Param(key, value[:MAX_TEXT]) for key, _, value in pairs if value and _PARAM.fullmatch(key)
    ]


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
        f"mlflow.sharedViewState.{NAME}": saved_view(task_of(experiment.question)),
    }
