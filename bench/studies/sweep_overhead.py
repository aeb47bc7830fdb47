"""What a sweep costs beside the fits.

A job's overhead is the time from the end of the one before in the same worker to its own end,
less fits and predictions; of a worker's first job, from the start of its process. It holds
Hydra's composition, the encoding of the data, the evaluation, and writing down the result.
"""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.identity import ROOT
from bench.studies.study import TEXTS, Bar, Context, Part, Section, Study, Values, spread
from bench.tables import markdown_table
from bench.tracking import MLflowTracker

PAGE = TEXTS["sweep_overhead"]
N_RESUMES = 5
SWEEP = "-m data=planted split=random model=fm_als model.n_iter=10 model.early_stopping=null jobs=2"
TEN = ",".join(map(str, range(6, 16)))
GRID = (f"model.l2={TEN}", f"model.l2_w={TEN}")
TINY = (
    "-m data=planted data.n_users=40 data.n_items=50 data.n_ratings=1000 split=random model=linear "
    "model.l2=range(1,201) jobs=2"
)
FITS = ("time/selection_fit_seconds", "time/fit_seconds", "time/predict_seconds")
ROWS = {
    "wall": ("100 configurations, 2 processes: the whole command", 45),
    "processor": ("the same in processor seconds, of both cores", None),
    "fit": ("of which a fit (each run has two)", None),
    "first": ("overhead of a worker's first run", 6),
    "further": ("overhead of every further run", 0.25),
    "resumed": ("the same command again, 200 runs finished", 9),
}
"""What is measured -> what it is, and its bound in seconds."""
TITLE = "Seconds"


def measure_sweeps(context: Context) -> Mapping[str, Sequence[float]]:
    """Return seconds of sweeps of 100 configurations, and what they are made of."""
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(context.repeats):
        with TemporaryDirectory() as folder:
            wall, processor = _seconds_of([*SWEEP.split(), *GRID], folder)
            parts = overheads(MLflowTracker(directory=folder))
            for name, of in ({"wall": [wall], "processor": [processor]} | parts).items():
                times[name] += of
    return times


def measure_resumed(_: Context) -> Sequence[float]:
    """Return seconds of a command whose 200 runs are finished."""
    with TemporaryDirectory() as folder:
        return [_seconds_of(TINY.split(), folder)[0] for _ in range(1 + N_RESUMES)][1:]


def _seconds_of(arguments: Sequence[str], results: str) -> tuple[float, float]:
    """Return the wall seconds of a command of the harness, and those of all its processes."""
    command = [sys.executable, "-m", "bench", *arguments, "keep_model=false", f"results={results}"]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    wall, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, used.ru_utime - before.ru_utime + used.ru_stime - before.ru_stime


def overheads(tracker: MLflowTracker) -> dict[str, list[float]]:
    """Return seconds: overheads of the workers' `first` runs, of all `further`, and each `fit`."""
    ends: dict[str, list[tuple[float, float]]] = defaultdict(list)
    times: dict[str, list[float]] = {"first": [], "further": [], "fit": []}
    for record in tracker.all_records():
        spent = sum(record.metrics[name] for name in FITS)
        times["fit"] += [record.metrics[name] for name in FITS[:2]]
        run = tracker.client.get_run(record.run_id)
        ends[record.tags["worker"]].append((run.info.end_time / 1000, spent))
    for worker, jobs in ends.items():
        jobs.sort()
        times["first"].append(jobs[0][0] - _started(worker) - jobs[0][1])
        pairs = itertools.pairwise(jobs)
        times["further"] += [end - before - spent for (before, _), (end, spent) in pairs]
    return times


def _started(process: str) -> float:
    """Return when a process of that name (`bench.processes.this_process`) began, since 1970."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + int(process.rsplit(" ", 1)[1]) / os.sysconf("SC_CLK_TCK")


def section(values: Values) -> list[Section]:
    """Write the section."""
    times = {**values.get("sweeps", {}), "resumed": values.get("resumed")}
    table = [(what, high, of) for name, (what, high) in ROWS.items() if (of := times.get(name))]
    bars = [Bar(what, of, high=high) for what, high, of in table if high is not None]
    rows = [[what, spread(of), str(len(of))] for what, _, of in table]
    table_text = markdown_table(["seconds", "median (min–max)", "n"], rows)
    text = PAGE["seconds"].format(table=table_text, sweep=SWEEP, resumes=N_RESUMES)
    return [Section(TITLE, text, bars)]


STUDY = Study(
    name="sweep_overhead",
    parts=(Part(TITLE, {"sweeps": measure_sweeps, "resumed": measure_resumed}, section),),
    repeats=3,
    **PAGE["study"],
)
