"""An entry of the result queue: a job that ended, and what it leaves behind."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import yaml

from bench.data.dataset import Dataset
from bench.errors import UserError, first_line
from bench.identity import closure, code_targets
from bench.measure import environment
from bench.processes import this_process
from bench.run import Job, Pruned, Result
from bench.tracking.run_record import Experiment, Record, Sweep, flatten

CODE_FILE = "code.json"
"""What of the code a run's digest covers."""
MAX_CURVE_POINTS = 500
MAX_METRICS = 1000
"""Of one call to MLflow, all curves together."""


class DamagedFileError(Exception):
    """A file of the queue that cannot be read; the message says why."""


@dataclass(frozen=True)
class Entry:
    """A job that ended.

    `began` and `ended` are in ms since 1970; `data` describes the data set to MLflow; `attempt`
    names this execution of the job; `store` is the store it is for, as the queue names it.
    """

    experiment: Experiment
    sweep: Sweep
    record: Record
    began: int
    ended: int
    data: dict[str, str]
    attempt: str = field(default_factory=lambda: uuid4().hex[:12])
    store: str = ""

    def to_json(self) -> str:
        """Return the entry as `read` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, path: Path) -> Entry | None:
        """Return the entry in a file, None where there is no such file.

        Raises
        ------
        DamagedFileError
            If the file cannot be read as an entry.
        """
        try:
            parts = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DamagedFileError(first_line(error)) from error
        try:
            record = Record(**parts["record"])
            curves = {n: {int(s): v for s, v in c.items()} for n, c in record.curves.items()}
            parts["record"] = replace(record, curves=curves)
            parts["experiment"] = Experiment(**parts["experiment"])
            parts["sweep"] = Sweep(**parts["sweep"])
            return cls(**parts)
        except (AttributeError, KeyError, TypeError, ValueError, UserError) as error:
            raise DamagedFileError(f"not an entry of this version: {first_line(error)}") from error


def entry_of(
    job: Job,
    outcome: Result | BaseException,
    *,
    experiment: Experiment,
    sweep: Sweep,
    name: str,
    digest: str,
    began: float,
) -> Entry:
    """Return the entry of a job and what came of it.

    Parameters
    ----------
    job : Job
        What was computed.
    outcome : Result or BaseException
        What came of it.
    experiment, sweep : Experiment, Sweep
        What it was computed for.
    name : str
        The run's name.
    digest : str
        The job's; a job that was given up has one of its own.
    began : float
        When it began, in seconds since 1970.
    """
    metrics, curves, reason, status = {}, {}, None, "FINISHED"
    if isinstance(outcome, Result):
        metrics, curves = outcome.metrics, outcome.curves
    else:
        reason = first_line(outcome)
        status = "PRUNED" if isinstance(outcome, Pruned) else "FAILED"
        curves = {"validation_mse": np.array(outcome.curve)} if isinstance(outcome, Pruned) else {}
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
    )
    data = _described(job.dataset, job.names["split"])
    return Entry(experiment, sweep, record, int(1000 * began), int(1000 * time.time()), data)


def write_files(folder: Path, job: Job, outcome: Result | BaseException) -> None:
    """Write the configuration, what code it ran, and a test's predictions or a failure's trace."""
    (folder / "config.yaml").write_text(yaml.safe_dump(job.config, sort_keys=False), "utf-8")
    code = closure(code_targets(job.config))
    covered = {"modules": code.modules, "packages": code.packages}
    (folder / CODE_FILE).write_text(json.dumps(covered, indent=1), "utf-8")
    if isinstance(outcome, Result) and job.test:
        ratings = _tested_rows(job.dataset, outcome.rows)
        ratings = ratings.assign(prediction=outcome.prediction, **outcome.row_statistics)
        ratings.to_csv(folder / "predictions.csv", index_label="row")
    elif isinstance(outcome, BaseException) and not isinstance(outcome, Pruned):
        text = "".join(traceback.format_exception(outcome))
        (folder / "traceback.txt").write_text(text, "utf-8")


def _tested_rows(data: Dataset, rows: np.ndarray) -> pd.DataFrame:
    """Fields and target of the tested rows; the target is called `rating` or `target`."""
    target = "rating" if data.task == "rating" else "target"
    names = {**dict.fromkeys(data.fields), data.target: None}
    return data.rows.iloc[rows][list(names)].rename(columns={data.target: target})


def _thinned(values: np.ndarray, points: int) -> dict[int, float]:
    """At most so many points of a curve, by epoch from 1, the first and the last among them."""
    steps = np.unique(np.linspace(0, len(values) - 1, points).round().astype(int))
    return {int(step) + 1: float(values[step]) for step in steps} if len(values) else {}


def _described(data: Dataset, split: str) -> dict[str, str]:
    profile: Mapping[str, object] = {
        "ratings": len(data),
        "sha256": data.digest,
        "scale": list(data.scale),
    }
    return {
        "name": data.name + (" (simulated)" if data.simulated else ""),
        "digest": data.digest[:16],
        "source": json.dumps({"uri": data.source}),
        "profile": json.dumps(profile),
        "context": split,
    }
