"""What is observed of a fit, epoch by epoch, and whether it has converged.

Traces, learning curves, early stopping and the progress bar; R-hat and effective sample size of
Vehtari, Gelman, Simpson, Carpenter & Buerkner, "Rank-normalization, folding, and localization: An
improved R-hat" (Bayesian Analysis 2021). Every chain is split in half, so that a trend counts as
disagreement between chains and one chain is enough to see it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning

from fm.arrays import AnyArray, FloatArray
from fm.model import Draw, Draws, Matrix, Response, predict

Callback = Callable[[int, Any], bool | None]
"""Called after each epoch or sweep with the number of them done, continuations counted, and the
coefficients or draw, in arrays of their own. A true answer ends the fit. Its own time is not in
`seconds`."""


FALLING = 0.05
"""Share of its loss that the last epoch of gradient descent took off, above which a fit has not
converged."""


class Trace:
    """Values after each epoch or sweep, and the seconds since the trace was begun.

    values : name -> one value an epoch; among them `seconds`, cumulative.
    """

    def __init__(self, callback: Callback | None, *names: str) -> None:
        self.values: dict[str, list[Any]] = {name: [] for name in (*names, "seconds")}
        self._callback, self._began = callback, perf_counter()

    def add(self, number: int, result: object, **values: object) -> bool:
        """Record the values of epoch `number`; return whether the callback ends the fit."""
        self.values["seconds"].append(perf_counter() - self._began)
        for name, value in values.items():
            self.values[name].append(value)
        paused = perf_counter()
        stop = self._callback is not None and self._callback(number, result)
        self._began += perf_counter() - paused
        return bool(stop)

    def arrays(self) -> dict[str, AnyArray]:
        """Return the values of all epochs as arrays, by name."""
        return {name: np.array(values) for name, values in self.values.items()}


def in_a_row(traces: Sequence[Mapping[str, AnyArray]]) -> dict[str, AnyArray]:
    """Return the values of one chain after those of the other; their seconds are added up."""
    joined = {name: np.concatenate([trace[name] for trace in traces]) for name in traces[0]}
    ends = np.cumsum([0, *(trace["seconds"][-1] for trace in traces[:-1])])
    joined["seconds"] += np.repeat(ends, [len(trace["seconds"]) for trace in traces])
    return joined


def warn_while_falling(
    losses: Sequence[float], n_done: int, *, of: str = "epochs", falling: float = FALLING
) -> None:
    """Warn if the last of the losses is more than the share `falling` below the one before it."""
    if len(losses) > 1 and losses[-1] < (1 - falling) * losses[-2]:
        share = 1 - losses[-1] / losses[-2]
        warnings.warn(
            f"after {n_done} {of} the last one still took {share:.0%} off the loss: try a larger "
            "n_iter",
            ConvergenceWarning,
            stacklevel=4,
        )


Curve = Callable[[int, Any], float]
"""(number of epochs done, coefficients) -> a point of the learning curve."""


@dataclass
class Monitor:
    """Called by a solver after each epoch; a true answer stops it.

    curves : name in the history -> curve, each evaluated after every epoch.
    watched, patience, tol : stop after `patience` epochs without a new low of that curve, by more
        than `tol`; patience None: never.
    bar : epochs that a progress bar on a terminal is to show; None for no bar.
    best : (value, epoch, coefficients) of the low.
    """

    curves: dict[str, Curve]
    watched: str
    patience: int | None = None
    tol: float = 0.0
    callback: Callable[[int, Any], bool | None] | None = None
    bar: int | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    best: tuple[float, int, Any] = (np.inf, 0, None)
    n_calls: int = 0

    @property
    def observes(self) -> bool:
        """Whether there is anything to do after an epoch."""
        return bool(self.curves or self.callback or self.bar)

    def __call__(self, epoch: int, coefficients: Any) -> bool:
        """Look at the state after an epoch, and return whether to stop."""
        self.n_calls += 1
        point = {name: curve(epoch, coefficients) for name, curve in self.curves.items()}
        for name, value in point.items():
            self.history.setdefault(name, []).append(value)
        stop = False
        if self.patience is not None:
            if point[self.watched] < self.best[0] - self.tol:
                self.best = point[self.watched], epoch, deepcopy(coefficients)
            stop = epoch - self.best[1] >= self.patience
        if self.callback is not None:
            stop |= bool(self.callback(epoch, coefficients))
        if self.bar is not None and sys.stderr.isatty():
            done = "#" * (20 * self.n_calls // self.bar)
            values = "  ".join(f"{name} {value:.4f}" for name, value in point.items())
            end = "\n" if stop or self.n_calls == self.bar else ""
            sys.stderr.write(f"\r[{done:.<20}] {epoch:>4}  {values}\x1b[K{end}")
            sys.stderr.flush()
        return stop


class RunningMean:
    """The mean response over the kept draws so far; before the first, that of the last draw."""

    def __init__(
        self, X: Matrix, response: Response, burn_in: int, thin: int, earlier: Draws | None
    ) -> None:
        self._X, self._response, self._burn_in, self._thin = X, response, burn_in, thin
        self._n = 0 if earlier is None else len(earlier.w0)
        self._total = np.zeros(1) if earlier is None else self._n * earlier.mean(X, response)

    def __call__(self, sweep: int, draw: Draw) -> FloatArray:
        """Return the mean after this sweep's draw."""
        current = self._response(predict(self._X, draw), draw)
        if sweep > self._burn_in and (sweep - self._burn_in) % self._thin == 0:
            self._total, self._n = self._total + current, self._n + 1
        return self._total / self._n if self._n else current


def r_hat(chains: ArrayLike) -> float:
    """Return the rank-normalized split R-hat: near 1 at convergence, above 1.01 a warning.

    The larger of that of the draws and that of their distance from the median (equations 3, 4 and
    14, and section 4.1): chains must agree in location and in spread.

    Parameters
    ----------
    chains : (n_chains, n_draws) or (n_draws,)
        At least 4 draws.

    Returns
    -------
    float
        nan if all draws are equal.
    """
    halves = _halves(chains)
    return max(map(_r_hat, (halves, np.abs(halves - np.median(halves)))))


def r_hats(traces: Sequence[Mapping[str, AnyArray]]) -> dict[str, float]:
    """Return the R-hat of the second half of each number that chains trace, where it varies.

    Of cut points it is that of the worst. Nothing where chains are too short, or of unequal length.
    """
    n = len(traces[0]["w0"])
    if n < 8 or any(len(trace["w0"]) != n for trace in traces):
        return {}
    worst = {}
    for name in ("w0", "alpha", "cut_points"):
        values = np.array([trace[name][n // 2 :].reshape(n - n // 2, -1) for trace in traces])
        varying = [x for x in np.moveaxis(values, 2, 0) if np.ptp(x) > 0]
        if varying:
            worst[name] = max(map(r_hat, varying))
    return worst


def effective_sample_size(chains: ArrayLike) -> float:
    """Return how many independent draws would estimate the mean as well.

    Equations 10 to 13, with autocorrelations summed until Geyer's initial monotone sequence of
    pairs ends (Statistical Science 1992).

    Parameters
    ----------
    chains : (n_chains, n_draws) or (n_draws,)
        At least 4 draws.

    Returns
    -------
    float
        nan if all draws are equal.
    """
    halves = _halves(chains)
    n_chains, n = halves.shape
    spectrum = np.fft.rfft(halves - halves.mean(axis=1, keepdims=True), 2 * n)
    covariance = np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + halves.mean(axis=1).var(ddof=1)
    if total == 0:
        return float("nan")
    correlation = 1 - (within - covariance * n / (n - 1)) / total
    correlation[0] = 1
    pairs = correlation[: n - n % 2].reshape(-1, 2).sum(axis=1)
    pairs = pairs[: np.argmax(pairs < 0) if np.any(pairs < 0) else None]
    time = 2 * np.minimum.accumulate(pairs).sum() - 1
    return float(n_chains * n / max(time, 1 / np.log10(n_chains * n)))


def _halves(chains: ArrayLike) -> FloatArray:
    chains = np.atleast_2d(np.asarray(chains, np.float64))
    n = chains.shape[1] // 2
    if n < 2 or not np.all(np.isfinite(chains)):
        raise ValueError(f"need at least 4 finite draws per chain, got {chains.shape[1]}")
    return np.concatenate([chains[:, :n], chains[:, -n:]])


def _r_hat(halves: FloatArray) -> float:
    """Return that of the normal scores of the halves' ranks."""
    n = halves.shape[1]
    x = ndtri((rankdata(halves).reshape(halves.shape) - 3 / 8) / (halves.size + 1 / 4))
    within = x.var(axis=1, ddof=1).mean()
    between = x.mean(axis=1).var(ddof=1)
    return float(np.sqrt((n - 1) / n + between / within)) if within > 0 else float("nan")
