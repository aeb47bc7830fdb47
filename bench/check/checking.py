"""Runs experiments and holds them against the reference, or records them as the new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.check import reference
from bench.check.calibration import calibrate
from bench.check.experiments import EXPERIMENTS, Measurement, measure
from bench.check.outcome import Outcome
from bench.check.rule import Recorded, judge
from bench.data.dataset import Dataset

SAME = 1e-6
"""Errors that differ by no more count as the recorded one."""


def check(
    dataset: Dataset,
    names: Sequence[str] = tuple(EXPERIMENTS),
    *,
    first_seed: int = 0,
    threads: int = 1,
) -> Iterator[Outcome]:
    """One outcome an experiment, as it is found. UserError if there is no reference for it."""
    found = reference.section(dataset, names)
    speed = calibrate()
    for name in names:
        yield _checked(name, found[name], dataset, first_seed, threads, speed)


def _checked(
    name: str, entry: dict, dataset: Dataset, first_seed: int, threads: int, speed: float
) -> Outcome:
    seconds = []

    def errors(start: int, stop: int) -> list[float]:
        measured = measure(name, dataset, range(first_seed + start, first_seed + stop), threads)
        seconds.extend(m.seconds for m in measured)
        return [m.error for m in measured]

    try:
        judged = judge(Recorded(entry["mean"], entry["std"], entry["n"]), errors, len(EXPERIMENTS))
    except Exception as error:  # noqa: BLE001  whatever a broken model raises is what is to be reported
        return Outcome(
            name, entry["mean"], None, 0, 0.0, entry["time"], f"{type(error).__name__}: {error}"
        )
    recorded = entry["errors"][first_seed : first_seed + len(judged.errors)]
    unchanged = sum(abs(a - b) <= SAME for a, b in zip(judged.errors, recorded, strict=False))
    return Outcome(
        name,
        entry["mean"],
        judged,
        unchanged,
        sorted(seconds)[len(seconds) // 2] / speed,
        entry["time"],
    )


def measured_for_record(dataset: Dataset, name: str) -> list[Measurement]:
    """Two seeds where they give the same number, else as many as a reference has."""
    first = measure(name, dataset, range(2))
    if first[0].error == first[1].error:
        return first
    return first + measure(name, dataset, range(2, reference.N_SEEDS))
