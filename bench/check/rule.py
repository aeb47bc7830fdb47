"""When is a model worse than it was? The rule, in numbers alone.

A result depends on the seed: of `n` seeds today and `n0` recorded ones, all of one unchanged
model, the means differ by a normal number with standard error

    se = std sqrt(1 / n0 + 1 / n)          std: of the recorded results over seeds

whatever the order in which the code draws random numbers, and on another platform too, where sums
are rounded otherwise and a chaotic fit becomes one of another seed. So a loss counts when it
exceeds

    negligible + widened t se              t: the quantile of Student's t with n0 - 1 degrees of
                                           freedom that a fraction FALSE_ALARMS / (results x
                                           looks) exceeds

and at the first look GROSS times that: where a fit ends in a bad local minimum now and then,
errors are skewed, and the mean of a few seeds is far from normal. Most checks end after these
few: only a result whose mean is off by more than SUSPICIOUS se is looked at again, with six times
the seeds, and so a loss as small as a seed's noise is still caught. By Bonferroni's inequality a
check of all results (experiments x metrics), both looks taken together, is a false alarm at most
once in 1 / FALSE_ALARMS times. `widened` is 1 unless the simulation of what was recorded says
that its tails need more. Where the seed made a difference and makes none any more, it is ignored,
which fails the check whatever the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from scipy import stats

FALSE_ALARMS = 1e-3
"""Fraction of checks of unchanged code that fail."""
SEEDS = 24
"""Of the second look, unless an experiment says otherwise."""
FIRST_LOOK = 1 / 6
"""Of the seeds of the second."""
GROSS = 3.0
"""Times what chance explains that a loss has to be to count at the first look."""
SUSPICIOUS = 1.5
"""Standard errors, to either side, beyond which a second look is taken."""
NEGLIGIBLE = 1e-4
"""A loss that does not matter, of values up to 1, in proportion beyond: room for rounding."""
DIRECTIONS = {"lower": 1.0, "higher": -1.0}
"""Which results are better -> the sign that makes losses of them."""
SAME = 1e-6
"""Results that differ by no more, of values up to 1, count as the same number."""


class Verdict(StrEnum):
    """What the rule says of a result."""

    SAME = "same numbers"
    CHANGED = "changed, within chance"
    WORSE = "worse: fails"
    SEEDLESS = "seed ignored: fails"
    BETTER = "better: record it?"


def looks_of(seeds: int) -> tuple[int, int]:
    """Return the seeds of the first look and of the second."""
    return max(2, round(FIRST_LOOK * seeds)), seeds


def quantile(n_recorded: int, n_results: float) -> float:
    """Return Student's t beyond which chance alone leads so seldom as promised."""
    return float(stats.t.isf(FALSE_ALARMS / (n_results * 2), n_recorded - 1))


@dataclass(frozen=True)
class Recorded:
    """Losses of one experiment over `n` seeds, when the reference was made.

    `std` is 0 of what no seed changes; `seeds` are those of the second look; `negligible` is a loss
    that does not matter; what is allowed for chance is `widened` times.
    """

    mean: float
    std: float
    n: int
    seeds: int = SEEDS
    negligible: float | None = None
    widened: float = 1.0

    @classmethod
    def of(cls, losses: Sequence[float], **options: Any) -> Recorded:
        """Return these losses with `seeds`, `negligible` and `widened`."""
        std = np.std(losses, ddof=1) if np.ptp(losses) else 0.0
        return cls(float(np.mean(losses)), float(std), len(losses), **options)

    @property
    def looks(self) -> tuple[int, ...]:
        """Seeds of each look; one is enough where the seed changes nothing."""
        return looks_of(self.seeds) if self.std > 0 else (1,)

    @property
    def room(self) -> float:
        """The loss that does not matter."""
        return NEGLIGIBLE * max(1.0, abs(self.mean)) if self.negligible is None else self.negligible

    def standard_error(self, n: int) -> float:
        """Return that of the difference to the mean of `n` seeds."""
        return self.std * np.sqrt(1 / self.n + 1 / n)

    def allowed(self, n: int, n_results: float) -> float:
        """Return the loss, in the mean of `n` seeds, up to which it may be chance."""
        t = quantile(self.n, n_results)
        allowed = float(self.room + self.widened * t * self.standard_error(n))
        return allowed if n == self.looks[-1] else GROSS * allowed


@dataclass(frozen=True)
class Judged:
    """`losses` of the seeds that were needed; `loss` of their mean, `allowed` for so many."""

    verdict: Verdict
    losses: tuple[float, ...]
    loss: float
    allowed: float


def judge(
    recorded: Recorded,
    measure: Callable[[int, int], Sequence[float]],
    n_results: float,
    same: Callable[[Sequence[float]], bool] = lambda _: False,
) -> Judged:
    """Look once, or twice.

    `measure(a, b)` returns the losses of seeds number a to b - 1; `same` says whether all these
    losses are the recorded ones. `n_results` are those of the whole check, which the rate of false
    alarms is of.
    """
    losses: list[float] = []
    for n in recorded.looks:
        losses += measure(len(losses), n)
        loss = float(np.mean(losses)) - recorded.mean
        allowed = recorded.allowed(n, n_results)
        if not np.isfinite(loss):
            raise ValueError(f"the result of {len(losses)} seeds is {loss}, not a number")
        if loss > allowed or abs(loss) <= SUSPICIOUS * recorded.standard_error(n):
            break
    if loss > allowed:
        verdict = Verdict.WORSE
    elif recorded.std > 0 and np.ptp(losses) == 0:
        verdict = Verdict.SEEDLESS
    elif loss < -allowed:
        verdict = Verdict.BETTER
    else:
        verdict = Verdict.SAME if same(losses) else Verdict.CHANGED
    return Judged(verdict, tuple(losses), loss, allowed)
