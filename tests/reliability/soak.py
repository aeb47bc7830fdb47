"""A thousand jobs of two sweeps at once, whose server goes away three times."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.studies.study import Bar, Context, Part, Section, Values, commit
from bench.tables import markdown_table
from bench.tracking.local_store import create_database
from tests.reliability.faulty_sweeps import DATA
from tests.reliability.store_server import StoreServer

N_JOBS = 500
"""Of each of the two sweeps."""
ABSENCES = 3
AWAY_SECONDS = 10.0
REPEATS = 3
"""Of each reading of the runs."""


def measure_soak(_: Context) -> Mapping[str, object]:
    """Return what two sweeps and a server that goes away leave, and what reading it costs."""
    with TemporaryDirectory(prefix="soak-") as name:
        return soak(Path(name).resolve(), N_JOBS)


def soak(folder: Path, n_jobs: int) -> dict[str, object]:
    """Run two sweeps of `n_jobs` jobs each into one server, and read what they left."""
    database = folder / "mlflow.db"
    create_database(database)
    server = StoreServer(database, folder / "mlartifacts", beside=True)
    server.start()
    sweeps = [_sweep(folder, server.uri, 1 + begin, n_jobs) for begin in (0, n_jobs)]
    memory: list[dict[int, float]] = [{}, {}]
    absences = 0
    while any(sweep.poll() is None for sweep in sweeps):
        time.sleep(0.5)
        tracked = len(_digests(database))
        for sweep, seen in zip(sweeps, memory, strict=True):
            with suppress(OSError):  # it has ended
                status = Path(f"/proc/{sweep.pid}/status").read_text()
                for kib in re.findall(r"VmRSS:\s+(\d+)", status):
                    seen[tracked] = int(kib) / 1024
        if absences < ABSENCES and tracked >= 2 * n_jobs * (absences + 1) // (ABSENCES + 1):
            absences += 1
            server.stop(refuse=True)
            time.sleep(AWAY_SECONDS)
            server.start()
    server.stop()
    digests = _digests(database)
    return {
        "jobs": 2 * n_jobs,
        "absences": absences,
        "statuses": [sweep.returncode for sweep in sweeps],
        "lost": 2 * n_jobs - len(set(digests)),
        "twice": len(digests) - len(set(digests)),
        "memory": [_thinned(list(seen.items())) for seen in memory],
        "list": [_cpu_seconds("bench.runs", "list", folder) for _ in range(REPEATS)],
        "report": [_cpu_seconds("bench.report", "sweeps_simulated", folder)],
        "commit": commit(),
    }


def _sweep(folder: Path, uri: str, first: int, n_jobs: int) -> subprocess.Popen[bytes]:
    words = [*DATA, "model=linear", f"model.l2=range({first},{first + n_jobs})"]
    words += ["keep_model=false", f"tracking.uri={uri}", f"results={folder}"]
    with (folder / f"log-{first}").open("wb") as log:
        command = [sys.executable, "-m", "bench", "-m", *words]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def _digests(database: Path) -> list[str]:
    """Return the digest of each finished run that is not deleted."""
    query = (
        "SELECT value FROM tags JOIN runs USING (run_uuid) WHERE key = 'digest'"
        " AND status = 'FINISHED' AND lifecycle_stage = 'active'"
    )
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", timeout=30, uri=True)) as db:
        return [digest for (digest,) in db.execute(query)]


def _thinned(seen: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return a hundred of the measurements at most, the first and the last among them."""
    return [seen[int(i)] for i in np.unique(np.linspace(0, len(seen) - 1, 100).round())]


def _cpu_seconds(module: str, word: str, folder: Path) -> float:
    """Return the CPU time of a command that reads the store."""
    command = [sys.executable, "-m", module, word, "--results", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{module} {word} failed")
    return usage.ru_utime + usage.ru_stime


def growth(memory: Sequence[Sequence[float]]) -> float:
    """Return by what share the memory of a process grew in the second half of the runs."""
    tracked, mib = np.array(memory).T
    late = tracked >= tracked.max() / 2
    slope = np.polyfit(tracked[late], mib[late], 1)[0] if late.sum() > 1 else 0.0
    return float(slope * np.ptp(tracked[late]) / mib[late][0])


def soak_section(values: Values) -> list[Section]:
    """Write the section of the thousand jobs."""
    of = values["soak"]
    grown = [growth(memory) for memory in of["memory"]]
    ends = [f"{memory[-1][1]:.0f}" for memory in of["memory"]]
    header = ["jobs", "server away", "exit statuses", "lost", "twice", "MiB at the end", "commit"]
    counts = [of[name] for name in ("jobs", "absences", "statuses", "lost", "twice")]
    row = [*counts, " and ".join(ends), of["commit"]]
    text = f"""\
{markdown_table(header, [list(map(str, row))])}

Two sweeps of {of["jobs"] // 2} small fits each run at once and send to one MLflow server with an
SQLite database, which is killed three times and is away for {AWAY_SECONDS:.0f} s each. Memory is
the resident one of a sweep's process, at the end while it writes the report; its growth is from
half of the runs on, by a line fitted to it. Times are CPU seconds of
`python -m bench.runs list` and `python -m bench.report` over all runs, imports included."""
    bars = [
        Bar("soak: jobs lost", np.array([of["lost"]]), high=0),
        Bar("soak: jobs tracked twice", np.array([of["twice"]]), high=0),
        Bar("soak: growth of a sweep's memory", np.array(grown), high=0.05),
        Bar(f"soak: CPU s, list of {of['jobs']:,} runs", np.array(of["list"]), high=2),
        Bar(f"soak: CPU s, report of {of['jobs']:,} runs", np.array(of["report"]), high=5),
    ]
    return [Section("A thousand jobs", text, bars)]


PART = Part("A thousand jobs", {"soak": measure_soak}, soak_section)
