"""What a sweep leaves after faults of machine and disk, and how malformed files are read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from bench.studies.study import Bar, Context, Part, Section, Study, Values, commit
from bench.tables import markdown_table
from tests.reliability import soak
from tests.reliability.fault_injection import FAULTS
from tests.reliability.faulty_sweeps import MODES, NOT_REACHED, SURVIVED, FaultySweep
from tests.reliability.fuzzing import Finding, fuzz, fuzz_models

EVERY = "RELIABILITY_EVERY"
"""Environment variable: 3, a fault at every third call only; by default at every one."""
N_FILES = 10_000
"""Of a seed."""
FILE_SEEDS = range(10)
KINDS = ("traceback", "misread", "refused though valid")


@cache
def faulty_sweep(mode: str) -> FaultySweep:
    """Return the sweep of a mode, which is made once in a process."""
    return FaultySweep(mode, Path(mkdtemp(prefix="reliability-")).resolve())


@cache
def workers() -> ProcessPoolExecutor:
    """Return the processes that make trials: twice as many as cores, since trials wait for disk."""
    return ProcessPoolExecutor(2 * (os.cpu_count() or 1), get_context("spawn"))


def trial(mode: str, fault: str, call: int) -> str:
    """Return the outcome of a trial."""
    return faulty_sweep(mode).trial(fault, call)


def calls_of(mode: str) -> int:
    """Return how many calls an undisturbed sweep makes."""
    return faulty_sweep(mode).calls


def measure_faults(mode: str, fault: str, _: Context) -> Mapping[str, object]:
    """Return the number of calls and of trials, and the outcome of each trial that failed."""
    calls = workers().submit(calls_of, mode).result()
    tried = range(1, calls + 1, int(os.environ.get(EVERY, "1")))
    outcomes = workers().map(partial(trial, mode, fault), tried)
    reached = {n: of for n, of in zip(tried, outcomes, strict=True) if of != NOT_REACHED}
    failed = {str(call): outcome for call, outcome in reached.items() if outcome != SURVIVED}
    counts = {"calls": calls, "every": tried.step, "trials": len(reached)}
    return {**counts, "failed": failed, "commit": commit()}


def read_files(seed: int) -> list[Finding]:
    """Return what is wrong with the reading of so many files."""
    return list(fuzz(N_FILES, seed))


def measure_files(_: Context) -> Mapping[str, object]:
    """Return how many files were read, and the findings by kind."""
    findings = [finding for of in workers().map(read_files, FILE_SEEDS) for finding in of]
    return {
        "files": N_FILES * len(FILE_SEEDS),
        "findings": Counter(finding.kind for finding in findings),
        "examples": [f"{f.kind}: {f.content!r}: {f.detail}"[:400] for f in findings[:3]],
        "commit": commit(),
    }


def measure_models(_: Context) -> Mapping[str, object]:
    """Return how many damaged model files were loaded, and the findings by kind."""
    findings = Counter(finding.kind for finding in fuzz_models(N_FILES))
    return {"files": N_FILES, "findings": findings, "commit": commit()}


def fault_section(values: Values) -> list[Section]:
    """Write the section of the faults."""
    rows, bars, failures = [], [], []
    for name in FAULT_MEASURES:
        if name not in values:
            failures.append(f"- {name}: not measured yet.")
            continue
        mode, fault = name.split(": ")
        of = values[name]
        n, failed = of["trials"], of["failed"]
        counts = (of["calls"], of.get("every", 1), n, n - len(failed), of["commit"])
        rows.append([MODES[mode][1], FAULTS[fault], *map(str, counts)])
        bars.append(Bar(f"{name}: trials that did not survive", np.array([len(failed)]), high=0))
        failures += [f"- {name} at call {call}: {outcome}." for call, outcome in failed.items()]
    header = [
        "jobs run",
        "fault",
        "calls of the sweep",
        "of which every",
        "trials",
        "survived",
        "commit",
    ]
    text = f"""\
{markdown_table(header, rows, left=2)}

A sweep of two small fits is sent, reported and closed. A call changes a file below its results
folder, commits a change of the database, or is a message to the server; calls of all processes of
the sweep are counted together. A trial injects a fault at one call and starts the same sweep again;
there is one for every n-th call, as the table says (`{EVERY}=n`, by default for every one; commits
50984722e928 and, with a server, 6e777d360457 were tried at every call: all 1,344 trials survived).
It survived if the second start ends with status 0, and all runs, parameters, metrics, files and the
report's bytes are those of an undisturbed sweep, each run once; and if, where the first start ended
with status 0 in spite of the fault, they were that already.

Calls of several processes come in an order of their own each time, so that the last may not be
reached by a trial. Worker processes are forked, where Hydra's launcher starts them anew. Figures
are not drawn. Loss of power leaves SQLite's own files as they are: it synchronizes these itself."""
    return [Section("Faults", "\n\n".join([text, "\n".join(failures)]).rstrip(), bars)]


def file_section(values: Values) -> list[Section]:
    """Write the section of the files."""
    rows, bars, examples = [], [], []
    for what, of in values.items():
        counts = Counter(of["findings"])
        kinds = [str(counts[kind]) for kind in KINDS]
        rows.append([what, f"{of['files']:,}", *kinds, of["commit"]])
        bars += [Bar(f"{what}: {kind}", np.array([counts[kind]]), high=0) for kind in KINDS]
        examples += [f"- `{text}`" for text in of.get("examples", ())]
    text = f"""\
{markdown_table(["files of", "files", *KINDS, "commit"], rows)}

Files of one to six ratings with five separators, about half of them damaged in one to three places:
what the loader reads must equal what Python's `csv`, `int` and `float` read; a damaged file may be
refused. Files that `fm.save` wrote, all damaged: `fm.load` refuses them, or the model predicts what
it did before. Not covered: Parquet, svmlight, archives."""
    return [Section("Malformed files", "\n\n".join([text, "\n".join(examples)]).rstrip(), bars)]


FAULT_MEASURES = {
    f"{mode}: {fault}": partial(measure_faults, mode, fault) for mode in MODES for fault in FAULTS
}
FILE_MEASURES = {"ratings": measure_files, "models": measure_models}

STUDY = Study(
    "reliability",
    "What survives faults, long sweeps and malformed files?",
    "faults at every call to disk, database and server; a thousand jobs; malformed files",
    "Each count is of one run, by the code of the commit that stands beside it; a bar is that "
    "nothing fails. Linux only.",
    (
        Part("Faults", FAULT_MEASURES, fault_section),
        soak.PART,
        Part("Malformed files", FILE_MEASURES, file_section),
    ),
    any_code=True,
    command="python -m tests.reliability",
)
