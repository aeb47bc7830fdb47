"""A Ray cluster of two nodes with nothing but the network between them, for test_ray.py.

Run in a network namespace of its own, where Ray may listen on every interface. Node "two" has a host name of its own, and
its own disk in place of the folder of results. It is killed while it works.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.identity import ROOT
from bench.track import MLflowTracker
from bench.ui import answers, free_port

RAY = str(Path(sys.executable).with_name("ray"))
HEAD = "127.0.0.1:6399"
SWEEP = ["-m", "data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000", "seed=range(0,8)"]
SWEEP += ["model=fm_gibbs", "model.n_iter=100", "hydra/launcher=ray"]
QUICK = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}


def main(folder: Path) -> None:
    results = folder / "results"
    results.mkdir()
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    environment = (
        os.environ
        | QUICK
        | {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ADDRESS": HEAD,
            "PYTHONPATH": str(ROOT),
            "CLUSTER": str(folder),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
    )
    serve = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    serve += [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    with (folder / "log").open("w") as log:
        try:
            server = subprocess.Popen(serve, env=environment, stdout=log, stderr=log)
            start = [RAY, "start", "--num-cpus=1", "--disable-usage-stats", "--object-store-memory=80000000"]
            head = [
                *start,
                "--head",
                "--port=6399",
                "--node-ip-address=127.0.0.1",
                "--include-dashboard=false",
            ]
            subprocess.run(head, env=environment, check=True, stdout=log, stderr=log)
            alone = (
                f"hostname node-two; mount -t tmpfs none {results}; exec {' '.join(start)} --address={HEAD}"
            )
            second = ["unshare", "-m", "-u", "sh", "-c", alone]
            subprocess.run(second, env=environment | {"NODE": "two"}, check=True, stdout=log, stderr=log)
            assert answers(port, server)
            command = [sys.executable, "-m", "bench", *SWEEP, f"results={results}", f"tracking.uri={uri}"]
            sweep = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=sys.stdout, stderr=log)
            tracker = MLflowTracker(uri, str(folder / "reader"))
            while sweep.poll() is None and "node-two" not in hosts(tracker):
                time.sleep(0.5)
            print("node two has sent results, and is killed", flush=True)
            for pid in of("NODE=two"):
                os.kill(pid, signal.SIGKILL)
            print("status", sweep.wait(300))
            done = [r for r in tracker.all_records() if r.finished]
            print(
                "finished",
                len(done),
                "digests",
                len({r.digest for r in done}),
                "hosts",
                len(set(hosts(tracker))),
            )
        finally:
            for pid in of(f"CLUSTER={folder}"):
                os.kill(pid, signal.SIGKILL)


def hosts(tracker: MLflowTracker) -> list[str]:
    return [record.tags["env.host"] for record in tracker.all_records()]


def of(mark: str) -> list[int]:
    """Processes with this in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
