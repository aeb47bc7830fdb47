"""`python -m bench.ui`: the MLflow dashboard over the tracked runs, on loopback only."""

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress

from bench.errors import UserError, checked, exit_status
from bench.tracking import MLflowTracker
from bench.tracking.entities import pages
from fm.validation import check_choice

HOST = "127.0.0.1"
START_SECONDS = 180
PR_SET_PDEATHSIG = 1
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Without a runner of jobs, three processes that a dashboard of runs has no use for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the dashboard until it is interrupted; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.ui", description=__doc__)
    parser.add_argument(
        "experiment", nargs="?", help="print this one's address only (default: all)"
    )
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument(
        "--results", default="results", help="folder of the store (default: results)"
    )
    arguments = parser.parse_args(argv)
    tracker = MLflowTracker(directory=arguments.results)
    if not tracker.uri.startswith("sqlite:"):
        print(f"The dashboard is where the runs are: {tracker.shown}")
        return 0
    addresses = pages(tracker.client)
    if arguments.experiment is not None:
        with checked():
            check_choice("experiment", arguments.experiment, addresses)
        addresses = {arguments.experiment: addresses[arguments.experiment]}
    port = free_port(arguments.port)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracker.uri]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | LEAN,
            preexec_fn=die_with_parent,
        )
        try:
            if not answers(port, server):
                log.seek(0)
                print(f"bench.ui: the MLflow server did not start:\n{log.read()}", file=sys.stderr)
                return 1
            for name, page in addresses.items():
                print(f"{name}: http://{HOST}:{port}/{page}")
            print(
                f"all: http://{HOST}:{port}/#/experiments?workflowType=machine_learning"
                "  (Ctrl-C ends it)",
                flush=True,
            )
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()
            server.wait()


def die_with_parent() -> None:
    """Have Linux end this process when its parent ends, however that is killed (prctl(2))."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port(port: int = 0) -> int:
    """Return a port of this machine on which nothing listens: this one, if that is so, or any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise UserError(
                f"port {port} is in use: give another --port, or none for any free one"
            ) from None
        return probe.getsockname()[1]


def answers(port: int, server: subprocess.Popen) -> bool:
    """Wait for the server to answer; return False where it ended or took too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return False


if __name__ == "__main__":
    sys.exit(exit_status(main))
