"""What the experiments gave when they were last recorded: when, where and why.

DATA:                     name of the data set, or "function"
  data: DIGEST            of what was read
  experiments:
    NAME:
      run: ...            what it is a reference of
      recorded: {...}     date, reason, code and machine
      time: ...           of fit and prediction, in times of a calibration workload
      metrics:
        METRIC: {better, mean, std, n, seeds, allowed, false_alarms, catches, values}
"""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from bench.check import rule
from bench.check.experiments import Experiment, read_yaml
from bench.check.rule import DIRECTIONS, Recorded
from bench.errors import UserError
from bench.files import write_text
from bench.identity import code_version
from bench.measure import environment

OWN = Path(__file__).with_name("reference.yaml")
"""Of the project's own experiments."""
HEAD = """\
# What `python -m bench.check` compares results with: values over seeds 0 to n - 1. A result is
# worse when its mean over the seeds of the first look, or, where these leave a doubt, of the second
# is off by more than `allowed` says (bench/check/rule.py). Of checks of unchanged code a share
# `false_alarms` fails by this result alone; a loss as large as `catches` fails 95 % of them.
# `time` is seconds of fit and prediction over those of a calibration workload.
# Renewed by `--record --reason "..."`.
"""
Entry = Mapping[str, Any]


def load(path: Path) -> dict[str, dict]:
    """Return data set -> {data, experiments: name -> entry}; empty if there is no reference."""
    sections = read_yaml(path) if path.exists() else {}
    if not isinstance(sections, dict):
        raise UserError(f"{path} is no reference of a check")
    return sections


def entry_of(experiment: Experiment, path: Path) -> Entry:
    """Return what was recorded; raise UserError if nothing was, or of something else."""
    section = load(path).get(experiment.dataset, {})
    how = 'record it: --record --reason "..."'
    if section.get("data", experiment.digest) != experiment.digest:
        raise UserError(
            f"{path.name} is of other rows than those of {experiment.dataset} here; {how}"
        )
    entry = section.get("experiments", {}).get(experiment.name)
    if entry is None:
        raise UserError(f"{path.name} has no {experiment.name} on {experiment.dataset}; {how}")
    metrics = {name: of["better"] for name, of in entry["metrics"].items()}
    if entry["run"] != experiment.run or metrics != dict(experiment.metrics):
        raise UserError(f"{experiment.name} is not the experiment that was recorded; {how}")
    return entry


def recorded_of(entry: Entry, metric: str) -> Recorded:
    """Return the rule's view of one metric, whose values are losses there."""
    of = entry["metrics"][metric]
    options = {key: of[key] for key in ("seeds", "widened") if key in of}
    return Recorded(tuple(DIRECTIONS[of["better"]] * value for value in of["values"]), **options)


def record(
    experiment: Experiment,
    results: Sequence[Mapping[str, float]],
    path: Path,
    *,
    time: float,
    reason: str,
    n_results: int,
) -> Entry:
    """Replace one experiment's entry, and return it; entries of other rows go."""
    whole = load(path)
    section = whole.setdefault(experiment.dataset, {})
    if section.get("data") != experiment.digest:
        section = whole[experiment.dataset] = {"data": experiment.digest}
    version, machine = code_version(), environment()
    modified = " modified" if version.get("modified") == "true" else ""
    entry = {
        "run": experiment.run,
        "time": round(time, 2),
        "recorded": {
            "date": date.today().isoformat(),
            "reason": reason,
            "commit": version.get("commit", "none")[:12] + modified,
            "source": version["source"][:12],
            **{key: value for key, value in machine.items() if key not in ("host", "vowpalwabbit")},
        },
        "metrics": {
            metric: _metric(experiment, better, [of[metric] for of in results], n_results)
            for metric, better in experiment.metrics.items()
        },
    }
    section.setdefault("experiments", {})[experiment.name] = entry
    text = yaml.safe_dump(whole, sort_keys=False, default_flow_style=None, width=110)
    write_text(path, HEAD + text)
    return entry


def _metric(
    experiment: Experiment, better: str, values: Sequence[float], n_results: int
) -> dict[str, Any]:
    sign = DIRECTIONS[better]
    values = [round(value, 7) for value in values]
    losses = tuple(sign * value for value in values)
    recorded = Recorded(losses, experiment.seeds)
    false, caught = 0.0, recorded.room
    if recorded.std > 0:
        recorded = rule.widened(recorded, n_results)
        false = float(rule.alarms(recorded, [0.0], n_results)[0])
        caught = rule.smallest_caught(recorded, n_results)
    return {
        "better": better,
        "mean": round(sign * recorded.mean, 7),
        "std": round(recorded.std, 7),
        "n": recorded.n,
        "seeds": recorded.seeds,
        **({} if recorded.widened == 1 else {"widened": recorded.widened}),
        "allowed": {n: round(recorded.allowed(n, n_results), 5) for n in recorded.looks},
        "false_alarms": round(false, 6),
        "catches": round(caught, 5),
        "values": values,
    }
