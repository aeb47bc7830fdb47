"""Searches that propose configurations: random, or by what earlier ones were worth (Optuna).

A study is never stored. Its sampler is seeded and it proposes in batches of a fixed size, so that
the same results always lead to the same proposals: a search that was cut off is gone through again,
finds what is finished, and completes the rest; a larger budget goes on from there. How many
processes work on a batch does not matter.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UserError
from fm.validation import check_integer, check_number

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

RUNGS = tuple(2**i for i in range(2, 16))
"""Epochs at which a fit may be given up."""

TRIES = 100
"""Proposals in a row after which a space is taken for used up."""


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, both included; uniform in the logarithm if `log`."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        check_number("low", self.low, above=0 if self.log else -math.inf)
        check_number("high", self.high)
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and not (self.integer and value != int(value))

    def distribution(self) -> BaseDistribution:
        """Return the range as Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.integer:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


@dataclass
class Worth:
    """What a configuration was worth: its mean validation error, and the curves of its repeats.

    The error is None where a repeat failed or was given up; `curves` are by epoch.
    """

    value: float | None
    pruned: bool = False
    curves: Sequence[Mapping[int, float]] = field(default_factory=list)


class Study:
    """Proposes values of `space` (key -> Range) that `tell` has made likely to be good.

    sampler : "tpe", tree-structured Parzen estimator (Bergstra, Bardenet, Bengio & Kegl, NIPS
        2011), after `startup` random ones; or "random".
    prune : whether `limits` are set.
    first : proposed before all others, if it lies within the space or leaves values to the model:
        the default configuration, so that a search with a small budget does not end with a worse
        one.
    """

    def __init__(
        self,
        space: Mapping[str, Range],
        *,
        sampler: str,
        seed: int,
        startup: int,
        prune: bool,
        first: Mapping[str, object] | None = None,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        chosen: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
        if sampler == "tpe":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                chosen = optuna.samplers.TPESampler(
                    seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True
                )
        self._states = optuna.trial.TrialState
        self._study = optuna.create_study(direction="minimize", sampler=chosen)
        # What is left to the model has no place in a space of numbers.
        self._default = first if first is not None and None in first.values() else None
        if first is not None and all(first[key] in range_ for key, range_ in space.items()):
            self._study.enqueue_trial(dict(first))
        self._space = {key: r.distribution() for key, r in space.items()}
        self._startup = startup
        self._prune = prune
        self._curves: list[Sequence[Mapping[int, float]]] = []
        self._asked: list[optuna.Trial | None] = []
        self._proposed: set[tuple[object, ...]] = set()

    def ask(self, n: int) -> list[dict[str, Any]]:
        """Return the next `n` configurations, each proposed for the first time.

        Fewer where `TRIES` proposals in a row bring nothing new, since a space of a few whole
        numbers has an end.
        """
        default, self._default = self._default, None
        self._asked = [] if default is None else [None]
        for _ in range(n - len(self._asked)):
            proposals = (self._study.ask(self._space) for _ in range(TRIES))
            trial = next((proposal for proposal in proposals if self._is_new(proposal)), None)
            if trial is None:
                break
            self._asked.append(trial)
        return [dict(trial.params if trial else default or {}) for trial in self._asked]

    def _is_new(self, trial: optuna.Trial) -> bool:
        """Return whether a trial is new; fail it in the study if it is not."""
        values = tuple(trial.params.values())
        if values in self._proposed:
            self._study.tell(trial, state=self._states.FAIL)
            return False
        self._proposed.add(values)
        return True

    def tell(self, worths: Iterable[Worth]) -> None:
        """Take what the configurations of the last `ask` were worth, in its order."""
        for trial, worth in zip(self._asked, worths, strict=True):
            if trial is None:
                continue
            if worth.value is not None:
                self._study.tell(trial, worth.value)
                self._curves.append(worth.curves)
            elif worth.pruned:
                for epoch, value in min(worth.curves, key=len).items():
                    trial.report(value, epoch)
                self._study.tell(trial, state=self._states.PRUNED)
            else:
                self._study.tell(trial, state=self._states.FAIL)

    def limits(self, n_repeats: int) -> list[dict[int, float]]:
        """Return for each repeat, at each rung, the validation error above which a fit is given up.

        It is a quantile over the completed configurations of the best error so far in the same
        repeat; none before `startup` of them. Of one repeat the quantile is the median (median
        stopping rule; Golovin et al., "Google Vizier", KDD 2017); of n it is 1 - 1/(2n), since a
        configuration is given up when one of its repeats is.
        """
        if not self._prune or len(self._curves) < self._startup:
            return [{}] * n_repeats
        limits = []
        for curves in zip(*self._curves, strict=True):  # of one repeat
            longest = max(max(curve, default=0) for curve in curves)
            best = {rung: [_best(curve, rung) for curve in curves] for rung in RUNGS}
            quantiles = {
                rung: float(np.quantile([b for b in of if b is not None], 1 - 0.5 / n_repeats))
                for rung, of in best.items()
                if rung < longest
            }
            limits.append(quantiles)
        return limits


def ranges(space: Mapping[str, Mapping[str, Any]]) -> dict[str, Range]:
    """Return the ranges of a search space as it stands in `conf/`, checked."""
    checked = {}
    for key, parts in space.items():
        try:
            checked[key] = Range(**parts)
        except (TypeError, ValueError) as error:
            raise UserError(f"search space of {key}: {error}") from error
    return checked


def check_settings(settings: Mapping[str, object], budget: int) -> None:
    """Check the budget and the numbers of a search (`conf/search`)."""
    if "batch" not in settings:
        raise UserError("there are settings of a search, but no search: search=default")
    check_integer("budget", budget, low=1)
    for key, low in (("batch", 1), ("startup", 1), ("seed", 0), ("seeds", 1)):
        if key != "seeds" or settings[key] is not None:
            check_integer(f"search.{key}", settings[key], low=low)


def exceeds(curve: Mapping[int, float], limits: Mapping[int, float]) -> int | None:
    """Return the first epoch of `limits` at which the best of `curve` so far is above it."""
    for epoch, limit in sorted(limits.items()):
        best = _best(curve, epoch)
        if epoch <= max(curve, default=0) and best is not None and best > limit:
            return epoch
    return None


def _best(curve: Mapping[int, float], epoch: int) -> float | None:
    return min((value for step, value in curve.items() if step <= epoch), default=None)
