"""The proof of the accuracy check: it catches bugs, and only bugs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from bench.check import reference, rule, simulation
from bench.check.checking import check
from bench.check.experiments import own_experiments
from bench.check.rule import FALSE_ALARMS, GROSS, NEGLIGIBLE, SUSPICIOUS, looks_of
from bench.errors import UserError
from bench.identity import ROOT
from bench.studies.study import Context, Measure, Part, Section, Study, Values
from bench.tables import MISSING, markdown_table, number

MUTANTS = Path(__file__).with_name("mutants.yaml")
COPIED = ("fm", "baselines", "bench", "conf")
DATA = "ml100k"
THREADS = (1, 2)
CHECKS = 20
"""Of unchanged code, for each number of threads."""
STRIDE = 1000
"""Between the seeds of one check of unchanged code and the next: none is a recorded one."""
PLATFORMS = {
    "OpenBLAS for Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS for Sandy Bridge": {"OPENBLAS_CORETYPE": "Sandybridge"},
    "OpenBLAS for Nehalem, NumPy without AVX2 and FMA": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    },
}
"""Other platforms, as far as one machine can show them: kernels that sum in another order."""
Outcomes = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Mutant:
    """`old` stands once in the package `room`; `touches` are the experiments that are run."""

    bug: str
    touches: Sequence[str]
    room: str
    old: str
    new: str

    @property
    def path(self) -> str:
        """The file with the text that is replaced; UserError where the code has moved on."""
        files = [*sorted((ROOT / self.room).rglob("*.py"))]
        found = [(f, n) for f in files if (n := f.read_text("utf-8").count(self.old))]
        if [n for _, n in found] != [1]:
            places = ", ".join(f"{n} times in {f.name}" for f, n in found) or "nowhere"
            raise UserError(f"{self.old!r} stands {places} in {self.room}: renew {self.bug!r}")
        return found[0][0].relative_to(ROOT).as_posix()

    def patched(self) -> str:
        """Return the file with the bug in it."""
        return (ROOT / self.path).read_text("utf-8").replace(self.old, self.new)


@cache
def mutants() -> dict[str, list[Mutant]]:
    """Return the `mutants` that the check is to catch, and the `harmless` ones that it is not."""
    kinds = yaml.safe_load(MUTANTS.read_text("utf-8"))
    return {kind: [Mutant(**of) for of in found] for kind, found in kinds.items()}


def check_mutant(mutant: Mutant, _: Context) -> Outcomes:
    """Return the outcomes of a check of a copy of the code with the bug."""
    with TemporaryDirectory() as folder:
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, Path(folder, name), ignore=ignored)
        Path(folder, mutant.path).write_text(mutant.patched(), "utf-8")
        return run_check(Path(folder), {}, mutant.touches)


def run_check(
    root: Path, environment: Mapping[str, str], experiments: Sequence[str] = ()
) -> Outcomes:
    """Return the outcomes of a check of the code in `root`, by a program of its own.

    All experiments are run unless some are named, whose verdicts are the same as in a check of all.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "outcomes.json")
        command = [sys.executable, "-W", "ignore", "-m", "bench.check", *experiments]
        done = subprocess.run(
            [*command, "--data", DATA, "--json", str(path)],
            cwd=root,
            env=os.environ | environment | {"PYTHONPATH": str(root)},
            check=False,
            capture_output=True,
            text=True,
        )
        if not path.exists():
            raise UserError(f"the check did not end as it should: {done.stderr[-1000:]}")
        return json.loads(path.read_text("utf-8"))


def check_platform(environment: Mapping[str, str], _: Context) -> Outcomes:
    """Return the outcomes of a check by other kernels."""
    return run_check(ROOT, environment)


def check_unchanged(threads: int, first_seed: int, _: Context) -> Outcomes:
    """Return the outcomes of a check of this code with other seeds."""
    outcomes = check(own_experiments(DATA), reference.OWN, first_seed=first_seed, threads=threads)
    return [outcome.as_json() for outcome in outcomes]


def measure_rates(_: Context) -> Mapping[str, Any]:
    """Return what was recorded, by experiment."""
    entries = {e.name: reference.entry_of(e, reference.OWN) for e in own_experiments(DATA)}
    return {
        name: {"run": entry["run"]} | dict(next(iter(entry["metrics"].values())))
        for name, entry in entries.items()
    }


def measures() -> dict[str, Measure]:
    """Return the measurements: a check each of bugs, platforms and unchanged code."""
    found: dict[str, Measure] = {
        f"{kind}: {m.bug}": partial(check_mutant, m) for kind, of in mutants().items() for m in of
    }
    for name, environment in PLATFORMS.items():
        found[f"platform: {name}"] = partial(check_platform, environment)
    for threads in THREADS:
        for first in range(STRIDE, STRIDE * (CHECKS + 1), STRIDE):
            name = f"unchanged: {threads} threads, seeds from {first}"
            found[name] = partial(check_unchanged, threads, first)
    return {"rates": measure_rates} | found


def sections(values: Values) -> list[Section]:
    """Write a section a kind of measurement."""
    kinds: dict[str, dict[str, Any]] = {}
    for key, of in values.items():
        kind, _, name = key.partition(": ")
        kinds.setdefault(kind, {})[name] = of
    tables: dict[str, tuple[str, Callable[[Any], str]]] = {
        "The rule": ("rates", _rule),
        "Bugs": ("mutants", _bugs),
        "Coarser rounding": ("harmless", _harmless),
        "Other platforms": ("platform", _platforms),
        "Unchanged code": ("unchanged", _unchanged),
    }
    return [
        Section(title, write(kinds[kind]))
        for title, (kind, write) in tables.items()
        if kind in kinds
    ]


def _rule(rates: Mapping[str, Mapping]) -> str:
    (rates,) = rates.values()
    rows = [
        [
            name,
            f"`{of['run']}`",
            number(of["mean"]),
            number(of["std"], 5),
            str(of["n"]),
            ", ".join(number(allowed) for allowed in of["allowed"].values()),
            f"{of['false_alarms']:.1e}",
            number(of["catches"]),
        ]
        for name, of in rates.items()
    ]
    header = ["experiment", "run", "MSE", "std", "n", "allowed", "false alarms", "caught"]
    caught = max(of["catches"] for of in rates.values())
    looks = looks_of(max(of["seeds"] for of in rates.values()))
    total = sum(of["false_alarms"] for of in rates.values())
    return f"""\
{rule.__doc__.partition(chr(10) * 2)[2].strip()}

FALSE_ALARMS = {FALSE_ALARMS:g}, looks of {looks[0]} and {looks[1]} seeds, GROSS = {GROSS:g},
SUSPICIOUS = {SUSPICIOUS:g}, NEGLIGIBLE = {NEGLIGIBLE:g}.

{markdown_table(header, rows, left=2)}

*Allowed*: the loss in MSE that chance explains, at the first and the second look. *False alarms*
and *caught*, the least loss that {simulation.SURE:.0%} of checks notice, are simulated:
{simulation.N_CHECKS:,} checks, reference and check drawn from the recorded errors by the smoothed
bootstrap. A check of all experiments is a false alarm in {total:.1e} of cases (bound:
{FALSE_ALARMS:.0e}), and catches a loss of {caught:.4f} in any one; most bugs hit several."""


def _bugs(bugs: Mapping[str, Outcomes]) -> str:
    files = {m.bug: m.path for m in mutants()["mutants"]}
    rows = [
        [
            bug,
            f"`{files.get(bug, MISSING)}`",
            _listed(f"{o['experiment']} ({_loss(o)})" for o in of if o["failure"]),
        ]
        for bug, of in bugs.items()
    ]
    caught = sum(bool(row[2]) for row in rows)
    table = markdown_table(
        ["bug", "file", "caught by (loss in MSE)"],
        [[*row[:2], row[2] or "**not caught**"] for row in rows],
        left=3,
    )
    found = f"{caught} of {len(rows)} are caught. Each was checked by experiments that it touches."
    return f"{found}\n\n{table}"


def _harmless(changes: Mapping[str, Outcomes]) -> str:
    rows = [
        [change, _listed(f"{o['experiment']} {_loss(o)}" for o in of), _flagged(of)]
        for change, of in changes.items()
    ]
    table = markdown_table(["change", "loss in MSE", "flagged"], rows, left=3)
    return f"Rounding that a fit should bear: the check is to stay quiet.\n\n{table}"


def _platforms(platforms: Mapping[str, Outcomes]) -> str:
    rows = []
    for name, of in platforms.items():
        same = [o["experiment"] for o in of if o["same"] == o["seeds"]]
        others = _listed(f"{o['experiment']} {_loss(o)}" for o in of if o["same"] != o["seeds"])
        rows.append([name, _flagged(of), _listed(same) or "none", others or "none"])
    header = ["platform", "flagged", "every seed gives the recorded error", "others, difference"]
    return f"""\
{markdown_table(header, rows, left=4)}

Differences are of the mean error from the recorded one. Where a fit is chaotic, rounding makes
another seed of it, which is what the rule allows for."""


def _unchanged(checks: Mapping[str, Outcomes]) -> str:
    outcomes = [outcome for of in checks.values() for outcome in of]
    false = sum(outcome["failure"] is not None for outcome in outcomes)
    return (
        f"Of {len(checks)} checks with other seeds, by {_listed(map(str, THREADS))} threads, "
        f"{len(outcomes)} verdicts in all, {false} are false alarms."
    )


def _loss(outcome: Mapping) -> str:
    if outcome["change"] is None:
        return outcome["failure"].partition(":")[0]
    seedless = outcome["verdict"] == rule.Verdict.SEEDLESS
    return "seed ignored" if seedless else f"{outcome['change']:+.4f}"


def _flagged(of: Outcomes) -> str:
    return _listed(o["experiment"] for o in of if o["failure"]) or "none"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


STUDY = Study(
    "accuracy_check",
    "Does the accuracy check catch bugs, and only bugs?",
    "bugs put into copies of the code, checks of unchanged code, other platforms",
    "MovieLens-100K, by the experiments of `python -m bench.check`.",
    (Part("Bugs", measures(), sections),),
)
