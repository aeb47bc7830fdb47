"""What a run leaves in MLflow, read back through MLflow's own client."""

import itertools
import json
import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from bench.data.dataset import Dataset
from bench.run import Job, Pruned, Result
from bench.tracking import Experiment, MLflowTracker, Record, Sweep, flatten, run_writer
from bench.tracking.job_entry import entry_of, write_files
from bench.tracking.local_store import create_database
from bench.tracking.result_queue import ResultQueue
from bench.tracking.run_record import Entry

pytestmark = pytest.mark.slow

SECONDS = itertools.count(1)
EXPERIMENT = Experiment("question", "# Question\n\nHow to read the columns.")
DATASET = Dataset(
    name="tiny",
    rows=pd.DataFrame({"user": [1, 1, 2], "item": [7, 8, 7], "rating": [1.0, 2.5, 1 / 3]}),
    scale=(0.0, 5.0),
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
    return Job(
        names,
        {"model": {"l2": l2}, "seed": 3},
        DATASET,
        lambda data: None,
        ("ids",),
        BaseEstimator(),
    )


def put(
    tracker: MLflowTracker,
    asked: Job,
    sweep: Sweep,
    outcome: Result | Exception = RESULT,
    name: str = "dummy",
) -> Entry:
    """What a job leaves in the outbox."""
    entry = entry_of(
        asked,
        outcome,
        experiment=EXPERIMENT,
        sweep=sweep,
        name=name,
        digest=asked.digest,
        began=float(next(SECONDS)),
    )
    tracker.queue.put(entry, lambda folder: write_files(folder, asked, outcome))
    return entry


def track(tracker: MLflowTracker, *arguments: object, **named: object) -> Record:
    """The same, and sent."""
    put(tracker, *arguments, **named)
    (record,) = tracker.send_waiting(owner="mine")
    return record


def ended_owner(tracker: MLflowTracker) -> str:
    """The name of a process that has ended."""
    return ResultQueue(tracker.directory, "").owner


def sweep(name: str, owner: str = "mine") -> Sweep:
    return Sweep(name, "some runs", "model=dummy", owner)


@pytest.fixture(scope="module")
def tracker(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> MLflowTracker:
    directory = tmp_path_factory.mktemp("results")
    shutil.copy(empty_store, directory)
    return MLflowTracker(directory=str(directory))


def test_what_is_logged_can_be_read_back_exactly(tracker: MLflowTracker) -> None:
    sent = track(tracker, job(), sweep("s1"), name="dummy l2=1")
    (record,) = tracker.records(EXPERIMENT, "s1")
    predictions = tracker.predictions(record.run_id)
    assert (
        record.finished
        and record.name == "dummy l2=1"
        and record.model == "dummy"
        and not record.reason
    )
    assert record.run_id == sent.run_id
    assert RESULT.metrics.items() <= record.metrics.items()
    assert record.params == {"model.l2": "1.0", "seed": "3"}
    assert record.tags["mlflow.parentRunId"] == tracker.begin_sweep(EXPERIMENT, sweep("s1"))
    assert list(predictions.index) == [2, 0]
    np.testing.assert_array_equal(predictions["prediction"], RESULT.prediction)
    np.testing.assert_array_equal(predictions["rating"], [1 / 3, 1.0])


def test_mlflow_shows_curve_data_set_and_artifacts(tracker: MLflowTracker) -> None:
    run_id = track(tracker, job(2.0), sweep("s2")).run_id
    client = tracker.client
    curve = client.get_metric_history(run_id, "curve/validation_mse")
    assert 400 < len(curve) <= 500
    assert {(1, 3.0), (1200, 2.0)} <= {(point.step, point.value) for point in curve}
    (data,) = client.get_run(run_id).inputs.dataset_inputs
    assert data.dataset.name == "tiny (simulated)" and data.dataset.digest == DATASET.digest[:16]
    assert json.loads(data.dataset.profile)["sha256"] == DATASET.digest
    files = {artifact.path for artifact in client.list_artifacts(run_id)}
    assert files == {"config.yaml", "code.json", "predictions.csv"}


def test_failed_run_says_why_and_is_run_again(tracker: MLflowTracker) -> None:
    track(tracker, job(3.0), sweep("s3"), ZeroDivisionError("by nothing"))
    (record,) = tracker.records(EXPERIMENT, "s3")
    assert (record.status, record.reason) == ("FAILED", "ZeroDivisionError: by nothing")
    assert tracker.settled(EXPERIMENT, job(3.0).digest) is None
    assert tracker.prepare(EXPERIMENT)(job(3.0).digest) is None


def test_a_run_that_was_given_up_is_settled(tracker: MLflowTracker) -> None:
    track(tracker, job(3.5), sweep("s35"), Pruned([2.0, 1.5]))
    assert tracker.settled(EXPERIMENT, job(3.5).digest).status == "PRUNED"
    found = tracker.prepare(EXPERIMENT)(job(3.5).digest)
    assert found.status == "PRUNED" and found.curves == {"validation_mse": {1: 2.0, 2: 1.5}}


def test_a_run_given_up_keeps_the_curve_of_its_task(tracker: MLflowTracker) -> None:
    clicks = replace(DATASET, rows=DATASET.rows.assign(rating=[0.0, 1.0, 1.0]), task="binary")
    asked = replace(job(3.7), dataset=clicks)
    track(tracker, asked, sweep("s37"), Pruned([0.7, 0.6]))
    found = tracker.prepare(EXPERIMENT)(asked.digest)
    assert found.curves == {"validation_log_loss": {1: 0.7, 2: 0.6}}


def test_finished_job_is_found_here_and_elsewhere_and_joins_a_second_sweep(
    tracker: MLflowTracker,
) -> None:
    run_id = track(tracker, job(5.0), sweep("s5")).run_id
    here = tracker.settled(EXPERIMENT, job(5.0).digest)
    there = tracker.prepare(EXPERIMENT)(job(5.0).digest)
    assert here.run_id == there.run_id == run_id
    assert here.metrics.items() <= there.metrics.items()
    tracker.join(here, sweep("s6"))
    for name in ("s5", "s6"):
        assert [r.run_id for r in tracker.records(EXPERIMENT, name)] == [run_id]


def test_newest_attempt_counts(tracker: MLflowTracker) -> None:
    track(tracker, job(6.0), sweep("s7"), ValueError("first"))
    run_id = track(tracker, job(6.0), sweep("s7")).run_id
    assert [(r.run_id, r.finished) for r in tracker.records(EXPERIMENT, "s7")] == [(run_id, True)]


def test_a_sweep_keeps_how_the_code_was_changed_and_hides_the_question(
    tracker: MLflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_writer, "code_changes", lambda: "-before\n+after\n")
    parent = tracker.begin_sweep(EXPERIMENT, sweep("s12"))
    (artifact,) = tracker.client.list_artifacts(parent)
    path = Path(tracker.client.download_artifacts(parent, artifact.path))
    assert (path.name, path.read_text()) == ("code.diff", "-before\n+after\n")
    tags = tracker.client.get_experiment_by_name(EXPERIMENT.name).tags
    assert all(tag.startswith("mlflow.") for tag in tags)  # which MLflow does not show


def test_runs_say_who_ran_what_and_where_to_read_on(tracker: MLflowTracker) -> None:
    asked = Sweep("s13", "2 runs", "-m model=dummy 'data.path=<b>.csv' +model.l2=1,2", "mine")
    failed = track(tracker, job(13.0), asked, ValueError("no <b>good</b>"))
    parent = tracker.begin_sweep(EXPERIMENT, asked)
    tracker.log_sweep(parent, {}, [], failed.run_id)
    run, of_sweep = (tracker.client.get_run(id).data for id in (failed.run_id, parent))
    note = run.tags["mlflow.note.content"]
    assert "\n\n    ValueError: no <b>good</b>\n\n" in note, "as a block of code"
    assert f"(#/experiments/1/runs/{parent}?" in note and "`dummy` on three rows made here" in note
    page = of_sweep.tags["mlflow.note.content"]
    assert page.startswith("    python -m bench -m model=dummy 'data.path=<b>.csv'")
    assert f"(#/experiments/1/runs/{failed.run_id}?" in page and "tags.%60sweep.s13%60" in page
    assert of_sweep.params == {"model": "dummy", "data.path": "<b>.csv", "model.l2": "1,2"}
    for tags in (run.tags, of_sweep.tags):
        assert tags["mlflow.source.name"] == "python -m bench" and tags["mlflow.user"]
    (data,) = tracker.client.get_run(failed.run_id).inputs.dataset_inputs
    columns = json.loads(data.dataset.schema)["mlflow_colspec"]
    assert [(c["name"], c["type"]) for c in columns] == [
        ("user", "long"),
        ("item", "long"),
        ("rating", "double"),
    ]


def test_sweep_is_resumed_not_repeated(tracker: MLflowTracker) -> None:
    first = tracker.begin_sweep(EXPERIMENT, sweep("s8"))
    tracker.log_sweep(first, {"test/mse_clipped": 0.5}, [])
    tracker.end(first, "FINISHED")
    assert tracker.begin_sweep(EXPERIMENT, sweep("s8")) == first
    assert tracker.client.get_run(first).data.metrics == {"best/test/mse_clipped": 0.5}


@pytest.mark.parametrize(
    "reached", ["create_run", "log_batch", "log_inputs", "log_artifacts", "set_terminated"]
)
@pytest.mark.parametrize("done", [False, True])
def test_what_was_cut_off_while_being_sent_is_sent_once(
    tracker: MLflowTracker, monkeypatch: pytest.MonkeyPatch, reached: str, done: bool
) -> None:
    name, asked = f"{reached}-{done}", job(hash((reached, done)))
    dead = sweep(name, ended_owner(tracker))
    put(tracker, asked, dead)
    tracker.begin_sweep(EXPERIMENT, dead)
    call = getattr(tracker.client, reached)

    def cut(*arguments: object, **named: object) -> None:
        if done:
            call(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tracker.client, reached, cut)
        with pytest.raises(KeyboardInterrupt):
            list(tracker.send_waiting())
    assert tracker.settled(EXPERIMENT, asked.digest).finished  # not to be computed again
    list(tracker.send_waiting())
    tracker.close_abandoned()
    found = tracker.search(
        [tracker.experiment_id(EXPERIMENT.name)], f"tags.digest = '{asked.digest}'"
    )
    assert sorted(run.info.status for run in found).count("FINISHED") == 1
    assert not any(run.info.status == "RUNNING" for run in found)
    assert not list(tracker.queue.waiting())


def test_runs_of_dead_processes_are_closed_and_others_are_not(tracker: MLflowTracker) -> None:
    owners = {"ended": ended_owner(tracker), "alive": tracker.queue.owner, "elsewhere": "x"}
    ids = {
        name: tracker.begin_sweep(EXPERIMENT, sweep(name, owner)) for name, owner in owners.items()
    }
    tracker.close_abandoned()
    assert not tracker.closed(EXPERIMENT, sweep("ended")), "its report was not made"
    status = {name: tracker.client.get_run(run_id).info.status for name, run_id in ids.items()}
    assert status == {"ended": "KILLED", "alive": "RUNNING", "elsewhere": "RUNNING"}


def test_a_store_whose_creation_was_cut_off_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.tracking.run_writer.create_database", create_database)
    (tmp_path / ".mlflow.db").write_bytes(b"half")
    tracker = MLflowTracker(directory=str(tmp_path))
    assert track(tracker, job(), sweep("s")).finished
    assert [path.name for path in tmp_path.glob("*mlflow.db")] == ["mlflow.db"]


def test_a_lost_store_is_not_taken_for_known(store: MLflowTracker, tmp_path: Path) -> None:
    tracker = store
    track(tracker, job(), sweep("s"))
    for path in tmp_path.glob("mlflow.db*"):
        path.unlink()
    again = MLflowTracker(directory=str(tmp_path))
    assert again.prepare(EXPERIMENT)(job().digest) is None
    assert again.settled(EXPERIMENT, job().digest) is None


def test_what_a_run_is_does_not_depend_on_where_it_runs() -> None:
    assert job().digest == job().digest
    assert job(1.0).digest != job(2.0).digest


def test_two_processes_may_create_the_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=begin, args=(tmp_path, str(i))) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0, 0]


def begin(directory: Path, sweep: str) -> None:
    MLflowTracker(directory=str(directory)).begin_sweep(EXPERIMENT, Sweep(sweep, "n", "", "mine"))


def test_flatten() -> None:
    assert flatten({"model": {"k": 8, "l2": 1.0}, "seed": 0}) == {
        "model.k": 8,
        "model.l2": 1.0,
        "seed": 0,
    }
