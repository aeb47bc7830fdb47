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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
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

N_CHECKS = 100_000
"""That are simulated."""
SURE = 0.95
"""Fraction of checks in which a loss must be noticed to count as caught."""
WIDENED = (1.0, 1.25, 1.5, 2.0, 3.0)
"""What is allowed for chance is widened to the first of these that keeps the promise."""
SEEDS_TRIED = (8, 12, 24, 48, 96, 192)
GRID = np.arange(0, 10, 0.05)
"""Losses that are tried, in standard deviations over seeds."""


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
    """The `losses` of one experiment, one a seed, when the reference was made.

    `seeds` are those of the second look; what is allowed for chance is `widened` times.
    """

    losses: tuple[float, ...]
    seeds: int = SEEDS
    widened: float = 1.0

    @property
    def n(self) -> int:
        return len(self.losses)

    @cached_property
    def mean(self) -> float:
        return float(np.mean(self.losses))

    @cached_property
    def std(self) -> float:
        """Over seeds; 0 of what no seed changes."""
        return float(np.std(self.losses, ddof=1)) if np.ptp(self.losses) else 0.0

    @property
    def looks(self) -> tuple[int, ...]:
        """Seeds of each look; one is enough where the seed changes nothing."""
        return looks_of(self.seeds) if self.std > 0 else (1,)

    @property
    def room(self) -> float:
        """The loss that does not matter."""
        return NEGLIGIBLE * max(1.0, abs(self.mean))

    def standard_error(self, n: int) -> float:
        """Return that of the difference to the mean of `n` seeds."""
        return self.std * np.sqrt(1 / self.n + 1 / n)

    def allowed(self, n: int, n_results: float) -> float:
        """Return the loss, in the mean of `n` seeds, up to which it may be chance."""
        t = quantile(self.n, n_results)
        allowed = float(self.room + self.widened * t * self.standard_error(n))
        return allowed if n == self.looks[-1] else GROSS * allowed

    def same(self, losses: Sequence[float], first_seed: int) -> int:
        """Return how many of the seeds from `first_seed` on gave the recorded number."""
        pairs = zip(losses, self.losses[first_seed:], strict=False)
        return sum(abs(a - b) <= SAME * max(1.0, abs(b)) for a, b in pairs)


@dataclass(frozen=True)
class Judged:
    """`losses` of the seeds that were needed, of which `same` gave the recorded number.

    `loss` is of their mean, `allowed` what is for so many.
    """

    verdict: Verdict
    losses: tuple[float, ...]
    loss: float
    allowed: float
    same: int = 0


def judge(
    recorded: Recorded,
    measure: Callable[[int, int], Sequence[float]],
    n_results: float,
    first_seed: int = 0,
) -> Judged:
    """Look once, or twice.

    `measure(a, b)` returns the losses of seeds number a to b - 1 from `first_seed` on. `n_results`
    are those of the whole check, which the rate of false alarms is of.
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
    same = recorded.same(losses, first_seed)
    if loss > allowed:
        verdict = Verdict.WORSE
    elif recorded.std > 0 and np.ptp(losses) == 0:
        verdict = Verdict.SEEDLESS
    elif loss < -allowed:
        verdict = Verdict.BETTER
    else:
        verdict = Verdict.SAME if same == len(losses) else Verdict.CHANGED
    return Judged(verdict, tuple(losses), loss, allowed, same)


# -- by simulation: how often the rule is wrong, and how small a loss it notices -------------------


def alarms(
    recorded: Recorded, added: Sequence[float] | NDArray[np.float64], n_results: int
) -> NDArray[np.float64]:
    """Return the fraction of checks that notice each `added` loss; for 0 the false alarms.

    Each check has a reference of its own. Reference and check are drawn from the recorded
    losses by the smoothed bootstrap (Silverman & Young, Biometrika 1987), whose tails go beyond
    what was recorded.
    """
    rng = np.random.default_rng(0)
    values, n = np.asarray(recorded.losses), recorded.n
    first, second = looks_of(recorded.seeds)
    width = (4 / (3 * n)) ** 0.2 * recorded.std
    shrink = 1 / np.sqrt(1 + (width / recorded.std) ** 2)  # to the variance of the values

    def drawn(size: int) -> NDArray[np.float64]:
        points = rng.choice(values, (N_CHECKS, size))
        points += width * rng.standard_normal((N_CHECKS, size))
        return values.mean() + shrink * (points - values.mean())

    reference = drawn(n)
    mean, std = reference.mean(axis=1), reference.std(axis=1, ddof=1)
    check = drawn(second)
    early, late = check[:, :first].mean(axis=1) - mean, check.mean(axis=1) - mean
    t = recorded.widened * quantile(n, n_results)
    se = {look: std * np.sqrt(1 / n + 1 / look) for look in (first, second)}
    noticed = []
    for loss in added:
        at_once = loss + early > GROSS * (recorded.room + t * se[first])
        doubtful = np.abs(loss + early) > SUSPICIOUS * se[first]
        again = loss + late > recorded.room + t * se[second]
        noticed.append(np.mean(at_once | (doubtful & again)))
    return np.array(noticed)


def widened(recorded: Recorded, n_results: int) -> Recorded:
    """Return the same with the least of `WIDENED` that keeps the promise; the last if none does."""
    for factor in WIDENED:
        wide = replace(recorded, widened=factor)
        if alarms(wide, [0.0], n_results)[0] <= FALSE_ALARMS / n_results:
            break
    return wide


def smallest_caught(recorded: Recorded, n_results: int) -> float:
    """Return the least loss that `SURE` of the checks notice, to a 20th of a seed's noise."""
    tried = recorded.room + GRID * recorded.std
    caught = alarms(recorded, tried, n_results) >= SURE
    return float(tried[np.argmax(caught)]) if caught.any() else float("inf")


def seeds_needed(recorded: Recorded, loss: float, n_results: int) -> int | None:
    """Return the seeds with which `SURE` of the checks notice `loss`; None if too many."""
    if recorded.std == 0:
        return 1 if loss > recorded.room else None
    for seeds in SEEDS_TRIED:
        if alarms(replace(recorded, seeds=seeds), [loss], n_results)[0] >= SURE:
            return seeds
    return None
