"""The outcome of a check: as a table, for a job's summary page and a comment, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.check.rule import DIRECTIONS, FALSE_ALARMS, Judged, Verdict
from bench.tables import MISSING, markdown_table, number


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

    def judged(self, judged: Judged, same: int, slowdown: float | None) -> Outcome:
        """Return the outcome with what the rule says."""
        change, n = DIRECTIONS[self.better] * judged.loss, len(judged.losses)
        now, failure = self.reference + change, None
        if judged.verdict is Verdict.SEEDLESS:
            failure = f"{n} seeds give one and the same {self.metric}: the seed is ignored"
        elif judged.verdict is Verdict.WORSE:
            failure = (
                f"{self.metric} {now:.5f} over {n} {'seed' if n == 1 else 'seeds'} is "
                f"{judged.loss:.5f} worse than the reference's {self.reference:.5f}; chance "
                f"explains up to {judged.allowed:.5f}"
            )
        of = (self.experiment, self.metric, self.better, self.reference, judged.verdict.value)
        return Outcome(*of, now, change, judged.allowed, n, same, slowdown, failure)


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
