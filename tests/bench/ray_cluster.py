"""A Ray cluster of two nodes with nothing but the network between them, for test_launchers.py.

Run as the first process of network and process namespaces of its own: Ray listens on every
interface, and whatever is started here ends with this. Node "two" has a host name and an address of
its own, and its own disk in place of the folder of results. It is killed while it works.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.identity import ROOT
from bench.tracking import MLflowTracker
from bench.ui import answers, free_port

RAY = str(Path(sys.executable).with_name("ray"))
HEAD = "127.0.0.1:6399"
N_JOBS = 6
SWEEP = [
    "-m",
    "data=planted",
    "data.n_users=40",
    "data.n_items=50",
    "data.n_ratings=1000",
    "model=fm_gibbs",
]
SWEEP += ["model.n_iter=300", f"seed=range(0,{N_JOBS})", "hydra/launcher=ray", "keep_model=false"]
NODE = [RAY, "start", "--num-cpus=1", "--object-store-memory=80000000"]
START_SECONDS, SWEEP_SECONDS = 120, 200


def main(folder: Path) -> None:
    results, port = folder / "results", free_port()
    results.mkdir()
    uri = f"http://127.0.0.1:{port}"
    os.environ |= {
        "RAY_ADDRESS": HEAD,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "3",
        "PYTHONPATH": str(ROOT),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
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
        server = subprocess.Popen(serve, stdout=log, stderr=log)
        begin(
            [
                *NODE,
                "--head",
                "--port=6399",
                "--node-ip-address=127.0.0.1",
                "--include-dashboard=false",
            ],
            log,
        )
        two = f"hostname node-two; mount -t tmpfs none {results}; NODE=two exec {' '.join(NODE)}"
        two += f" --address={HEAD} --node-ip-address=127.0.0.2"
        begin(["unshare", "-m", "-u", "sh", "-c", two], log)
        assert answers(port, server)
        command = [
            sys.executable,
            "-m",
            "bench",
            *SWEEP,
            f"results={results}",
            f"tracking.uri={uri}",
        ]
        sweep = subprocess.Popen(command, cwd=ROOT, stdout=sys.stdout, stderr=log)
        tracker = MLflowTracker(uri, str(folder / "reader"))
        while "node-two" not in hosts(tracker) and sweep.poll() is None:
            time.sleep(0.5)
        if sweep.poll() is None:
            for pid in of("NODE=two"):
                os.kill(pid, signal.SIGKILL)
            print("node two has sent results, and is killed", flush=True)
        print("status", sweep.wait(SWEEP_SECONDS))
        done = [r for r in tracker.all_records() if r.finished]
        print(
            f"{len(done)} finished runs of {len({r.digest for r in done})} jobs "
            f"on {len(set(hosts(tracker)))} hosts"
        )


def begin(command: list[str], log) -> None:
    subprocess.run(command, check=True, stdout=log, stderr=log, timeout=START_SECONDS)


def hosts(tracker: MLflowTracker) -> list[str]:
    return [record.tags["env.host"] for record in tracker.all_records()]


def of(mark: str) -> list[int]:
    """Processes with this in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
