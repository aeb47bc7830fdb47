"""MLflow as a server: everything works as on the own disk, also when it is away for a while."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from bench.cli import main
from bench.errors import UserError
from bench.tracking import MLflowTracker
from bench.ui import LEAN, answers, free_port
from tests.bench.test_tracking import EXPERIMENT, RESULT, job, put, sweep

pytestmark = pytest.mark.slow
Start = Callable[[], subprocess.Popen]


@pytest.fixture(params=["own disk", "elsewhere"])
def elsewhere(request: pytest.FixtureRequest) -> bool:
    """Whether the server keeps its runs in PostgreSQL and a bucket, or in SQLite and a folder."""
    return request.param == "elsewhere"


@pytest.fixture
def database(elsewhere: bool, tmp_path: Path) -> Iterator[str]:
    """Address of an empty database."""
    if not elsewhere:
        yield f"sqlite:///{tmp_path}/server.db"
        return
    pytest.importorskip("psycopg", reason="needs the extra [postgres]")
    programs = shutil.which("initdb") or max(
        glob.glob("/usr/lib/postgresql/*/bin/initdb"), default=None
    )
    if programs is None:
        pytest.skip("PostgreSQL is not installed here")
    user = (
        {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    )  # it refuses to be run by root
    folder, port = tempfile.mkdtemp(), free_port()
    if user:
        shutil.chown(folder, **user)
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
    run([programs, "-D", f"{folder}/data", "-U", "bench", "--auth=trust"])
    control = [Path(programs).with_name("pg_ctl"), "-D", f"{folder}/data", "-w"]
    listening = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    run([*control, "-l", f"{folder}/log", "-o", listening, "start"])
    yield f"postgresql://bench@127.0.0.1:{port}/postgres"
    run([*control, "-m", "immediate", "stop"])
    shutil.rmtree(folder)


@pytest.fixture
def files(elsewhere: bool, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where a server keeps files, and what its environment says of that."""
    if not elsewhere:
        yield str(tmp_path / "artifacts"), {}
        return
    boto3 = pytest.importorskip("boto3", reason="needs the extra [s3]")
    moto = pytest.importorskip("moto.server", reason="needs moto[server], which simulates S3")
    port = free_port()
    store = moto.ThreadedMotoServer("127.0.0.1", port)
    store.start()
    address = f"http://127.0.0.1:{port}"
    keys = {"aws_access_key_id": "id", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", "us-east-1", endpoint_url=address, **keys)
    client.create_bucket(Bucket="bucket")
    yield (
        "s3://bucket/mlflow",
        {"MLFLOW_S3_ENDPOINT_URL": address} | {k.upper(): v for k, v in keys.items()},
    )
    kept = client.list_objects_v2(Bucket="bucket", Prefix="mlflow/")["KeyCount"]
    store.stop()
    assert kept > 0


@pytest.fixture
def start(
    database: str, files: tuple[str, dict[str, str]], tmp_path: Path
) -> Iterator[tuple[str, Start]]:
    """Address of a server, and what starts it."""
    port, started = free_port(), []
    destination, known = files

    def serve() -> subprocess.Popen:
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        command += ["--backend-store-uri", database, "--workers", "1"]
        command += ["--artifacts-destination", destination]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(command, **quiet, env=os.environ | LEAN | known)
        started.append(server)
        assert answers(port, server)
        return server

    yield f"http://127.0.0.1:{port}", serve
    for server in started:
        server.terminate()
        server.wait(30)


def test_results_wait_for_a_server_that_is_away_and_are_sent_once(
    start: tuple[str, Start], tmp_path: Path
) -> None:
    uri, serve = start
    with pytest.raises(UserError, match="does not answer"):
        _ = MLflowTracker(uri, str(tmp_path / "nowhere")).client
    server = serve()
    tracker = MLflowTracker(uri, str(tmp_path / "here"))
    mine = sweep("s")
    put(tracker, job(1.0), mine)
    assert len(list(tracker.send_waiting(owner="mine"))) == 1
    server.terminate()
    server.wait(30)
    put(tracker, job(2.0), mine)
    for _ in range(2):
        with pytest.raises(Exception, match=r"Max retries|refused|API request"):
            list(tracker.send_waiting(owner="mine"))
    assert tracker.settled(EXPERIMENT, job(2.0).digest) is not None
    serve()
    assert len(list(tracker.send_waiting(owner="mine"))) == 1
    records = tracker.records(EXPERIMENT, "s")
    assert [r.finished for r in records] == [True, True] and len(tracker.all_records()) == 2
    assert list(tracker.predictions(records[0].run_id)["prediction"]) == list(RESULT.prediction)
    assert not list(tracker.queue.waiting())
    # From a disk that knows nothing:
    elsewhere = MLflowTracker(uri, str(tmp_path / "there"))
    found = elsewhere.prepare(EXPERIMENT)(job(2.0).digest)
    assert found.metrics["test/mse_clipped"] == 0.1 + 0.2


def test_a_sweep_into_a_server_is_gone_on_with_from_another_disk(
    start: tuple[str, Start], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    uri, serve = start
    serve()
    words = ["-m", "data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000"]
    words += ["model=linear", "model.l2=1,4", f"tracking.uri={uri}", "keep_model=false"]
    for folder, computed in (("one", 2), ("two", 0)):
        assert main([*words, f"results={tmp_path / folder}"]) == 0
        assert capsys.readouterr().out.count("(already computed)") == 2 - computed
    assert sorted(r.name for r in MLflowTracker(uri, str(tmp_path)).all_records()) == [
        "linear l2=1 (simulated)",
        "linear l2=4 (simulated)",
    ]
