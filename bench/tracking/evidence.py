"""What a tracked job left besides numbers, and what is known of sweeps and experiments."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from bench.errors import UserError
from bench.tracking.reading import Reader
from bench.tracking.run_record import Experiment, Record
from fm.params import nearest


@dataclass(frozen=True)
class Data:
    """The ratings of a job: first digits of their digest, where they are from, their scale."""

    digest: str
    source: str
    scale: tuple[float, float]


@dataclass(frozen=True)
class Parent:
    """A sweep as its parent run tells it; the words of its command; `planned` jobs, None if not known."""

    sweep: str
    words: str
    planned: int | None


class Evidence(Reader):
    """What a report is made of. Large things are read when asked for: it looks at few of many runs."""

    def jobs(self, experiment: Experiment, sweep: str | None = None) -> list[Record]:
        """Every job of an experiment, or of a sweep: the newest attempt at each, ordered by name. A run that
        another process is writing is none yet."""
        query = f"tags.`sweep.{sweep}` = 'true'" if sweep else "tags.digest != ''"
        query += " and attributes.status != 'RUNNING'"
        newest = {}
        for run in self.search(self.experiment_id(experiment), query):
            newest.setdefault(run.data.tags["digest"], run)
        records = [self.record(run, with_predictions=False) for run in newest.values()]
        return sorted(records, key=lambda record: (record.name, record.tags["digest"]))

    def data(self, run_id: str) -> Data:
        """What a job was computed on."""
        data = self.client.get_run(run_id).inputs.dataset_inputs[0].dataset
        low, high = json.loads(data.profile)["scale"]
        return Data(data.digest, json.loads(data.source)["uri"], (low, high))

    def predictions(self, run_id: str) -> pd.DataFrame:
        """Of each test row (the index): `user`, `item`, `rating`, `prediction`, in how many training rows its
        user and its item are (`user_ratings`, `item_ratings`), and `std` where the model knows one."""
        with tempfile.TemporaryDirectory() as folder:
            return pd.read_csv(self._downloaded(run_id, "predictions.csv", folder), index_col="row")

    def config(self, run_id: str) -> dict[str, object]:
        """The resolved configuration of a job."""
        with (
            tempfile.TemporaryDirectory() as folder,
            open(self._downloaded(run_id, "config.yaml", folder)) as file,
        ):
            return yaml.safe_load(file)

    def tags(self, run_id: str) -> dict[str, str]:
        """UserError if there is no such run."""
        from mlflow.exceptions import MlflowException

        try:
            return dict(self.client.get_run(run_id).data.tags)
        except MlflowException as error:
            raise UserError(f"there is no run {run_id!r} in {self.uri}") from error

    def curves(self, run_id: str) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Learning curves by name: epochs and values."""
        names = [
            name for name in self.client.get_run(run_id).data.metrics if name.startswith("curve/")
        ]
        found = {}
        for name in sorted(names):
            points = sorted((m.step, m.value) for m in self.client.get_metric_history(run_id, name))
            found[name.removeprefix("curve/")] = tuple(np.array(points, dtype=np.float64).T)
        return found

    def experiment(self, name: str) -> Experiment:
        """The experiment of that name; UserError names those there are."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            known = sorted(e.name for e in self.client.search_experiments() if e.name != "Default")
            raise UserError(
                f"there is no experiment {name!r}{nearest(name, known)}; tracked are: {', '.join(known) or 'none'}"
            )
        description = found.tags.get("mlflow.note.content", "")
        return Experiment(name, description, json.loads(found.tags.get("question", "{}")))

    def parent(self, run_id: str) -> tuple[Experiment, Parent] | None:
        """The sweep whose parent run this is, and its experiment; None if it is no parent run."""
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return None
        if run.data.tags.get("role") != "sweep":
            return None
        name = self.client.get_experiment(run.info.experiment_id).name
        return self.experiment(name), Parent(
            run.data.tags["sweep"],
            run.data.tags["mlflow.note.content"],
            planned_in(run.info.run_name),
        )

    def _downloaded(self, run_id: str, path: str, folder: str) -> str:
        return self.client.download_artifacts(run_id, path, folder)


def planned_in(name: str) -> int | None:
    """How many jobs a sweep of that name (`13 runs`) has planned."""
    found = re.match(r"(\d+) runs?", name)
    return int(found[1]) if found else None
