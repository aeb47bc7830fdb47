"""`python -m bench.check`: fails, with status 1, when a model became less accurate than chance explains."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bench.check import reference
from bench.check.calibration import calibrate
from bench.check.checking import check, measured_for_record
from bench.check.experiments import EXPERIMENTS, load
from bench.check.outcome import junit, summary
from bench.data.dataset import Dataset
from bench.errors import UserError, checked, exit_status
from bench.files import write_text
from bench.progress import say
from fm.validation import check_choice


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.check", description=__doc__)
    parser.add_argument(
        "experiments", nargs="*", help=f"of {', '.join(EXPERIMENTS)} (default: all)"
    )
    parser.add_argument(
        "--data",
        choices=("auto", "ml100k", "planted"),
        default="auto",
        help="default: ml100k where it is",
    )
    parser.add_argument("--record", action="store_true", help="make what is measured the reference")
    parser.add_argument("--reason", help="why the reference changes; goes with --record")
    parser.add_argument("--threads", type=int, default=1, help="BLAS threads (default: 1)")
    parser.add_argument(
        "--first-seed", type=int, default=0, help="check other seeds than the recorded ones"
    )
    parser.add_argument("--junit", type=Path, help="also write the outcome as JUnit XML")
    parser.add_argument(
        "--max-slowdown",
        type=float,
        help="also fail when an experiment takes so many times its recorded time",
    )
    asked = parser.parse_args()
    if asked.record != bool(asked.reason):
        raise UserError('a reference is recorded with its reason: --record --reason "..."')
    with checked():
        for name in asked.experiments:
            check_choice("experiment", name, EXPERIMENTS)
    dataset = load(asked.data)
    print(f"Accuracy check on {dataset.source}", flush=True)
    names = asked.experiments or list(EXPERIMENTS)
    return _record(dataset, names, asked.reason) if asked.record else _check(dataset, names, asked)


def _check(dataset: Dataset, names: list[str], asked: argparse.Namespace) -> int:
    outcomes = []
    for outcome in check(dataset, names, first_seed=asked.first_seed, threads=asked.threads):
        outcomes.append(outcome)
        say(f"[{len(outcomes)}/{len(names)}] {outcome.name}")
    say()
    text = summary(outcomes, dataset.name)
    print(f"\n{text}")
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(page, "a", encoding="utf-8") as file:
            file.write(text)
    if asked.junit:
        write_text(asked.junit, junit(outcomes))
    slow = [
        o.name for o in outcomes if o.time > (asked.max_slowdown or float("inf")) * o.recorded_time
    ]
    if slow:
        print(f"Slower than {asked.max_slowdown:g} times the recorded time: {', '.join(slow)}")
    return int(bool(slow) or any(o.failure for o in outcomes))


def _record(dataset: Dataset, names: list[str], reason: str) -> int:
    speed = calibrate()
    for name in names:
        say(name)
        measured = measured_for_record(dataset, name)
        reference.record(dataset, name, measured, speed, reason)
        say()
        print(f"{name}: {len(measured)} seeds", flush=True)
    print(f"Recorded: {reference.PATH}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
