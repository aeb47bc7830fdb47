"""`python -m bench.studies.overhead`: what a sweep costs beside the fits: `results/sweep_overhead.md`.

A job's overhead is the time from the end of the one before in the same worker to its own end, less
fits and predictions; of a worker's first job, from the start of its process. So it holds Hydra's
composition, the encoding of the data, the evaluation, and writing down what was found.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.files import write_text
from bench.identity import ROOT, code_version
from bench.measure import environment
from bench.progress import say
from bench.tables import markdown_table
from bench.tracking import MLflowTracker

N_RESUMES = 5
DATA = ["data=planted", "split=random"]
SWEEP = ["-m", *DATA, "model=fm_als", "model.n_iter=10", "model.early_stopping=null"]
TEN = ",".join(map(str, range(6, 16)))
GRID = [f"model.l2={TEN}", f"model.l2_w={TEN}"]
TINY = [
    "-m",
    "data=planted",
    "data.n_users=40",
    "data.n_items=50",
    "data.n_ratings=1000",
    "split=random",
]
TINY += ["model=linear", "model.l2=range(1,201)"]
FITS = ("time/selection_fit_seconds", "time/fit_seconds", "time/predict_seconds")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.overhead", description=__doc__)
    parser.add_argument("--sweeps", type=int, default=3, help="of 100 configurations (default: 3)")
    n_sweeps = parser.parse_args(arguments).sweeps
    load = os.getloadavg()[0]
    walls, processor, firsts, warm, fits = [], [], [], [], []
    for i in range(n_sweeps):
        say(f"[{i + 1}/{n_sweeps}] 100 configurations")
        with tempfile.TemporaryDirectory() as folder:
            before = processor_seconds()
            walls.append(seconds_of([*SWEEP, *GRID, "jobs=2"], folder))
            processor.append(processor_seconds() - before)
            first, rest, fit = overheads(MLflowTracker(directory=folder))
            firsts, warm, fits = firsts + first, warm + rest, fits + fit
    with tempfile.TemporaryDirectory() as folder:
        say("200 runs, and the same again")
        seconds_of([*TINY, "jobs=2"], folder)
        resumes = [seconds_of([*TINY, "jobs=2"], folder) for _ in range(N_RESUMES)]
    rows = [
        ["100 configurations, 2 processes: the whole command", *spread(walls), "45"],
        ["the same in processor seconds, of both cores", *spread(processor), ""],
        ["of which a fit (each run has two)", *spread(fits), ""],
        ["overhead of a worker's first run", *spread(firsts), "6"],
        ["overhead of every further run", *spread(warm), "0.25"],
        ["the same command again, 200 runs finished", *spread(resumes), "9"],
    ]
    page = ROOT / "results" / "sweep_overhead.md"
    say()
    write_text(page, document(rows, n_sweeps, load))
    print(page.read_text("utf-8"))
    return 0


def seconds_of(arguments: Sequence[str], results: str) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "bench", *arguments, "keep_model=false", f"results={results}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - began


def processor_seconds() -> float:
    """Of all processes that were started from here and have ended, with those that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def overheads(tracker: MLflowTracker) -> tuple[list[float], list[float], list[float]]:
    """Of the workers' first runs, of all others, and the fits; seconds."""
    ends: dict[str, list[tuple[float, float]]] = {}
    fits = []
    for record in tracker.all_records():
        spent = sum(record.metrics[name] for name in FITS)
        fits += [record.metrics[name] for name in FITS[:2]]
        run = tracker.client.get_run(record.run_id)
        ends.setdefault(record.tags["worker"], []).append((run.info.end_time / 1000, spent))
    firsts, warm = [], []
    for worker, jobs in ends.items():
        jobs.sort()
        firsts.append(jobs[0][0] - started(worker) - jobs[0][1])
        warm += [end - before - spent for (before, _), (end, spent) in itertools.pairwise(jobs)]
    return firsts, warm, fits


def started(process: str) -> float:
    """When a process of that name (`bench.processes.this_process`) began, in seconds since 1970."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + int(process.rsplit(" ", 1)[1]) / os.sysconf("SC_CLK_TCK")


def spread(values: Sequence[float]) -> list[str]:
    """Median, range and n."""
    low, median, high = (
        f"{v:#.3g}".rstrip(".") for v in (min(values), np.median(values), max(values))
    )
    return [median, f"{low} to {high}", str(len(values))]


def document(rows: Sequence[Sequence[str]], n_sweeps: int, load: float) -> str:
    about = environment()
    versions = ", ".join(f"{key} {about[key]}" for key in sorted(about))
    table = markdown_table(["seconds", "median", "range", "n", "at most"], rows)
    return f"""# What does a sweep cost beside the fits?

Generated by `python -m bench.studies.overhead --sweeps {n_sweeps}` (Linux), begun at a load average of {load:.1f} on {os.cpu_count()} cores; the bars
are for an idle machine, and at more than 0.5 other work has lengthened everything here. Sweeps of 100 configurations
on simulated data of the shape of MovieLens-100K,
`{" ".join([*SWEEP, "jobs=2"])}`
with ten values each of `model.l2` and `model.l2_w`; then 200 runs of ridge regression on 1,000 ratings, and the same
command {N_RESUMES} times again.

{table}

Overhead is wall time between the ends of two runs in one worker, less fits and predictions: Hydra's composition
of the configuration, encoding, evaluation, and writing to disk; MLflow's part is the parent's, at the same time. A
worker's first run is counted from the start of its process.

Code: source {code_version()["source"][:12]}. Machine: {versions}.
"""


if __name__ == "__main__":
    sys.exit(main())
