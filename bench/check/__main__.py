"""`python -m bench.check`: fail, with status 1, when a result is worse than chance explains."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.check import history, reference, simulation
from bench.check.checking import check, n_results, record
from bench.check.experiments import Experiment, own_experiments, read_experiments
from bench.check.outcome import junit, summary
from bench.check.rule import FALSE_ALARMS
from bench.errors import UserError, checked, exit_status
from bench.files import write_text
from bench.tables import MISSING, markdown_table, number
from fm.validation import check_choice


def parser() -> argparse.ArgumentParser:
    """Return the command line of a check."""
    parser = argparse.ArgumentParser(prog="python -m bench.check", description=__doc__)
    add = parser.add_argument
    add(
        "checks",
        nargs="*",
        help="a file of checks (NAME.yaml; default: the project's own), and names of experiments "
        "(default: all)",
    )
    add("--reference", type=Path, help="recorded results (default: NAME.reference.yaml)")
    add("--record", action="store_true", help="make what is measured the reference")
    add("--reason", help="why the reference changes; goes with --record")
    add("--power", type=float, metavar="LOSS", help="how many seeds would notice such a loss")
    add(
        "--values",
        type=int,
        metavar="N",
        help="print the results of N seeds as JSON; judge nothing",
    )
    add("--data", help="data set, in place of what the experiments name")
    add("--threads", type=int, default=1, help="BLAS threads (default: 1)")
    add("--first-seed", type=int, default=0, help="other seeds than the recorded ones")
    add("--junit", type=Path, help="also write JUnit XML")
    add("--json", type=Path, help="also write JSON")
    add("--history", type=Path, help="also append to this file of past checks")
    add("--max-slowdown", type=float, help="also fail at so many times the recorded time")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, record, or show what would be noticed; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] in history.COMMANDS:
        return exit_status(lambda: history.main(arguments))
    asked = parser().parse_args(arguments)
    return exit_status(lambda: _run(asked))


def _run(asked: argparse.Namespace) -> int:
    experiments, names, path = _asked(asked)
    if asked.power is not None:
        print(_power(experiments, path, asked.power))
        return 0
    if asked.values is not None:
        print(json.dumps(_values(experiments, names, asked)))
        return 0
    if asked.record != bool(asked.reason):
        raise UserError('a reference is recorded with its reason: --record --reason "..."')
    data = ", ".join(dict.fromkeys(e.dataset for e in experiments if not names or e.name in names))
    print(f"Accuracy check on {data}", flush=True)
    if asked.record:
        return _record(experiments, names, path, asked.reason)
    options = {"only": names, "first_seed": asked.first_seed, "threads": asked.threads}
    outcomes = list(check(experiments, path, **options))
    text = summary(outcomes, data)
    print(f"\n{text}")
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(page, "a", encoding="utf-8") as file:
            file.write(text)
    if asked.junit:
        write_text(asked.junit, junit(outcomes))
    if asked.json:
        write_text(asked.json, json.dumps([o.as_json() for o in outcomes], indent=1))
    if asked.history:
        history.append(asked.history, outcomes)
    limit = asked.max_slowdown or float("inf")
    slow = [o.name for o in outcomes if (o.slowdown or 0) > limit]
    if slow:
        print(f"Slower than {limit:g} times the recorded time: {', '.join(dict.fromkeys(slow))}")
    return int(bool(slow) or any(o.failure for o in outcomes))


def _asked(asked: argparse.Namespace) -> tuple[list[Experiment], list[str], Path]:
    """Return the experiments of the check, the names of those to run, and the reference."""
    files = [Path(name) for name in asked.checks if name.endswith((".yaml", ".yml"))]
    names = [name for name in asked.checks if not name.endswith((".yaml", ".yml"))]
    if len(files) > 1:
        raise UserError(f"one file of checks at a time, got {', '.join(map(str, files))}")
    if files:
        sys.path.insert(0, os.getcwd())  # where functions of one's own lie
        experiments, path = read_experiments(files[0], asked.data), _beside(files[0])
    else:
        experiments, path = own_experiments(asked.data), reference.OWN
    with checked():
        for name in names:
            check_choice("experiment", name, [e.name for e in experiments])
    return experiments, names, asked.reference or path


def _beside(checks: Path) -> Path:
    return checks.with_name(f"{checks.stem}.reference.yaml")


def _record(experiments: Sequence[Experiment], names: list[str], path: Path, reason: str) -> int:
    rows = []
    for name, entry in record(experiments, path, reason, names):
        for metric, of in entry["metrics"].items():
            figures = [number(of["mean"], 5), number(of["std"], 5), str(of["n"])]
            rows.append(
                [name, metric, *figures, f"{of['false_alarms']:.1e}", f"{of['catches']:.5f}"]
            )
    header = ["experiment", "metric", "mean", "std", "seeds", "false alarms", "catches"]
    print(f"\n{markdown_table(header, rows, left=2)}\n")
    bound = FALSE_ALARMS / n_results(experiments)
    loose = [row[0] for row in rows if float(row[5]) > bound]
    print(
        "Simulated from the recorded seeds. Of checks of unchanged code "
        f"{sum(float(r[5]) for r in rows):.1e} fail (promised: at most {FALSE_ALARMS:g}); a loss"
        f" of *catches* fails {simulation.SURE:.0%} of them."
    )
    if loose:
        print(f"More than promised by {', '.join(loose)}: record with more `seeds`.")
    print(f"Recorded: {path}")
    return 0


def _values(
    experiments: Sequence[Experiment], names: list[str], asked: argparse.Namespace
) -> dict[str, dict[str, tuple[str, list[float]]]]:
    """Return experiment -> metric -> the better direction, and a value a seed."""
    found = {}
    for experiment in experiments:
        if not names or experiment.name in names:
            seeds = range(asked.first_seed, asked.first_seed + asked.values)
            runs = [experiment.measure(seed, asked.threads)[0] for seed in seeds]
            found[experiment.name] = {
                metric: (better, [run[metric] for run in runs])
                for metric, better in experiment.metrics.items()
            }
    return found


def _power(experiments: Sequence[Experiment], path: Path, loss: float) -> str:
    """Return a table of how many seeds would notice `loss`, by the recorded ones."""
    n = n_results(experiments)
    rows = []
    for experiment in experiments:
        entry = reference.entry_of(experiment, path)
        for metric, of in entry["metrics"].items():
            recorded, losses = reference.recorded_of(entry, metric)
            if recorded.std == 0:
                needed = "1" if loss > recorded.room else MISSING
            else:
                found = simulation.seeds_needed(losses, loss, n, recorded)
                needed = MISSING if found is None else str(found)
            rows.append([experiment.name, metric, str(of["seeds"]), f"{of['catches']:.5f}", needed])
    header = ["experiment", "metric", "seeds", "catches", f"seeds to catch {loss:g}"]
    most = max(simulation.SEEDS_TRIED)
    return (
        f"{markdown_table(header, rows, left=2)}\n\n{MISSING}: not by {most} seeds, since the "
        "recorded ones are as noisy; record with more."
    )


if __name__ == "__main__":
    sys.exit(main())
