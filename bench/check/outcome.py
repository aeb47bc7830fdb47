"""The outcome of a check: as a table, for a job's summary page, beside another's, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.check.experiments import DIRECTIONS
from bench.check.rule import FALSE_ALARMS, Judged, Verdict
from bench.tables import MISSING, markdown_table, number

HEADER = [
    "experiment",
    "metric",
    "verdict",
    "recorded",
    "now",
    "change",
    "chance explains",
    "seeds",
    "same",
    "time, × recorded",
]


@dataclass(frozen=True)
class Outcome:
    """One metric of one experiment.

    Attributes
    ----------
    reference : the recorded mean.
    judged : None if the experiment ended with `error`.
    unchanged : seeds that gave the recorded number.
    slowdown : times as long as recorded, the machine's speed taken out.
    """

    name: str
    metric: str
    reference: float
    better: str = "lower"
    judged: Judged | None = None
    unchanged: int = 0
    slowdown: float | None = None
    error: str | None = None

    @property
    def change(self) -> float:
        """Of the metric itself, whichever direction is better; NaN of an experiment that failed."""
        return np.nan if self.judged is None else DIRECTIONS[self.better] * self.judged.loss

    @property
    def failure(self) -> str | None:
        """Why the check fails, in a sentence; None if it does not."""
        if self.judged is None:
            return self.error
        n = len(self.judged.losses)
        if self.judged.verdict is Verdict.SEEDLESS:
            return f"{n} seeds give one and the same {self.metric}: the seed is ignored"
        if self.judged.verdict is not Verdict.WORSE:
            return None
        return (
            f"{self.metric} {self.reference + self.change:.5f} over {n} "
            f"{'seed' if n == 1 else 'seeds'} is {self.judged.loss:.5f} worse than the "
            f"reference's {self.reference:.5f}; chance explains up to {self.judged.allowed:.5f}"
        )

    @property
    def row(self) -> list[str]:
        head = [self.name, self.metric]
        if self.judged is None:
            return [*head, "ended with an error: fails", number(self.reference, 5), *[MISSING] * 6]
        return [
            *head,
            self.judged.verdict.value,
            number(self.reference, 5),
            number(self.reference + self.change, 5),
            f"{self.change:+.5f}",
            f"±{self.judged.allowed:.5f}",
            str(len(self.judged.losses)),
            str(self.unchanged),
            MISSING if self.slowdown is None else f"{self.slowdown:.2f}",
        ]

    def as_json(self) -> Mapping[str, Any]:
        judged = self.judged
        return {
            "experiment": self.name,
            "metric": self.metric,
            "better": self.better,
            "reference": self.reference,
            "verdict": None if judged is None else judged.verdict.value,
            "change": None if judged is None else self.change,
            "allowed": None if judged is None else judged.allowed,
            "seeds": 0 if judged is None else len(judged.losses),
            "same": self.unchanged,
            "slowdown": self.slowdown,
            "failure": self.failure,
        }


def summary(outcomes: Sequence[Outcome], title: str) -> str:
    """Return Markdown: the verdict, the table, how to read it, what to do."""
    failed = [o for o in outcomes if o.failure]
    better = [o.name for o in outcomes if o.judged and o.judged.verdict is Verdict.BETTER]
    verdict = f"{len(failed)} of {len(outcomes)} results FAILED" if failed else "nothing got worse"
    table = markdown_table(HEADER, [o.row for o in outcomes], left=3)
    lines = [f"## Accuracy check, {title}: {verdict}", "", table, ""]
    lines += [f"- **{o.name}**: {o.failure}" for o in failed]
    if better:
        names = ", ".join(better)
        lines.append(f'- {names}: better than the reference. Record it? `--record --reason "..."`')
    lines.append(
        f"Unchanged code fails at most one check in {1 / FALSE_ALARMS:,.0f}. *Same*: seeds that "
        "gave the recorded number. *Time*: of fit and prediction, times that of the recording, "
        "the machine's speed taken out by a calibration workload; it never fails the check."
    )
    return "\n".join(lines) + "\n"


def compared(head: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return a row a result: what it is, was at the base, and was when it was recorded."""
    before = {(of["experiment"], of["metric"]): now(of) for of in base}
    failed = [of for of in head if of["failure"]]
    verdict = f"{len(failed)} of {len(head)} results got worse" if failed else "nothing got worse"
    rows = [
        [
            of["experiment"],
            of["metric"],
            of["verdict"] or "failed",
            number(of["reference"], 5),
            number(before.get((of["experiment"], of["metric"])), 5),
            number(now(of), 5),
            MISSING if of["slowdown"] is None else f"{of['slowdown']:.2f}",
        ]
        for of in head
    ]
    header = ["experiment", "metric", "verdict", "recorded", "base", "here", "time, × recorded"]
    reasons = [f"- **{of['experiment']}**: {of['failure']}" for of in failed]
    parts = [f"### Accuracy: {verdict}", markdown_table(header, rows, left=3), "\n".join(reasons)]
    return "\n\n".join(parts).rstrip()


def now(outcome: Mapping[str, Any]) -> float | None:
    """Return the result of a check, None where the experiment failed."""
    return None if outcome["change"] is None else outcome["reference"] + outcome["change"]
