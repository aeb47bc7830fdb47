"""What a check found: as a table, for a job's summary page, and as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from bench.check.rule import FALSE_ALARMS, Judged, Verdict
from bench.tables import MISSING, markdown_table, number


@dataclass(frozen=True)
class Outcome:
    """One experiment: how it was judged, or the error it ended with; `unchanged` seeds gave the recorded
    number; `time` of fit and prediction over the calibration's, and as recorded."""

    name: str
    mean: float
    judged: Judged | None
    unchanged: int
    time: float
    recorded_time: float
    error: str | None = None

    @property
    def failure(self) -> str | None:
        """Why the check fails, in a sentence; None if it does not."""
        if self.judged is None:
            return self.error
        if self.judged.verdict is Verdict.SEEDLESS:
            return (
                f"{len(self.judged.errors)} seeds give one and the same error: the seed is ignored"
            )
        if self.judged.verdict is not Verdict.WORSE:
            return None
        return (
            f"MSE {self.mean + self.judged.loss:.5f} over {len(self.judged.errors)} seeds is {self.judged.loss:.5f} "
            f"above the reference's {self.mean:.5f}; chance explains up to {self.judged.allowed:.5f}"
        )

    @property
    def row(self) -> list[str]:
        if self.judged is None:
            return [self.name, "FAILED", number(self.mean, 5), *[MISSING] * 6]
        judged = self.judged
        return [
            self.name,
            judged.verdict.value,
            number(self.mean, 5),
            number(self.mean + judged.loss, 5),
            f"{judged.loss:+.5f}",
            number(judged.allowed, 5),
            str(len(judged.errors)),
            str(self.unchanged),
            f"{self.time:.1f} ({self.time / self.recorded_time:.2f})",
        ]


SEPARATOR = " | "
HEADER = [
    "experiment",
    "verdict",
    "reference MSE",
    "MSE now",
    "loss",
    "allowed",
    "seeds",
    "same",
    "time (now / then)",
]


@dataclass(frozen=True)
class Case:
    """An outcome as its JUnit test case tells it: why it failed, if it did, and its row of the table."""

    failure: str | None
    row: list[str]


def table(outcomes: Sequence[Outcome]) -> str:
    return markdown_table(HEADER, [o.row for o in outcomes], left=2)


def summary(outcomes: Sequence[Outcome], data: str) -> str:
    """Markdown: the verdict, the table, how to read it, what to do."""
    failed = [o for o in outcomes if o.failure]
    better = [o.name for o in outcomes if o.judged and o.judged.verdict is Verdict.BETTER]
    lines = [
        f"## Accuracy check on {data}: "
        + (
            f"{len(failed)} of {len(outcomes)} experiments FAILED"
            if failed
            else "no model got worse"
        ),
        "",
        table(outcomes),
        "",
        *(f"- **{o.name}**: {o.failure}" for o in failed),
    ]
    if better:
        names = ", ".join(better)
        lines.append(
            f'- {names}: better than the reference: record it? `python -m bench.check --record --reason "..."`'
        )
    lines += [
        (
            f"Unchanged code fails at most one check in {1 / FALSE_ALARMS:,.0f}. *Same*: seeds that gave the recorded "
            "number. *Time*: fit and prediction over a calibration workload of the same run, and that over its "
            "recorded value; it never fails the check unless asked."
        )
    ]
    return "\n".join(lines) + "\n"


def junit(outcomes: Sequence[Outcome]) -> str:
    """A test case an experiment, as CI systems read it."""
    failures = sum(o.failure is not None for o in outcomes)
    suite = ElementTree.Element(
        "testsuite",
        name="bench.check",
        tests=str(len(outcomes)),
        failures=str(failures),
        errors="0",
    )
    for o in outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname="bench.check", name=o.name)
        if o.failure:
            ElementTree.SubElement(case, "failure", message=o.failure)
        ElementTree.SubElement(case, "system-out").text = SEPARATOR.join(o.row)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def cases(xml: str) -> dict[str, Case]:
    """What `junit` wrote, by experiment."""
    found = {}
    for case in ElementTree.fromstring(xml):
        failure = case.find("failure")
        row = case.findtext("system-out").split(SEPARATOR)
        found[case.get("name")] = Case(None if failure is None else failure.get("message"), row)
    return found
