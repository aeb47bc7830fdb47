"""Checks as tracked runs of the experiment `checks`, and each result over commits."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bench.check.outcome import Outcome
from bench.errors import UserError
from bench.identity import code_version
from bench.tables import markdown_table, number
from bench.tracking import Experiment, MLflowTracker, RunReader

CHECKS = Experiment("checks", "Each run is a check of accuracy: a metric a result, its mean.")
OUTCOME = "outcome."
"""Tags of a run that hold an outcome each, as JSON."""
Check = tuple[datetime, Mapping[str, str], Sequence[Mapping[str, Any]]]
"""When it was, by which code, and its outcomes."""


def main(arguments: Sequence[str]) -> int:
    """Print each result over commits; return 0."""
    parser = argparse.ArgumentParser("python -m bench.check history", description=__doc__)
    parser.add_argument("--results", default="results", help="folder of the store")
    print(shown(list(past_checks(parser.parse_args(arguments).results))))
    return 0


def track(outcomes: Sequence[Outcome], text: str, results: str) -> None:
    """Keep a check as a run: its outcomes as tags and metrics, `text` as its description."""
    code = {f"code.{name}": value for name, value in code_version().items()}
    tags = {"role": "check", "mlflow.note.content": text} | code
    for position, outcome in enumerate(outcomes):
        tags[f"{OUTCOME}{position:03}"] = json.dumps(outcome.as_json())
    metrics = {
        re.sub(r"[^/\w.\- ]", "_", f"{of.name}/{of.metric}"): of.reference + of.change
        for of in outcomes
        if np.isfinite(of.change)
    }
    failed = sum(outcome.failure is not None for outcome in outcomes)
    name = f"{failed} of {len(outcomes)} got worse" if failed else f"{len(outcomes)} results"
    tracker = MLflowTracker(directory=results)
    tracker.log_run(CHECKS, name, "FAILED" if failed else "FINISHED", tags, metrics)


def past_checks(results: str) -> Iterator[Check]:
    """Yield the tracked checks, the oldest first; raise UserError where there is none."""
    reader = RunReader(directory=results)
    experiment = reader.experiment_id(CHECKS.name)
    runs = [] if experiment is None else reader.search([experiment], "tags.role = 'check'")
    if not runs:
        raise UserError(f"no check has been tracked in {results}")
    for run in sorted(runs, key=lambda run: run.info.start_time):
        tags = run.data.tags
        outcomes = [json.loads(tags[key]) for key in sorted(tags) if key.startswith(OUTCOME)]
        yield datetime.fromtimestamp(run.info.start_time / 1000, UTC), tags, outcomes


def shown(checks: Sequence[Check]) -> str:
    """Return a table a result; a step is a change that chance does not explain."""
    rows: dict[tuple[str, str], list[list[str]]] = {}
    last: dict[tuple[str, str], float] = {}
    for date, code, outcomes in checks:
        commit = code.get("code.commit", code["code.source"])[:12]
        for of in outcomes:
            value, key = of["now"], (of["experiment"], of["metric"])
            if value is None:
                continue
            step = key in last and abs(value - last[key]) > of["allowed"]
            last[key] = value
            row = [f"{date:%Y-%m-%d}", commit, number(value, 5), f"±{of['allowed']:.5f}"]
            rows.setdefault(key, []).append([*row, of["verdict"], "step" if step else ""])
    header = ["date", "code", "mean", "chance explains", "against the reference", ""]
    return "\n\n".join(
        f"{name}, {metric}\n\n{markdown_table(header, of, left=2)}"
        for (name, metric), of in rows.items()
    )
