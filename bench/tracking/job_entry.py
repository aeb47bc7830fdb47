"""What a job leaves behind: the entry of the result queue, and the files of its run."""

import json
import time
import traceback
from pathlib import Path

import numpy as np
import yaml

from bench.data.dataset import Dataset
from bench.errors import first_line
from bench.identity import closure, code_targets
from bench.measure import environment
from bench.metrics import TASKS
from bench.processes import this_process
from bench.run import Job, Pruned, Result
from bench.tracking.run_reader import CODE_FILE
from bench.tracking.run_record import Entry, Experiment, Record, Sweep, flatten

MAX_CURVE_POINTS = 500
MAX_COLUMNS = 200
"""In the schema of a data set."""
MAX_METRICS = 1000
"""Of one call to MLflow, all curves together."""


def entry_of(
    job: Job,
    outcome: Result | BaseException,
    experiment: Experiment,
    sweep: Sweep,
    name: str,
    digest: str,
    began: float,
) -> Entry:
    """Return the entry of a job and what came of it.

    It has the `name` of its run and the job's `digest`; a job that was given up has a digest of its
    own. It `began` so many seconds after 1970.
    """
    metrics, curves, reason, status = {}, {}, None, "FINISHED"
    if isinstance(outcome, Result):
        metrics, curves = outcome.metrics, outcome.curves
    elif isinstance(outcome, Pruned):
        reason, status = first_line(outcome), "PRUNED"
        curves = {TASKS[job.dataset.task].validation_curve: np.array(outcome.curve)}
    else:
        reason, status = first_line(outcome), "FAILED"
    points = min(MAX_CURVE_POINTS, (MAX_METRICS - len(metrics)) // max(1, len(curves)))
    record = Record(
        run_id="",
        name=name,
        model=job.names["model"],
        status=status,
        reason=reason,
        params={key: str(value) for key, value in flatten(job.config).items()},
        metrics={key: float(value) for key, value in metrics.items()},
        tags={
            "digest": digest,
            "seed": str(job.config.get("seed")),
            **job.names,
            **{f"code.{key}": value for key, value in job.code.items()},
            **{f"env.{key}": value for key, value in environment().items()},
            "threads": str(job.threads),
            "worker": this_process(),
            "simulated": str(job.dataset.simulated).lower(),
            "task": job.dataset.task,
            "data.digest": job.dataset.digest[:16],
            "data.source": job.dataset.source,
            "phase": "test" if job.test else "selection",
            **({"reason": reason} if reason else {}),
        },
        curves={key: _thinned(values, points) for key, values in curves.items()},
        began=int(1000 * began),
        ended=int(1000 * time.time()),
    )
    return Entry(experiment, sweep, record, _described(job.dataset, job.names["split"]))


def write_files(folder: Path, job: Job, outcome: Result | BaseException) -> None:
    """Write the configuration, what code it ran, and a test's predictions or a failure's trace."""
    (folder / "config.yaml").write_text(yaml.safe_dump(job.config, sort_keys=False), "utf-8")
    code = closure(code_targets(job.config))
    covered = {"modules": code.modules, "packages": code.packages}
    (folder / CODE_FILE).write_text(json.dumps(covered, indent=1), "utf-8")
    if isinstance(outcome, Result) and job.test:
        data, target = job.dataset, "rating" if job.dataset.task == "rating" else "target"
        rows = data.rows.iloc[outcome.rows][list({**dict.fromkeys(data.fields), data.target: None})]
        rows = rows.rename(columns={data.target: target})
        rows = rows.assign(prediction=outcome.prediction, **outcome.row_statistics)
        rows.to_csv(folder / "predictions.csv", index_label="row")
    elif isinstance(outcome, BaseException) and not isinstance(outcome, Pruned):
        text = "".join(traceback.format_exception(outcome))
        (folder / "traceback.txt").write_text(text, "utf-8")


def _thinned(values: np.ndarray, points: int) -> dict[int, float]:
    """At most so many points of a curve, by epoch from 1, the first and the last among them."""
    steps = np.unique(np.linspace(0, len(values) - 1, points).round().astype(int))
    return {int(step) + 1: float(values[step]) for step in steps} if len(values) else {}


def _described(data: Dataset, split: str) -> dict[str, str]:
    """Return a data set as MLflow describes one, with name and type of each column."""
    types = {"b": "boolean", "i": "long", "u": "long", "f": "double", "M": "datetime"}
    schema = [
        {"name": str(name), "type": types.get(dtype.kind, "string"), "required": True}
        for name, dtype in list(data.rows.dtypes.items())[:MAX_COLUMNS]
    ]
    profile = {"rows": len(data), "sha256": data.digest, "scale": list(data.scale)}
    return {
        "name": data.name + (" (simulated)" if data.simulated else ""),
        "digest": data.digest[:16],
        "source": json.dumps({"uri": data.source}),
        "schema": json.dumps({"mlflow_colspec": schema}),
        "profile": json.dumps(profile),
        "context": split,
    }
