"""Checks as tracked runs of the experiment `checks`, and each result over commits."""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from bench.check.checking import Outcome
from bench.errors import UserError
from bench.identity import code_version
from bench.tables import markdown_table, number
from bench.tracking import Experiment, MLflowTracker, RunReader

CHECKS = Experiment("checks", "Each run is a check of accuracy: a metric a result, its mean.")
OUTCOME = "outcome."
"""Tags of a run that hold an outcome each, as JSON."""


def track(outcomes: Sequence[Outcome], text: str, results: str) -> None:
    """Keep a check as a run: its outcomes as tags and metrics, `text` as its description."""
    tags = {f"code.{name}": value for name, value in code_version().items()}
    tags |= {"role": "check", "mlflow.note.content": text}
    tags |= {f"{OUTCOME}{n:03}": json.dumps(asdict(outcome)) for n, outcome in enumerate(outcomes)}
    metrics = {
        re.sub(r"[^/\w.\- ]", "_", f"{o.experiment}/{o.metric}"): o.now
        for o in outcomes
        if o.now is not None
    }
    failed = sum(outcome.failure is not None for outcome in outcomes)
    name = f"{failed} of {len(outcomes)} got worse" if failed else f"{len(outcomes)} results"
    tracker = MLflowTracker(directory=results)
    tracker.log_run(CHECKS, name, "FAILED" if failed else "FINISHED", tags, metrics)


def main(arguments: Sequence[str]) -> int:
    """Print each result over commits; a step is a change that chance does not explain."""
    parser = argparse.ArgumentParser("python -m bench.check history", description=__doc__)
    parser.add_argument("--results", default="results", help="folder of the store")
    results = parser.parse_args(arguments).results
    reader = RunReader(directory=results)
    runs = reader.tagged("role", "check", CHECKS.name)
    if not runs:
        raise UserError(f"no check has been tracked in {results}")
    rows: dict[tuple[str, str], list[list[str]]] = {}
    last: dict[tuple[str, str], float] = {}
    for run in reversed(runs):
        date, tags = datetime.fromtimestamp(run.began / 1000, UTC), run.tags
        commit = tags.get("code.commit", tags["code.source"])[:12]
        for name in sorted(name for name in tags if name.startswith(OUTCOME)):
            of = Outcome(**json.loads(tags[name]))
            if of.now is None or of.allowed is None:
                continue
            key = (of.experiment, of.metric)
            step = key in last and abs(of.now - last[key]) > of.allowed
            last[key] = of.now
            row = [f"{date:%Y-%m-%d}", commit, number(of.now, 5), f"±{of.allowed:.5f}"]
            rows.setdefault(key, []).append([*row, str(of.verdict), "step" if step else ""])
    header = ["date", "code", "mean", "chance explains", "against the reference", ""]
    for (name, metric), table in rows.items():
        print(f"{name}, {metric}\n\n{markdown_table(header, table, left=2)}\n")
    return 0
