"""An empty store, and a server of archives that can misbehave."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.tracking import MLflowTracker
from bench.tracking.local_store import create_database


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, whose creation takes seconds."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    create_database(path)
    return path


@pytest.fixture(scope="session", autouse=True)
def copied_stores(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have this process begin each store as a copy of the empty one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "bench.tracking.run_writer.create_database",
            lambda path: shutil.copy(request.getfixturevalue("empty_store"), path),
        )
        yield


@pytest.fixture(autouse=True)
def committed_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on whether the code has changed since its commit."""
    monkeypatch.setattr("bench.tracking.run_writer.code_changes", lambda: "")


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> MLflowTracker:
    """An empty store in `tmp_path`."""
    shutil.copy(empty_store, tmp_path)
    return MLflowTracker(directory=str(tmp_path))


@dataclass
class Server:
    """Serves `content` at `url` and its checksum at `url`.md5, after one of `faults` for each of
    the first requests: "cut" ends the answer half way, "hang" never begins it, a number is an HTTP
    status.
    """

    url: str = ""
    content: bytes = b""
    checksum: bool = True
    faults: list[str | int] = field(default_factory=list)
    n_requests: int = 0

    @property
    def folder(self) -> str:
        return self.url.rpartition("/")[0]

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.n_requests += 1
            fault = state.faults.pop(0) if state.faults else None
            if fault == "hang":
                stopped.wait(10)
                return
            if isinstance(fault, int):
                self.send_error(fault)
                return
            body = state.content
            if self.path.endswith(".md5"):
                body = (
                    f"MD5 (ml-100k.zip) = {state.md5.upper()}\n".encode()
                    if state.checksum
                    else b"no"
                )
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{httpd.server_port}/ml-100k.zip"
        yield state
        stopped.set()
        httpd.shutdown()
        thread.join()
