"""The outcome of a check: as a table, for a job's summary page and a comment, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.check.experiments import DIRECTIONS
from bench.check.rule import FALSE_ALARMS, Judged, Verdict
from bench.tables import MISSING, markdown_table, number


@dataclass(frozen=True)
class Outcome:
    """One metric of one experiment.

    Attributes
    ----------
    reference : the recorded mean.
    judged : None if the experiment failed, with `error`.
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

    def as_json(self) -> Mapping[str, Any]:
        """Return what is kept of it."""
        judged = self.judged
        return {
            "experiment": self.name,
            "metric": self.metric,
            "better": self.better,
            "reference": self.reference,
            "verdict": None if judged is None else judged.verdict.value,
            "now": None if judged is None else self.reference + self.change,
            "change": None if judged is None else self.change,
            "allowed": None if judged is None else judged.allowed,
            "seeds": 0 if judged is None else len(judged.losses),
            "same": self.unchanged,
            "slowdown": self.slowdown,
            "failure": self.failure,
        }


def summary(
    outcomes: Sequence[Outcome], title: str, base: Sequence[Mapping[str, Any]] | None = None
) -> str:
    """Return Markdown: the verdict, the table, how to read it, what to do.

    `base` are outcomes of another revision, as JSON, whose results stand beside these.
    """
    failed = [o for o in outcomes if o.failure]
    better = [o.name for o in outcomes if o.judged and o.judged.verdict is Verdict.BETTER]
    verdict = (
        f"{len(failed)} of {len(outcomes)} results got worse" if failed else "nothing got worse"
    )
    lines = [f"## Accuracy check, {title}: {verdict}", "", _table(outcomes, base), ""]
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


def _table(outcomes: Sequence[Outcome], base: Sequence[Mapping[str, Any]] | None) -> str:
    kept = [outcome.as_json() for outcome in outcomes]
    before = {(of["experiment"], of["metric"]): of["now"] for of in base or ()}
    columns = {
        "experiment": [of["experiment"] for of in kept],
        "metric": [of["metric"] for of in kept],
        "verdict": [of["verdict"] or "error: fails" for of in kept],
        "recorded": [number(of["reference"], 5) for of in kept],
    }
    if base is not None:
        columns["base"] = [number(before.get((of["experiment"], of["metric"])), 5) for of in kept]
    columns |= {
        "now": [number(of["now"], 5) for of in kept],
        "change": [MISSING if of["change"] is None else f"{of['change']:+.5f}" for of in kept],
        "chance explains": [
            MISSING if of["allowed"] is None else f"±{of['allowed']:.5f}" for of in kept
        ],
        "seeds": [str(of["seeds"]) for of in kept],
        "same": [str(of["same"]) for of in kept],
        "time, × recorded": [number(of["slowdown"], 2) for of in kept],
    }
    return markdown_table(list(columns), list(zip(*columns.values(), strict=True)), left=3)
