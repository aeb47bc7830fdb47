"""What a run leaves in MLflow, read back through MLflow's own client."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from bench.data.dataset import Dataset
from bench.run import Job, Result
from bench.track import Experiment, MLflowTracker, flatten

EXPERIMENT = Experiment("question", "# Question\n\nHow to read the columns.")
DATASET = Dataset(
    name="tiny",
    ratings=pd.DataFrame({"user": [1, 1, 2], "item": [7, 8, 7], "rating": [1.0, 2.5, 1 / 3]}),
    scale=(0.0, 5.0),
    digest="ab" * 32,
    source="three rows made here",
    simulated=True,
)
RESULT = Result(
    metrics={"test/mse_clipped": 0.1 + 0.2, "validation/mse_clipped": 1 / 7},
    rows=np.array([2, 0]),
    prediction=np.array([0.1, np.pi]),
    curves={"train_mse": np.linspace(2, 1, 1200), "validation_mse": np.linspace(3, 2, 1200)},
)


def job(l2: float = 1.0) -> Job:
    names = {"data": "tiny", "split": "none", "features": "ids", "model": "dummy"}
    return Job(names, {"model": {"l2": l2}, "seed": 3}, DATASET, lambda data: None, ("ids",), BaseEstimator())


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> MLflowTracker:
    return MLflowTracker(
        f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db", str(tmp_path_factory.mktemp("r"))
    )


def test_what_is_logged_can_be_read_back_exactly(tracker: MLflowTracker) -> None:
    parent = tracker.begin_sweep(EXPERIMENT, "s1", "one run", "model=dummy")
    with tracker.job(EXPERIMENT, job(), "dummy l2=1", "s1", parent) as run_id:
        tracker.log_result(run_id, job(), RESULT)
    (record,) = tracker.records(EXPERIMENT, "s1", with_predictions=True)
    assert record.finished and record.name == "dummy l2=1" and record.model == "dummy" and not record.reason
    assert RESULT.metrics.items() <= record.metrics.items()
    assert record.params == {"model.l2": "1.0", "seed": "3"}
    assert record.tags["mlflow.parentRunId"] == parent
    assert list(record.predictions.index) == [2, 0]
    np.testing.assert_array_equal(record.predictions["prediction"], RESULT.prediction)
    np.testing.assert_array_equal(record.predictions["rating"], [1 / 3, 1.0])


def test_mlflow_shows_curve_data_set_and_artifacts(tracker: MLflowTracker) -> None:
    with tracker.job(EXPERIMENT, job(2.0), "shown", "s2", None) as run_id:
        tracker.log_result(run_id, job(2.0), RESULT)
    client = tracker.client
    curve = client.get_metric_history(run_id, "curve/validation_mse")
    assert len(curve) == 500
    assert {(1, 3.0), (1200, 2.0)} <= {(point.step, point.value) for point in curve}
    (data,) = client.get_run(run_id).inputs.dataset_inputs
    assert data.dataset.name == "tiny (simulated)" and data.dataset.digest == DATASET.digest[:16]
    assert json.loads(data.dataset.profile)["sha256"] == DATASET.digest
    files = {artifact.path for artifact in client.list_artifacts(run_id)}
    assert files == {"config.yaml", "predictions.csv", "learning_curve.png"}


def test_failed_run_says_why_and_is_not_found_as_finished(tracker: MLflowTracker) -> None:
    with pytest.raises(ZeroDivisionError), tracker.job(EXPERIMENT, job(3.0), "bad", "s3", None):
        raise ZeroDivisionError("by nothing")
    (record,) = tracker.records(EXPERIMENT, "s3", with_predictions=True)
    assert (record.status, record.reason) == ("FAILED", "ZeroDivisionError: by nothing")
    assert record.predictions is None
    assert tracker.find(EXPERIMENT, job(3.0).digest) is None


def test_stopped_run_is_killed_not_running(tracker: MLflowTracker) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.job(EXPERIMENT, job(4.0), "stopped", "s4", None):
        raise KeyboardInterrupt
    assert [record.status for record in tracker.records(EXPERIMENT, "s4")] == ["KILLED"]


def test_finished_job_joins_a_second_sweep(tracker: MLflowTracker) -> None:
    with tracker.job(EXPERIMENT, job(5.0), "shared", "s5", None) as run_id:
        tracker.log_result(run_id, job(5.0), RESULT)
    assert tracker.find(EXPERIMENT, job(5.0).digest) == run_id
    tracker.join(run_id, "s6")
    assert [r.run_id for r in tracker.records(EXPERIMENT, "s6")] == [run_id]
    assert [r.run_id for r in tracker.records(EXPERIMENT, "s5")] == [run_id]


def test_newest_attempt_counts(tracker: MLflowTracker) -> None:
    with pytest.raises(ValueError), tracker.job(EXPERIMENT, job(6.0), "retried", "s7", None):
        raise ValueError("first")
    with tracker.job(EXPERIMENT, job(6.0), "retried", "s7", None) as run_id:
        tracker.log_result(run_id, job(6.0), RESULT)
    assert [(r.run_id, r.finished) for r in tracker.records(EXPERIMENT, "s7")] == [(run_id, True)]


def test_sweep_is_resumed_not_repeated(tracker: MLflowTracker) -> None:
    first = tracker.begin_sweep(EXPERIMENT, "s8", "two runs", "")
    tracker.log_sweep(first, {"test/mse_clipped": 0.5}, [])
    tracker.end(first, "FINISHED")
    assert tracker.begin_sweep(EXPERIMENT, "s8", "two runs", "") == first
    assert tracker.metrics(first) == {"test/mse_clipped": 0.5}


def test_what_a_run_is_does_not_depend_on_where_it_runs() -> None:
    assert job().digest == job().digest
    assert job(1.0).digest != job(2.0).digest


@pytest.mark.slow
def test_two_processes_may_create_the_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=begin, args=(tmp_path, str(i))) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]


def begin(directory: Path, sweep: str) -> None:
    MLflowTracker(f"sqlite:///{directory}/mlflow.db", str(directory)).begin_sweep(EXPERIMENT, sweep, "n", "")


def test_flatten() -> None:
    assert flatten({"model": {"k": 8, "l2": 1.0}, "seed": 0}) == {"model.k": 8, "model.l2": 1.0, "seed": 0}
