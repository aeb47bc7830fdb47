"""A sweep and its jobs, written as they happen."""

from __future__ import annotations

import json
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

from bench.data.dataset import Dataset
from bench.errors import first_line
from bench.figures import learning_curve
from bench.identity import code_version
from bench.measure import environment
from bench.run import Job, Result
from bench.track.reading import Reader
from bench.track.records import Experiment, flatten

MAX_CURVE_POINTS = 500
STOPPED = (KeyboardInterrupt, SystemExit)


class MLflowTracker(Reader):
    """Writes what `Reader` reads."""

    def begin_sweep(self, experiment: Experiment, sweep: str, name: str, description: str) -> str:
        """Run id of the sweep's parent run: the one there is, or a new one."""
        experiment_id = self.experiment_id(experiment)
        found = self.search(experiment_id, f"tags.role = 'sweep' and tags.sweep = '{sweep}'")
        if found:
            self.client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        tags = {"role": "sweep", "sweep": sweep, "mlflow.note.content": description}
        return self.client.create_run(experiment_id, tags=tags, run_name=name).info.run_id

    def log_sweep(self, run_id: str, metrics: Mapping[str, float], files: list[Path]) -> None:
        """Gives the parent run its best job's `metrics` (curves are the children's) and the report's `files`."""
        for path in files:
            self.client.log_artifact(run_id, str(path))
        self._log_metrics(run_id, {n: v for n, v in metrics.items() if not n.startswith("curve/")}, {})

    def end(self, run_id: str, status: str) -> None:
        """Closes a run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(run_id, status)

    def join(self, run_id: str, sweep: str) -> None:
        """Makes a finished job a part of a further sweep."""
        self.client.set_tag(run_id, f"sweep.{sweep}", "true")

    @contextmanager
    def job(
        self, experiment: Experiment, job: Job, name: str, sweep: str | None, parent: str | None
    ) -> Iterator[str]:
        """Tracks the body as a run and yields its id: FINISHED when the body ends, FAILED with the
        reason when it raises, KILLED when it is stopped."""
        tags = {
            "digest": job.digest,
            "seed": str(job.config.get("seed")),
            **job.names,
            **{f"code.{key}": value for key, value in code_version().items()},
            **{f"env.{key}": value for key, value in environment().items()},
            "threads": str(job.threads),
            "simulated": str(job.dataset.simulated).lower(),
            **({"mlflow.parentRunId": parent} if parent else {}),
            **({f"sweep.{sweep}": "true"} if sweep else {}),
        }
        run = self.client.create_run(self.experiment_id(experiment), tags=tags, run_name=name)
        run_id = run.info.run_id
        try:
            self._log_inputs(run_id, job)
            yield run_id
        except BaseException as error:
            self.client.set_tag(run_id, "reason", first_line(error))
            self.client.log_text(run_id, traceback.format_exc(), "traceback.txt")
            self.end(run_id, "KILLED" if isinstance(error, STOPPED) else "FAILED")
            raise
        self.end(run_id, "FINISHED")

    def log_result(self, run_id: str, job: Job, result: Result) -> None:
        """Metrics, learning curves as steps, test predictions, and a plot of the curves."""
        self._log_metrics(run_id, result.metrics, result.curves)
        ratings = job.dataset.ratings.iloc[result.rows][["user", "item", "rating"]]
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder)
            ratings.assign(prediction=result.prediction).to_csv(files / "predictions.csv", index_label="row")
            if result.curves:
                learning_curve(result.curves, files / "learning_curve.png")
            self.client.log_artifacts(run_id, folder)

    def _log_inputs(self, run_id: str, job: Job) -> None:
        from mlflow.entities import Dataset as MLflowDataset
        from mlflow.entities import DatasetInput, InputTag, Param

        params = [Param(key, str(value)) for key, value in flatten(job.config).items()]
        self.client.log_batch(run_id, params=params)
        self.client.log_text(run_id, yaml.safe_dump(job.config, sort_keys=False), "config.yaml")
        data: Dataset = job.dataset
        entity = MLflowDataset(
            name=data.name + (" (simulated)" if data.simulated else ""),
            digest=data.digest[:16],
            source_type="local",
            source=json.dumps({"uri": data.source}),
            profile=json.dumps(
                {"ratings": len(data.ratings), "sha256": data.digest, "scale": list(data.scale)}
            ),
        )
        context = InputTag("mlflow.data.context", job.names["split"])
        self.client.log_inputs(run_id, [DatasetInput(entity, [context])])

    def _log_metrics(
        self, run_id: str, metrics: Mapping[str, float], curves: Mapping[str, np.ndarray]
    ) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        entities = [Metric(name, float(value), now, 0) for name, value in metrics.items()]
        for name, values in curves.items():
            steps = np.unique(np.linspace(0, len(values) - 1, MAX_CURVE_POINTS).round().astype(int))
            entities += [Metric(f"curve/{name}", float(values[s]), now, int(s) + 1) for s in steps]
        for start in range(0, len(entities), 1000):
            self.client.log_batch(run_id, metrics=entities[start : start + 1000])
