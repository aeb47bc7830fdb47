"""`results/reference.yaml`: what the experiments gave when they were last recorded, and where."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import numpy as np
import yaml

from bench.check.experiments import EXPERIMENTS, METRIC, Measurement
from bench.check.rule import Recorded
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.files import write_text
from bench.identity import ROOT, code_version
from bench.measure import environment

PATH = ROOT / "results" / "reference.yaml"
HEAD = """\
# What `python -m bench.check` holds the code against: for each data set and experiment the error over seeds
# 0 to n - 1. An experiment is worse when the mean over the first 4 seeds, or, where these leave a doubt, over 24,
# exceeds `mean` by more than `allowed` says (bench/check/rule.py; shown to hold in accuracy_check.md).
# `time` is seconds of fit and prediction over those of a calibration workload.
# Renewed by `python -m bench.check --record --reason "..."`; a reviewer reads the diff.
"""
N_SEEDS = 48
"""Seeds recorded for each experiment in which a seed changes anything."""


def load() -> dict[str, dict]:
    """Data set -> {data: digest, experiments: name -> entry}; empty if there is no reference."""
    return yaml.safe_load(PATH.read_text("utf-8")) if PATH.exists() else {}


def section(dataset: Dataset, names: Collection[str]) -> dict[str, dict]:
    """What was recorded of experiments on `dataset`; UserError if nothing was, or of something else."""
    found = load().get(dataset.name, {})
    how = f'record it: python -m bench.check --data {dataset.name} --record --reason "..."'
    if found.get("data", dataset.digest) != dataset.digest:
        raise UserError(f"{PATH.name} is of other ratings than those of {dataset.name} here; {how}")
    entries = found.get("experiments", {})
    for name in names:
        if name not in entries:
            raise UserError(f"{PATH.name} has no {name} on {dataset.name}; {how}")
        if entries[name]["run"] != EXPERIMENTS[name]:
            raise UserError(f"{name} is not the experiment that was recorded; {how}")
    return entries


def record(
    dataset: Dataset, name: str, measured: Sequence[Measurement], calibration: float, reason: str
) -> None:
    """Replaces one experiment's entry; entries of other ratings go."""
    whole = load()
    found = whole.setdefault(dataset.name, {})
    if found.get("data") != dataset.digest:
        found |= {"data": dataset.digest, "experiments": {}}
    found["experiments"][name] = _entry(name, measured, calibration, reason)
    found["experiments"] = {
        n: found["experiments"][n] for n in EXPERIMENTS if n in found["experiments"]
    }
    text = yaml.safe_dump(whole, sort_keys=False, default_flow_style=None, width=110)
    write_text(PATH, HEAD + text)


def _entry(name: str, measured: Sequence[Measurement], calibration: float, reason: str) -> dict:
    errors = [round(m.error, 7) for m in measured]
    recorded = Recorded.of(errors)
    return {
        "run": EXPERIMENTS[name],
        "metric": METRIC,
        "mean": round(recorded.mean, 7),
        "std": round(recorded.std, 7),
        "n": recorded.n,
        "allowed": {n: round(recorded.allowed(n, len(EXPERIMENTS)), 5) for n in recorded.looks},
        "time": round(float(np.median([m.seconds for m in measured])) / calibration, 2),
        "recorded": {"date": date.today().isoformat(), "reason": reason, **_provenance()},
        "errors": errors,
    }


def _provenance() -> dict[str, str]:
    version, machine = code_version(), environment()
    modified = " modified" if version.get("modified") == "true" else ""
    return {
        "commit": version.get("commit", "none")[:12] + modified,
        "source": version["source"][:12],
        **{key: value for key, value in machine.items() if key not in ("host", "vowpalwabbit")},
    }
