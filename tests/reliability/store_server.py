"""MLflow's server of a store on this disk, in a process that can be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, make_server

HOST = "127.0.0.1"


class StoreServer:
    """Serves a database, and the files of its runs where they are not `beside` it.

    Parameters
    ----------
    database : Path
        SQLite file.
    artifacts : Path
        Folder of the runs' files.
    beside : bool
        Whether clients write files into that folder themselves, rather than through the server.
    """

    def __init__(self, database: Path, artifacts: Path, *, beside: bool = False) -> None:
        self._database, self._artifacts, self._beside = database, artifacts, beside
        self._socket = socket.create_server((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self.uri = f"http://{HOST}:{self.port}"
        self._process: int | None = None

    def listening(self) -> BaseWSGIServer:
        """Return the server, to be run in this process."""
        from mlflow import server
        from mlflow.server import constants

        root = self._artifacts if self._beside else "mlflow-artifacts:/"
        os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = f"sqlite:///{self._database}"
        os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = str(root)
        os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = str(self._artifacts)
        os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "false" if self._beside else "true"
        descriptor = self._socket.fileno()
        return make_server(HOST, self.port, server.app, threaded=True, fd=descriptor)

    def start(self) -> None:
        """Serve in a copy of this process."""
        if self._socket.fileno() < 0:
            self._socket = socket.create_server((HOST, self.port))
        self._process = os.fork()
        if self._process == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            self.listening().serve_forever()

    def stop(self, *, refuse: bool = False) -> None:
        """Kill the process; `refuse` connections from now on rather than let them wait."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
            self._process = None
        if refuse:
            self._socket.close()
