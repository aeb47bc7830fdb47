"""When is a model worse than it was? The rule, in numbers alone.

An experiment's error depends on the seed: of `n` seeds today and `n0` recorded ones, all of one
unchanged model, the means differ by a normal number with standard error

    se = std sqrt(1 / n0 + 1 / n)          std: of the recorded errors over seeds

whatever the order in which the code draws random numbers, and on another platform too, where sums are
rounded otherwise and a chaotic fit becomes one of another seed. So a loss counts when it exceeds

    NEGLIGIBLE + t se        t: the quantile of Student's t with n0 - 1 degrees of freedom that a share
                             FALSE_ALARMS / (experiments x looks) exceeds

and at the first look GROSS times that: where a fit ends in a bad local minimum now and then, errors are
skewed, and the mean of a few seeds is far from normal. Most checks end after these few: only an experiment
whose mean is off by more than SUSPICIOUS se is looked at again, with six times the seeds, and so a loss as
small as a seed's noise is still caught. By Bonferroni's inequality a check of all experiments, both looks
taken together, is a false alarm at most once in 1 / FALSE_ALARMS times. Where the seed made a difference
and makes none any more, it is ignored, which fails the check whatever the error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import stats

FALSE_ALARMS = 1e-3
"""Share of checks of unchanged code that fail."""

LOOKS = (4, 24)
"""Seeds of the first and, where it leaves a doubt, of the second look."""

GROSS = 3.0
"""Times what chance explains that a loss has to be to count at the first look."""

SUSPICIOUS = 1.5
"""Standard errors, to either side, beyond which a second look is taken."""

NEGLIGIBLE = 1e-4
"""A loss that nobody minds: room for rounding where the seed changes nothing."""


class Verdict(StrEnum):
    AS_RECORDED = "as recorded"
    WORSE = "WORSE"
    SEEDLESS = "SEED IGNORED"
    BETTER = "better"


@dataclass(frozen=True)
class Recorded:
    """Errors of one experiment over seeds, when the reference was made."""

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, errors: Sequence[float]) -> Recorded:
        std = np.std(errors, ddof=1) if np.ptp(errors) else 0.0
        return cls(float(np.mean(errors)), float(std), len(errors))

    @property
    def looks(self) -> tuple[int, ...]:
        """One seed is enough where the seed changes nothing."""
        return LOOKS if self.std > 0 else (1,)

    def standard_error(self, n: int) -> float:
        return self.std * np.sqrt(1 / self.n + 1 / n)

    def allowed(self, n: int, n_experiments: int) -> float:
        """The loss, in the mean of `n` seeds, up to which it may be chance."""
        t = stats.t.isf(FALSE_ALARMS / (n_experiments * len(LOOKS)), self.n - 1)
        allowed = float(NEGLIGIBLE + t * self.standard_error(n))
        return allowed if n == self.looks[-1] else GROSS * allowed


@dataclass(frozen=True)
class Judged:
    """`errors` of the seeds that were needed; `loss` of their mean, `allowed` for so many."""

    verdict: Verdict
    errors: tuple[float, ...]
    loss: float
    allowed: float


def judge(
    recorded: Recorded, measure: Callable[[int, int], list[float]], n_experiments: int
) -> Judged:
    """Looks once, or twice. `measure(a, b)` gives the errors of seeds number a to b - 1."""
    errors: list[float] = []
    for n in recorded.looks:
        errors += measure(len(errors), n)
        loss = float(np.mean(errors)) - recorded.mean
        allowed = recorded.allowed(n, n_experiments)
        if loss > allowed or abs(loss) <= SUSPICIOUS * recorded.standard_error(n):
            break
    if loss > allowed:
        verdict = Verdict.WORSE
    elif recorded.std > 0 and np.ptp(errors) == 0:
        verdict = Verdict.SEEDLESS
    else:
        verdict = Verdict.BETTER if loss < -allowed else Verdict.AS_RECORDED
    return Judged(verdict, tuple(errors), loss, allowed)
