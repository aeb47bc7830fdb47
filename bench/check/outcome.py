"""The outcome of a check: as a table, for a job's summary page, as JUnit XML and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

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


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a row a result, as Markdown."""
    return markdown_table(HEADER, [o.row for o in outcomes], left=3)


def summary(outcomes: Sequence[Outcome], title: str) -> str:
    """Return Markdown: the verdict, the table, how to read it, what to do."""
    failed = [o for o in outcomes if o.failure]
    better = [o.name for o in outcomes if o.judged and o.judged.verdict is Verdict.BETTER]
    verdict = f"{len(failed)} of {len(outcomes)} results FAILED" if failed else "nothing got worse"
    lines = [f"## Accuracy check, {title}: {verdict}", "", table(outcomes), ""]
    lines += [f"- **{o.name}**: {o.failure}" for o in failed]
    if better:
        names = ", ".join(better)
        lines.append(f'- {names}: better than the reference. Record it? `--record --reason "..."`')
    lines.append(
        f"Unchanged code fails at most one check in {1 / FALSE_ALARMS:,.0f}. *Same*: seeds that "
        "gave the recorded number. *Time*: of fit and prediction, times that of the recording, "
        "the machine's speed taken out by a calibration workload; it never fails the check "
        "unless asked."
    )
    return "\n".join(lines) + "\n"


def junit(outcomes: Sequence[Outcome]) -> str:
    """Return a test case a result, as CI systems read it."""
    suite = ElementTree.Element(
        "testsuite",
        name="bench.check",
        tests=str(len(outcomes)),
        failures=str(sum(o.failure is not None for o in outcomes)),
        errors="0",
    )
    for o in outcomes:
        name = f"{o.name}: {o.metric}"
        case = ElementTree.SubElement(suite, "testcase", classname="bench.check", name=name)
        if o.failure:
            ElementTree.SubElement(case, "failure", message=o.failure)
        ElementTree.SubElement(case, "system-out").text = " | ".join(o.row)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)
