"""Nothing finished is lost, stuck or shown wrongly, whatever happens to processes and files."""

import itertools
import os
import platform
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from bench.tracking import MLflowTracker, Record, attempt_that_counts
from bench.tracking.models import log_model
from bench.tracking.run_record import Experiment
from bench.tracking.run_writer import UnsentError
from tests.bench.test_tracking import EXPERIMENT, RESULT, ended_owner, job, put, sweep, track

pytestmark = pytest.mark.slow


def again(tracker: MLflowTracker) -> MLflowTracker:
    """What the next process sees."""
    return MLflowTracker(directory=str(tracker.directory))


# -- which attempt counts --------------------------------------------------------------------------


def attempt(status: str, began: int, run_id: str = "") -> Record:
    return Record(run_id, "n", "m", status, None, {}, {}, {"digest": "d"}, began=began)


attempts = st.builds(
    attempt,
    st.sampled_from(["FINISHED", "FAILED", "KILLED", "PRUNED"]),
    st.integers(0, 2),
    st.sampled_from("abcdef"),
)


@given(
    st.lists(attempts, min_size=1, max_size=5, unique_by=lambda a: a.run_id),
    st.randoms(use_true_random=False),
)
def test_the_attempt_that_counts_depends_on_no_order(tried: list[Record], random) -> None:
    counts = attempt_that_counts(tried)
    random.shuffle(tried)
    assert attempt_that_counts(tried) == counts
    finished = [a for a in tried if a.finished]
    if finished:
        assert counts in finished and counts.began == max(a.began for a in finished)


def test_a_cut_off_copy_never_outranks_the_one_sent_again(
    store: MLflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, job(), sweep("s", ended_owner(store)))
    with monkeypatch.context() as patched:
        patched.setattr(store.client, "log_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(store.send_waiting())
    assert not store.records(EXPERIMENT), "what is being written is no result"
    list(store.send_waiting())
    (record,) = store.records(EXPERIMENT, "s")
    assert record.finished and RESULT.metrics.items() <= record.metrics.items()
    assert len(store.all_records()) == 1


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


# -- owners that have ended ------------------------------------------------------------------------


def test_results_of_an_ended_owner_are_sent_after_the_host_was_renamed(
    store: MLflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, job(1.0), sweep("s", ended_owner(store)))
    put(store, job(2.0), sweep("s", again(store).queue.owner))  # which has ended, too
    living = again(store)
    put(store, job(3.0), sweep("t", living.queue.owner))
    monkeypatch.setattr(platform, "node", lambda: "another-name")
    assert len(list(again(store).send_waiting())) == 2
    assert len(list(store.queue.waiting())) == 1
    assert living.queue.lives(living.queue.owner)


def test_an_entry_is_sent_by_one_process_at_a_time(store: MLflowTracker) -> None:
    put(store, job(), sweep("s"))
    ((path, entry),) = store.queue.waiting()
    with store.queue.sending(path) as before:
        assert before is False
        assert again(store).send(path, entry) is None
    assert store.send(path, entry).finished
    assert store.send(path, entry) is None


def test_records_of_a_sweep_share_the_texts_that_are_the_same(store: MLflowTracker) -> None:
    for _ in range(2):
        put(store, job(), sweep("s"))
    first, second = (entry.record for _, entry in store.queue.waiting())
    for name in ("tags", "params"):
        pairs = [(getattr(first, name)[key], text) for key, text in getattr(second, name).items()]
        assert pairs and all(a is b for a, b in pairs if a == b)


def test_what_killed_processes_left_half_written_is_removed(store: MLflowTracker) -> None:
    ended, mine = ended_owner(store), store.queue.owner
    left = []
    for owner in (ended, mine):
        left.append(store.queue.outbox / f".attempt.{owner}")
    for path in left:
        path.mkdir(parents=True)
        (path / "file").touch()
    store.close_abandoned()
    assert [path.exists() for path in left] == [False, True]
    assert not store.queue.ended() and store.queue.lives(mine)


# -- what was deleted ------------------------------------------------------------------------------


def test_the_job_of_a_deleted_run_is_computed_anew(store: MLflowTracker) -> None:
    kept, gone = (track(store, job(l2), sweep("s")).run_id for l2 in (1.0, 2.0))
    known = store.settled(EXPERIMENT, job(2.0).digest)
    store.client.delete_run(gone)
    store.join(known, sweep("t"))  # deleted while the sweep runs
    assert store.settled(EXPERIMENT, job(2.0).digest) is None
    next_one = again(store)
    find = next_one.prepare(EXPERIMENT)
    assert next_one.settled(EXPERIMENT, job(1.0).digest).run_id == kept
    assert find(job(1.0).digest).run_id == kept
    assert next_one.settled(EXPERIMENT, job(2.0).digest) is None
    assert find(job(2.0).digest) is None
    assert "client" not in vars(next_one)  # without MLflow, whose import takes seconds


def test_a_deleted_experiment_is_refused_in_a_sentence(store: MLflowTracker) -> None:
    track(store, job(), sweep("s"))
    store.client.delete_experiment(store.experiment_id(EXPERIMENT.name))
    for use in (
        lambda tracker: tracker.prepare(EXPERIMENT),
        lambda tracker: tracker.begin_sweep(EXPERIMENT, sweep("s")),
        lambda tracker: tracker.records(EXPERIMENT),
        lambda tracker: tracker.experiment(EXPERIMENT.name),
    ):
        with pytest.raises(UserError, match="was deleted in MLflow: restore it"):
            use(again(store))


# -- moved and oddly named folders -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "why? 50% %20 #1 & so=on"])
def test_a_store_works_and_moves_whatever_its_folder_is_called(
    empty_store: Path, tmp_path: Path, name: str
) -> None:
    old, new = tmp_path / f"old {name}" / "results", tmp_path / name
    old.mkdir(parents=True)
    (old / "mlflow.db").write_bytes(empty_store.read_bytes())
    first = MLflowTracker(directory=str(old))
    run_id = track(first, job(1.0), sweep("s")).run_id
    put(first, job(2.0), sweep("s"))
    assert first.database == old / "mlflow.db"
    del first
    old.rename(new)
    moved = MLflowTracker(directory=str(new))
    np.testing.assert_array_equal(moved.predictions(run_id)["prediction"], RESULT.prediction)
    moved.prepare(EXPERIMENT)
    assert moved.settled(EXPERIMENT, job(1.0).digest).run_id == run_id
    assert len(list(moved.send_waiting())) == 1
    assert len(moved.records(EXPERIMENT, "s")) == 2
    files = moved.client.list_artifacts(run_id)
    assert {file.path for file in files} >= {"config.yaml", "predictions.csv"}
    assert not old.exists()
    assert {path.name for path in tmp_path.iterdir()} == {old.parent.name, new.name}


@pytest.mark.parametrize("name", ["", ".", "..", "../../x", "a/b", ".hidden", "x" * 101, None])
def test_an_experiment_is_named_as_a_folder_can_be(name: str) -> None:
    with pytest.raises(UserError, match="since it names a folder"):
        Experiment(name, "")


# -- damage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"uri": 1}', '"\\u0000', b"\xff", None])
def test_a_damaged_file_is_set_aside_and_named(
    store: MLflowTracker, capsys: pytest.CaptureFixture, content: str | bytes | None
) -> None:
    put(store, job(2.0), sweep("s"))
    stray = store.queue.outbox / "stray"
    stray.touch()
    (waiting,) = store.queue.outbox.glob("*/entry.json")
    if content is None:
        waiting.unlink()
        waiting.mkdir()
    else:
        waiting.write_bytes(content if isinstance(content, bytes) else content.encode())
    next_one = again(store)
    next_one.prepare(EXPERIMENT)
    assert list(next_one.queue.waiting()) == []
    assert next_one.settled(EXPERIMENT, job(2.0).digest) is None
    said = capsys.readouterr().err
    for path in (waiting.parent, stray):
        assert f"bench: {path} is damaged" in said
    assert len(list((store.directory / "damaged").iterdir())) == 2


def test_an_entry_that_is_refused_holds_up_no_other(
    store: MLflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for l2 in (1.0, 2.0, 3.0):
        put(store, job(l2), sweep("s"))
    calls, log = itertools.count(), store.client.log_batch

    def refuse(*arguments: object, **named: object) -> None:
        if next(calls) == 0:
            raise ValueError("a parameter that MLflow does not take at http://me:secret@host")
        log(*arguments, **named)

    monkeypatch.setattr(store.client, "log_batch", refuse)
    sent = []
    with pytest.raises(UnsentError, match="does not take") as raised:
        sent.extend(store.send_waiting(owner="mine"))
    assert "secret" not in str(raised.value)
    assert len(list(store.queue.waiting())) == 1 and len(store.all_records()) == 2
    sent.extend(store.send_waiting(owner="mine"))
    assert [record.finished for record in store.all_records()] == [True] * 3


def test_two_sweeps_of_the_same_jobs_may_end_at_once(store: MLflowTracker) -> None:
    best = track(store, job(), sweep("s")).run_id
    parent = store.begin_sweep(EXPERIMENT, sweep("s"))
    report = store.directory / "README.md"
    report.write_text("# Report")
    errors: list[BaseException] = []

    def finish(tracker: MLflowTracker) -> None:
        try:
            for _ in range(5):
                tracker.log_sweep(parent, RESULT.metrics, [report], best)
                tracker.end(parent, "FINISHED")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=finish, args=(again(store),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_what_a_killed_process_left_of_a_report_is_removed(store: MLflowTracker) -> None:
    parent = store.begin_sweep(EXPERIMENT, sweep("s"))
    folder = store.artifact_folder(store.client.get_run(parent).info.artifact_uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".artifact.uploading.x").touch()
    page = store.directory / "report.html"
    page.touch()
    store.log_sweep(parent, {}, [page])
    assert [path.name for path in folder.iterdir()] == ["report.html"]


def test_a_model_that_cannot_be_saved_is_one_sentence(store: MLflowTracker) -> None:
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    run_id = track(store, job(), sweep("s")).run_id
    with pytest.raises(UserError, match=f"the model of run {run_id} cannot be logged"):
        log_model(store, run_id, object(), None)
    assert "MLFLOW_TRACKING_URI" not in os.environ
