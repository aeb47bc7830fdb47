"""The SQLite file of a local store: created, checked, and moved with its folder.

Here alone is MLflow's database seen without MLflow, by its tables `experiments`, `runs` and
`logged_models`: where MLflow's import would cost seconds, and to change the absolute paths that it
writes down, for which it has no call. A test holds what is read here against MLflow's own search.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.files import sync
from bench.tracking.store_address import sqlite_uri

PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
)
BUSY_SECONDS = 30.0


def create_database(path: Path) -> None:
    """Create MLflow's tables in a new SQLite file, which is at `path` only when it is complete.

    A database whose creation is cut off is broken for good, and so is one that two processes
    create at once: call this under a lock.
    """
    from mlflow import MlflowClient

    for leftover in path.parent.glob(f".{path.name}*"):
        leftover.unlink()
    aside = path.with_name(f".{path.name}")
    MlflowClient(sqlite_uri(aside)).search_experiments(max_results=1)
    sync(aside)
    aside.rename(path)
    sync(path.parent)
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as db:
        db.execute("PRAGMA journal_mode=WAL")


def damage_of(path: Path) -> str | None:
    """Return what is wrong with a database file; None if it can be used."""
    try:
        with _reading(path) as db:
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone():
                verdict = "it has no table of runs"
    except sqlite3.Error as error:
        verdict = str(error)
    return None if verdict == "ok" else " ".join(str(verdict).split())


def local_runs(path: Path, experiment: str) -> tuple[str | None, set[str]]:
    """Return the stage of an experiment (active, deleted, or None) and its active runs' ids."""
    with _reading(path) as db:
        stage = db.execute(
            "SELECT lifecycle_stage FROM experiments WHERE name = ?", (experiment,)
        ).fetchone()
        runs = db.execute(
            "SELECT run_uuid FROM runs JOIN experiments USING (experiment_id)"
            " WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'",
            (experiment,),
        ).fetchall()
    return stage and stage[0], {run_id for (run_id,) in runs}


@dataclass(frozen=True)
class StoredRun:
    """A run as it stands in a store; `data` are digest, source and profile of its data set."""

    experiment: str
    run_id: str
    name: str
    status: str
    began: int
    ended: int
    artifacts: str
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    data: list[tuple[str, str, str | None]] = field(default_factory=list)


def read_runs(path: Path, run_id: str | None = None) -> list[StoredRun]:
    """Return every run that is not deleted, or the one of this id, newest first.

    It takes a tenth of the time of a search by MLflow.
    """
    only = "(?1 IS NULL OR {} = ?1)"
    of_run = only.format("run_uuid")
    with _reading(path) as db:
        rows = db.execute(
            "SELECT experiments.name, run_uuid, runs.name, status, start_time, end_time,"
            " artifact_uri FROM runs JOIN experiments USING (experiment_id)"
            " WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active'"
            f" AND {of_run} ORDER BY start_time DESC, run_uuid",
            (run_id,),
        )
        runs = {
            of: StoredRun(experiment, of, name, status, began or 0, ended or 0, artifacts)
            for experiment, of, name, status, began, ended, artifacts in rows
        }
        for table in ("params", "tags"):
            query = f"SELECT run_uuid, key, value FROM {table} WHERE {of_run}"
            for of, key, value in db.execute(query, (run_id,)):
                if of in runs:
                    getattr(runs[of], table)[key] = value
        query = f"SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE {of_run}"
        for of, key, value, is_nan in db.execute(query, (run_id,)):
            if of in runs:
                runs[of].metrics[key] = math.nan if is_nan else value
        data = db.execute(
            "SELECT destination_id, digest, dataset_source, dataset_profile"
            " FROM inputs JOIN datasets ON source_id = dataset_uuid WHERE destination_type = 'RUN'"
            f" AND {only.format('destination_id')}",
            (run_id,),
        )
        for of, *about in data:
            if of in runs:
                runs[of].data.append(tuple(about))
    return list(runs.values())


def read_history(path: Path, run_id: str, metric: str) -> list[tuple[int, float]]:
    """Return the steps and values of a metric of a run."""
    with _reading(path) as db:
        history = db.execute(
            "SELECT step, value, is_nan FROM metrics WHERE run_uuid = ? AND key = ?",
            (run_id, metric),
        )
        return sorted((step, math.nan if is_nan else value) for step, value, is_nan in history)


def read_experiments(path: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Return the stage (active or deleted) and the tags of each experiment, by name."""
    with _reading(path) as db:
        rows = db.execute("SELECT experiment_id, name, lifecycle_stage FROM experiments").fetchall()
        tags: dict[int, dict[str, str]] = {}
        for number, key, value in db.execute(
            "SELECT experiment_id, key, value FROM experiment_tags"
        ):
            tags.setdefault(number, {})[key] = value
    return {name: (stage, tags.get(number, {})) for number, name, stage in rows}


def move_artifacts(path: Path, folder: Path) -> None:
    """Make a database that was moved refer to the files in `folder`, beside which it is now."""
    new = f"{folder.as_uri()}/"
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as db, db:
        for table, column in PATHS:
            db.execute(
                f"UPDATE {table} SET {column} = ?1 || substr({column},"
                f" instr({column}, ?2) + length(?2))"
                f" WHERE {column} LIKE 'file:%' AND instr({column}, ?2)"
                f" AND instr({column}, ?1) != 1",
                (new, f"/{folder.name}/"),
            )


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    # SQLite makes files beside a database even to read it. On a disk that is read-only it reads a
    # database that is said not to change; of one with a journal it would miss what that has.
    unchanging = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    uri = f"{path.as_uri()}?{'immutable=1' if unchanging else 'mode=ro'}"
    with closing(sqlite3.connect(uri, timeout=BUSY_SECONDS, uri=True)) as db:
        yield db
