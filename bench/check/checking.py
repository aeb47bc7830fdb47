"""Run experiments and compare them with the reference, or record them as the new one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

from bench.check import reference
from bench.check.experiments import Experiment, Metrics
from bench.check.rule import DIRECTIONS, FALSE_ALARMS, Judged, Verdict, judge
from bench.errors import UserError, first_line
from bench.files import write_text
from bench.measure import Measured
from bench.progress import say
from bench.tables import MISSING, markdown_table, number

CALIBRATIONS = 5


@dataclass(frozen=True)
class Outcome:
    """One metric of one experiment, as it is kept in JSON.

    `reference` is the recorded mean, `now` that of today's `seeds`, of which `same` gave the
    recorded number; `change` is of the metric itself, whichever direction is better. `slowdown`:
    times as long as recorded, the machine's speed taken out. `failure` says why the check fails.
    """

    experiment: str
    metric: str
    better: str
    reference: float
    verdict: str | None = None
    now: float | None = None
    change: float | None = None
    allowed: float | None = None
    seeds: int = 0
    same: int = 0
    slowdown: float | None = None
    failure: str | None = None


def n_results(experiments: Sequence[Experiment]) -> int:
    """Return the number of results that one check judges."""
    return sum(experiment.n_results for experiment in experiments)


def check(
    experiments: Sequence[Experiment],
    path: Path,
    n: int | None = None,
    *,
    first_seed: int = 0,
    threads: int = 1,
) -> Iterator[Outcome]:
    """Yield an outcome a metric as soon as there is one.

    The promise on false alarms is of `n` results together, by default those of the experiments.
    `first_seed` and `threads` (of BLAS) may differ from what was recorded.

    Raises
    ------
    UserError
        The reference at `path` lacks one of them, or is of another.
    """
    entries = {e.name: reference.entry_of(e, path) for e in experiments}
    n, speed = n or n_results(experiments), calibrate()
    for position, experiment in enumerate(experiments, 1):
        say(f"[{position}/{len(experiments)}] {experiment.name}")
        entry, measured = entries[experiment.name], _Seeds(experiment, first_seed, threads)
        for metric, better in experiment.metrics.items():
            recorded = reference.recorded_of(entry, metric)
            outcome = Outcome(experiment.name, metric, better, DIRECTIONS[better] * recorded.mean)
            try:
                judged = judge(recorded, partial(measured.losses, metric), n, first_seed)
                slowdown = measured.seconds / speed / entry["time"] if entry["time"] else None
                outcome = with_verdict(outcome, judged, slowdown)
            except Exception as error:
                outcome = replace(outcome, failure=first_line(error))
            say()
            yield outcome


class _Seeds:
    """Results of an experiment by seed, measured when they are first needed."""

    def __init__(self, experiment: Experiment, first: int, threads: int) -> None:
        self.experiment, self.first, self.threads = experiment, first, threads
        self.measured: list[tuple[Metrics, float]] = []

    def losses(self, metric: str, start: int, stop: int) -> list[float]:
        for seed in range(self.first + len(self.measured), self.first + stop):
            self.measured.append(self.experiment.measure(seed, self.threads))
        sign = DIRECTIONS[self.experiment.metrics[metric]]
        return [sign * metrics[metric] for metrics, _ in self.measured[start:stop]]

    @property
    def seconds(self) -> float:
        return float(np.median([seconds for _, seconds in self.measured]))


def with_verdict(outcome: Outcome, judged: Judged, slowdown: float | None) -> Outcome:
    """Return the outcome with what the rule says."""
    change, n = DIRECTIONS[outcome.better] * judged.loss, len(judged.losses)
    now, failure = outcome.reference + change, None
    if judged.verdict is Verdict.SEEDLESS:
        failure = f"{n} seeds give one and the same {outcome.metric}: the seed is ignored"
    elif judged.verdict is Verdict.WORSE:
        failure = (
            f"{outcome.metric} {now:.5f} over {n} {'seed' if n == 1 else 'seeds'} is "
            f"{judged.loss:.5f} worse than the reference's {outcome.reference:.5f}; chance "
            f"explains up to {judged.allowed:.5f}"
        )
    return replace(
        outcome,
        verdict=judged.verdict.value,
        now=now,
        change=change,
        allowed=judged.allowed,
        seeds=n,
        same=judged.same,
        slowdown=slowdown,
        failure=failure,
    )


def record(
    experiments: Sequence[Experiment], path: Path, reason: str, n: int | None = None
) -> Iterator[tuple[str, reference.Entry]]:
    """Measure and record each, for a check of `n` results; yield its name and entry."""
    n, speed = n or n_results(experiments), calibrate()
    for experiment in experiments:
        say(experiment.name)
        try:
            measured = [experiment.measure(seed) for seed in range(2)]
            if measured[0][0] != measured[1][0]:  # else no seed changes anything
                measured += [experiment.measure(seed) for seed in range(2, 2 * experiment.seeds)]
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{experiment.name} failed: {first_line(error)}") from error
        values = [metrics for metrics, _ in measured]
        time = float(np.median([seconds for _, seconds in measured])) / speed
        entry = reference.record(experiment, values, path, time=time, reason=reason, n_results=n)
        say()
        yield experiment.name, entry


def values_of(experiment: Experiment, n_seeds: int, cache: Path | None = None) -> list[Metrics]:
    """Return the metrics of the first seeds; those in the folder `cache` are not measured again."""
    kept = cache and experiment.identity and cache / f"{experiment.identity}.json"
    values = json.loads(kept.read_text("utf-8")) if kept and kept.exists() else []
    values += [experiment.measure(seed)[0] for seed in range(len(values), n_seeds)]
    if kept:
        write_text(kept, json.dumps(values))
    return values[:n_seeds]


def calibrate() -> float:
    """Return the seconds of a fixed workload, the least of some runs: the machine's speed.

    It does what the fits do, none of their code: random numbers, gathers, small products and
    Cholesky factorizations in batches, sparse products.
    """
    return min(_calibrated() for _ in range(CALIBRATIONS))


def _calibrated() -> float:
    rng = np.random.default_rng(0)
    rows, levels = rng.integers(0, [[1000], [2000]], (2, 100_000))
    matrix = sparse.csr_array((np.ones(len(rows)), (rows, levels)), shape=(1000, 2000))
    with Measured(threads=1) as cost:
        table = rng.standard_normal((2000, 12))
        for _ in range(4):
            taken = table.take(levels, axis=0).reshape(-1, 50, 12)
            gram = taken.transpose(0, 2, 1) @ taken + np.eye(12)
            np.linalg.cholesky(gram)
            matrix @ table
            matrix.T @ (matrix @ table)
    return cost.seconds


def summary(
    outcomes: Sequence[Outcome], title: str, base: Mapping[tuple[str, str], float] | None = None
) -> str:
    """Return Markdown: the verdict, the table, how to read it, what to do.

    `base` are the results of another revision by experiment and metric, to stand beside these.
    """
    failed = [o for o in outcomes if o.failure]
    better = [o.experiment for o in outcomes if o.verdict == Verdict.BETTER]
    verdict = (
        f"{len(failed)} of {len(outcomes)} results got worse" if failed else "nothing got worse"
    )
    lines = [f"## Accuracy check, {title}: {verdict}", "", _table(outcomes, base), ""]
    lines += [f"- **{o.experiment}**: {o.failure}" for o in failed]
    if better:
        names = ", ".join(better)
        lines.append(f'- {names}: better than the reference. Record it? `--record --reason "..."`')
    lines.append(
        f"Unchanged code fails at most one check in {1 / FALSE_ALARMS:,.0f}. *Same*: seeds that "
        "gave the recorded number. *Time*: of fit and prediction, times that of the recording, "
        "the machine's speed taken out by a calibration workload; it never fails the check."
    )
    return "\n".join(lines) + "\n"


def _table(outcomes: Sequence[Outcome], base: Mapping[tuple[str, str], float] | None) -> str:
    header = ["experiment", "metric", "verdict", "recorded", "base", "now", "change"]
    header += ["chance explains", "seeds", "same", "time, × recorded"]
    rows = [
        [
            o.experiment,
            o.metric,
            o.verdict or "error: fails",
            number(o.reference, 5),
            number((base or {}).get((o.experiment, o.metric)), 5),
            number(o.now, 5),
            MISSING if o.change is None else f"{o.change:+.5f}",
            MISSING if o.allowed is None else f"±{o.allowed:.5f}",
            str(o.seeds),
            str(o.same),
            number(o.slowdown, 2),
        ]
        for o in outcomes
    ]
    if base is None:
        header, *rows = (row[:4] + row[5:] for row in (header, *rows))
    return markdown_table(header, rows, left=3)
