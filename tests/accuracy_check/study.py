"""The proof of the accuracy check: it catches bugs, and only bugs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from bench.check import reference, rule
from bench.check.checking import check
from bench.check.experiments import own_experiments
from bench.errors import UserError
from bench.identity import ROOT
from bench.seeds import derive_rng
from bench.studies.study import Context, Measure, Part, Section, Study, Values
from bench.tables import MISSING, markdown_table, number

MUTANTS = Path(__file__).with_name("mutants.yaml")
COPIED = ("fm", "baselines", "bench", "conf")
THREADS = (1, 2)
CHECKS = 10
"""Of unchanged code, for each number of threads."""
STRIDE = 1000
"""Between the seeds of one check of unchanged code and the next: none is a recorded one."""
COMMITS = 32
"""Of the histories in which bugs are planted."""
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
    """A text patch: `old` stands once in `package`; `touches` are the experiments that are run."""

    bug: str
    touches: Sequence[str]
    package: str
    old: str
    new: str

    @property
    def path(self) -> str:
        """The file with the text that is replaced; UserError where the code has moved on."""
        files = sorted((ROOT / self.package).rglob("*.py"))
        counts = [(f, n) for f in files if (n := f.read_text("utf-8").count(self.old))]
        if [n for _, n in counts] != [1]:
            places = ", ".join(f"{n} times in {f.name}" for f, n in counts) or "nowhere"
            raise UserError(f"{self.old!r} stands {places} in {self.package}: renew {self.bug!r}")
        return counts[0][0].relative_to(ROOT).as_posix()

    def patched(self) -> str:
        """Return the file with the bug in it."""
        return (ROOT / self.path).read_text("utf-8").replace(self.old, self.new)


@cache
def mutants() -> dict[str, list[Mutant]]:
    """Return the `mutants` that the check is to catch, and the `harmless` ones that it is not."""
    kinds = yaml.safe_load(MUTANTS.read_text("utf-8"))
    return {kind: [Mutant(**of) for of in patches] for kind, patches in kinds.items()}


def check_mutant(mutant: Mutant, _: Context) -> Outcomes:
    """Return the outcomes of a check of a copy of the code with the bug."""
    with TemporaryDirectory() as folder:
        _copy_code(Path(folder))
        Path(folder, mutant.path).write_text(mutant.patched(), "utf-8")
        return run_check(Path(folder), {}, mutant.touches)


def find_mutant(mutant: Mutant, _: Context) -> Mapping[str, int | None]:
    """Return where the bug was planted in a history of commits, and where `find` says it was."""
    planted = int(derive_rng(0, "history", mutant.bug).integers(1, COMMITS))
    with TemporaryDirectory() as folder:
        _copy_code(Path(folder))

        def git(*words: str) -> str:
            return subprocess.run(
                ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
            ).stdout

        git("init", "--quiet")
        for position in range(COMMITS):
            Path(folder, "NOTES").write_text(f"{position}\n", "utf-8")
            if position == planted:
                Path(folder, mutant.path).write_text(mutant.patched(), "utf-8")
            git("add", "--all")
            git("commit", "--quiet", "--message", f"commit {position}")
        first = git("rev-list", "--max-parents=0", "HEAD").strip()
        done = _by_program(Path(folder), "find", mutant.touches[0], "--good", first)
    named = re.search(r"commit (\d+)$", done.stdout, re.MULTILINE)
    return {"planted": planted, "named": int(named[1]) if named else None}


def _by_program(
    root: Path, *words: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a check of the code in `root` by a program of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.check", *words]
    given = os.environ | (environment or {}) | {"PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=given, check=False, capture_output=True, text=True)


def run_check(
    root: Path, environment: Mapping[str, str], experiments: Sequence[str] = ()
) -> Outcomes:
    """Return the outcomes of a check of the code in `root`.

    All experiments are run unless some are named, whose verdicts are the same as in a check of all.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "outcomes.json")
        done = _by_program(root, *experiments, "--json", str(path), environment=environment)
        if not path.exists():
            raise UserError(f"the check did not end as it should: {done.stderr[-1000:]}")
        return json.loads(path.read_text("utf-8"))


def _copy_code(folder: Path) -> None:
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)


def check_platform(environment: Mapping[str, str], _: Context) -> Outcomes:
    """Return the outcomes of a check by other kernels."""
    return run_check(ROOT, environment)


def check_unchanged(threads: int, first_seed: int, _: Context) -> Outcomes:
    """Return the outcomes of a check of this code with other seeds."""
    outcomes = check(own_experiments(), reference.OWN, first_seed=first_seed, threads=threads)
    return [asdict(outcome) for outcome in outcomes]


def measure_rates(_: Context) -> Mapping[str, Any]:
    """Return what was recorded, by experiment."""
    entries = {e.name: reference.entry_of(e, reference.OWN) for e in own_experiments()}
    return {
        name: {"run": entry["run"]} | dict(next(iter(entry["metrics"].values())))
        for name, entry in entries.items()
    }


def measures() -> dict[str, Measure]:
    """Return the measurements: a check each of bugs, platforms and unchanged code."""
    of_code: dict[str, Measure] = {
        f"history: {mutant.bug}": partial(find_mutant, mutant) for mutant in mutants()["mutants"]
    }
    for kind, patches in mutants().items():
        of_code |= {f"{kind}: {m.bug}": partial(check_mutant, m) for m in patches}
    for name, environment in PLATFORMS.items():
        of_code[f"platform: {name}"] = partial(check_platform, environment)
    for threads in THREADS:
        for first in range(STRIDE, STRIDE * (CHECKS + 1), STRIDE):
            name = f"unchanged: {threads} threads, seeds from {first}"
            of_code[name] = partial(check_unchanged, threads, first)
    return {"rates": measure_rates} | of_code


def sections(values: Values) -> list[Section]:
    """Write a section a kind of measurement."""
    kinds: dict[str, dict[str, Any]] = {}
    for key, of in values.items():
        kind, _, name = key.partition(": ")
        kinds.setdefault(kind, {})[name] = of
    written: dict[str, tuple[str, Callable[[Any], str]]] = {
        "rates": ("The rule", _rule),
        "mutants": ("Bugs", _bugs),
        "harmless": ("Coarser rounding, which is not to fail", _quiet),
        "platform": ("Other platforms, which are not to fail", _quiet),
        "unchanged": ("Unchanged code", _unchanged),
        "history": ("Which commit made it worse?", _history),
    }
    return [Section(title, write(kinds[k])) for k, (title, write) in written.items() if k in kinds]


def _rule(rates: Mapping[str, Mapping]) -> str:
    (rates,) = rates.values()
    rows = []
    for name, of in rates.items():
        allowed = ", ".join(map(number, of["allowed"].values()))
        row = [name, f"`{of['run']}`", number(of["mean"]), number(of["std"], 5), str(of["n"])]
        rows.append([*row, allowed, f"{of['false_alarms']:.1e}", number(of["catches"])])
    header = ["experiment", "run", "loss", "std", "n", "allowed", "false alarms", "caught"]
    total = sum(of["false_alarms"] for of in rates.values())
    return f"""\
{rule.__doc__.partition(chr(10) * 2)[2].strip()}

{markdown_table(header, rows, left=2)}

*Allowed*: the loss that chance explains, at the first and the second look. *False alarms* and
*caught*, the least loss that {rule.SURE:.0%} of checks notice, are simulated:
{rule.N_CHECKS:,} checks, reference and check drawn from the recorded errors by the smoothed
bootstrap. A check of all experiments is a false alarm in {total:.1e} of cases (bound:
{rule.FALSE_ALARMS:.0e}); most bugs hit several."""


def _bugs(bugs: Mapping[str, Outcomes]) -> str:
    files = {m.bug: m.path for m in mutants()["mutants"]}
    rows = []
    for bug, of in bugs.items():
        by = ", ".join(f"{o['experiment']} ({_loss(o)})" for o in of if o["failure"])
        rows.append([bug, f"`{files.get(bug, MISSING)}`", by or "**not caught**"])
    caught = sum("not caught" not in row[2] for row in rows)
    text = f"{caught} of {len(rows)} are caught. Each was checked by experiments that it touches."
    return f"{text}\n\n{markdown_table(['bug', 'file', 'caught by (loss)'], rows, left=3)}"


def _quiet(changes: Mapping[str, Outcomes]) -> str:
    rows = []
    for name, of in changes.items():
        same = [o["experiment"] for o in of if o["same"] == o["seeds"]]
        others = ", ".join(f"{o['experiment']} {_loss(o)}" for o in of if o["same"] != o["seeds"])
        flagged = ", ".join(o["experiment"] for o in of if o["failure"])
        rows.append([name, flagged or "none", ", ".join(same) or "none", others or "none"])
    header = ["", "fails", "every seed gives the recorded error", "others, mean difference"]
    return markdown_table(header, rows, left=4)


def _unchanged(checks: Mapping[str, Outcomes]) -> str:
    outcomes = [outcome for of in checks.values() for outcome in of]
    false = sum(outcome["failure"] is not None for outcome in outcomes)
    threads = sorted({name.partition(" ")[0] for name in checks})
    return (
        f"Of {len(checks)} checks with other seeds, by {', '.join(threads)} threads, "
        f"{len(outcomes)} verdicts in all, {false} are false alarms."
    )


def _history(bugs: Mapping[str, Mapping[str, int | None]]) -> str:
    right = sum(of["planted"] == of["named"] for of in bugs.values())
    missed = ", ".join(bug for bug, of in bugs.items() if of["planted"] != of["named"])
    return (
        f"Each bug planted at a random place in a history of {COMMITS} commits, of which one is "
        f"named by `python -m bench.check find`: the right one for {right} of {len(bugs)} bugs"
        + (f"; not for: {missed}." if missed else ".")
    )


def _loss(outcome: Mapping) -> str:
    if outcome["change"] is None:
        return outcome["failure"].partition(":")[0]
    seedless = outcome["verdict"] == rule.Verdict.SEEDLESS
    return "seed ignored" if seedless else f"{outcome['change']:+.4f}"


STUDY = Study(
    "accuracy_check",
    "Does the accuracy check catch bugs, and only bugs?",
    "bugs put into copies of the code, checks of unchanged code, other platforms",
    "By the experiments of `python -m bench.check`.",
    (Part("Bugs", measures(), sections),),
    command="python -m tests.accuracy_check",
)
