"""`python -m bench.check`: fail, with status 1, when a result is worse than chance explains."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.check import bisection, history, reference, rule
from bench.check.checking import check, n_results, record, summary, values_of
from bench.check.experiments import Experiment, own_experiments, read_experiments
from bench.errors import UserError, checked, exit_status, sentence
from bench.files import write_text
from bench.tables import MISSING, markdown_table, number
from fm.validation import check_choice

COMMANDS = {"history": history.main, "find": bisection.main}


def parser() -> argparse.ArgumentParser:
    """Return the command line of a check."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.check",
        description=f"{__doc__} Also: history, each result over commits; find NAME, the commit "
        "that made it worse.",
    )
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
    add("--values", type=int, metavar="N", help="print results of N seeds as JSON; judge nothing")
    add("--cache", type=Path, help="folder of results by digest, which --values reads and adds to")
    add("--json", type=Path, help="also write JSON")
    add("--base", type=Path, help="the JSON of another check, to stand beside this one")
    add("--comment", type=Path, help="also write the table as Markdown")
    add("--results", default="results", help="folder of the store that the check is tracked in")
    add("--no-track", action="store_true", help="do not track it")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, record, or show what would be noticed; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] in COMMANDS:
        return exit_status(lambda: COMMANDS[arguments[0]](arguments[1:]))
    options = parser().parse_intermixed_args(arguments)
    return exit_status(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    experiments, n, path = _selected(options)
    if options.power is not None:
        print(_power(experiments, n, path, options.power))
        return 0
    if options.values is not None:
        print(json.dumps({e.name: _values(e, options.values, options.cache) for e in experiments}))
        return 0
    if options.record != bool(options.reason):
        raise UserError('a reference is recorded with its reason: --record --reason "..."')
    data = ", ".join(dict.fromkeys(e.dataset for e in experiments))
    print(f"Accuracy check on {data}", flush=True)
    if options.record:
        return _record(experiments, n, path, options.reason)
    base = _base(options.base) if options.base else None
    outcomes = list(check(experiments, path, n))
    text = summary(outcomes, data, base)
    print(f"\n{text}")
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(page, "a", encoding="utf-8") as file:
            file.write(text)
    if options.json:
        write_text(options.json, json.dumps([asdict(o) for o in outcomes], indent=1))
    if options.comment:
        write_text(options.comment, text)
    if not options.no_track:
        try:
            history.track(outcomes, text, options.results)
        except Exception as error:  # the verdict counts, whatever became of the store
            print(f"The check could not be tracked in {options.results}: {sentence(error)}")
    return int(any(o.failure for o in outcomes))


def _base(path: Path) -> dict[tuple[str, str], float]:
    """Return the results of another check, by experiment and metric."""
    try:
        outcomes = json.loads(path.read_text("utf-8"))
        return {(of["experiment"], of["metric"]): of["now"] for of in outcomes}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read the outcome {path} of a check: {sentence(error)}") from error


def _selected(options: argparse.Namespace) -> tuple[list[Experiment], int, Path]:
    """Return the experiments to run, how many results the whole check has, and the reference."""
    files = [Path(name) for name in options.checks if name.endswith((".yaml", ".yml"))]
    names = [name for name in options.checks if not name.endswith((".yaml", ".yml"))]
    if len(files) > 1:
        raise UserError(f"one file of checks at a time, got {', '.join(map(str, files))}")
    if files:
        sys.path.insert(0, os.getcwd())  # where functions of one's own lie
        experiments = read_experiments(files[0])
        path = files[0].with_name(f"{files[0].stem}.reference.yaml")
    else:
        experiments, path = own_experiments(), reference.OWN
    with checked():
        for name in names:
            check_choice("experiment", name, [e.name for e in experiments])
    chosen = [e for e in experiments if not names or e.name in names]
    return chosen, n_results(experiments), options.reference or path


def _record(experiments: Sequence[Experiment], n: int, path: Path, reason: str) -> int:
    rows, loose, total = [], [], 0.0
    for name, entry in record(experiments, path, reason, n):
        for metric, of in entry["metrics"].items():
            row = [name, metric, number(of["mean"], 5), number(of["std"], 5), str(of["n"])]
            rows.append([*row, f"{of['false_alarms']:.1e}", f"{of['catches']:.5f}"])
            total += of["false_alarms"]
            loose += [name] * (of["false_alarms"] > rule.FALSE_ALARMS / n)
    header = ["experiment", "metric", "mean", "std", "seeds", "false alarms", "catches"]
    print(
        f"\n{markdown_table(header, rows, left=2)}\n\nSimulated from the recorded seeds. Of checks "
        f"of unchanged code {total:.1e} fail (promised: at most {rule.FALSE_ALARMS:g}); a loss of "
        f"*catches* fails {rule.SURE:.0%} of them."
    )
    if loose:
        print(f"More than promised by {', '.join(loose)}: record with more `seeds`.")
    print(f"Recorded: {path}")
    return 0


def _values(
    experiment: Experiment, n_seeds: int, cache: Path | None
) -> dict[str, tuple[str, list[float]]]:
    """Return the better direction of each metric, and a value a seed."""
    runs = values_of(experiment, n_seeds, cache)
    return {m: (better, [run[m] for run in runs]) for m, better in experiment.metrics.items()}


def _power(experiments: Sequence[Experiment], n: int, path: Path, loss: float) -> str:
    """Return a table of how many seeds would notice `loss`, by the recorded ones."""
    rows = []
    for experiment in experiments:
        entry = reference.entry_of(experiment, path)
        for metric, of in entry["metrics"].items():
            needed = rule.seeds_needed(reference.recorded_of(entry, metric), loss, n)
            seeds = MISSING if needed is None else str(needed)
            rows.append([experiment.name, metric, str(of["seeds"]), f"{of['catches']:.5f}", seeds])
    header = ["experiment", "metric", "seeds", "catches", f"seeds to catch {loss:g}"]
    most = max(rule.SEEDS_TRIED)
    return (
        f"{markdown_table(header, rows, left=2)}\n\n{MISSING}: not by {most} seeds, since the "
        "recorded ones are as noisy; record with more."
    )


if __name__ == "__main__":
    sys.exit(main())
