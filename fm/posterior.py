"""Draws from the posterior of a factorization machine: predictions and diagnostics.

A draw s predicts f_s(x). Predictive quantities are means over draws, of f_s(x) itself or of what
the likelihood makes of it; Gaussian noise of precision alpha_s makes the predictive distribution of
y a mixture of S Gaussians N(f_s(x), 1 / alpha_s), or alpha_s times what the row's level has.

The diagnostics are those of Vehtari, Gelman, Simpson, Carpenter & Buerkner, "Rank-normalization,
folding, and localization: An improved R-hat" (Bayesian Analysis 2021). Every chain is split in
half, so that a trend counts as disagreement between chains and one chain is enough to see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from fm.arrays import AnyArray, FloatArray, IndexArray, RealArray
from fm.model import CHUNK, Coefficients, Draw, Matrix, pieces, predict

Response = Callable[[FloatArray, Draw], FloatArray]
"""(f(x) (n_rows,), draw) -> (n_rows, ...)."""


class Draws(NamedTuple):
    """The fields of `Draw`, each with a first axis of length S."""

    w0: RealArray
    w: RealArray
    V: RealArray
    unknown: RealArray
    alpha: RealArray
    cut_points: RealArray
    noise: RealArray

    @classmethod
    def of_one(cls, draw: Draw) -> Self:
        """Return a single draw."""
        return cls(*(np.array(part)[None] for part in draw))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the draws of all parts."""
        return parts[0] if len(parts) == 1 else cls(*map(np.concatenate, zip(*parts, strict=True)))

    def each(self) -> Iterator[Draw]:
        """Return one draw after the other."""
        return map(Draw._make, zip(*self, strict=True))

    def averaged(self) -> Coefficients:
        """Return the machine with S k factors, those of the draws, that predicts their mean."""
        unknown_w = self.unknown[..., 0].mean(axis=0)[:, None]
        unknown = np.hstack([unknown_w, _end_to_end(self.unknown[..., 1:])])
        return Coefficients(
            float(self.w0.mean()), self.w.mean(axis=0), _end_to_end(self.V), unknown
        )

    def mean(self, X: Matrix, response: Response) -> FloatArray:
        """Return the mean response, (n_rows, ...), in memory that does not grow with S."""
        first, *others = self.each()
        total = response(predict(X, first), first)
        for draw in others:
            total += response(predict(X, draw), draw)
        total /= len(self.w0)
        return total

    def quantiles(
        self, X: Matrix, levels: FloatArray, noise_levels: IndexArray | None
    ) -> FloatArray:
        """Return quantiles of y, (n_rows, n_levels), to 1e-6 of the spread of its components."""
        parts = []
        for rows in pieces(X.shape[0], len(self.w0), CHUNK):
            own = None if noise_levels is None else noise_levels[rows]
            f = np.array([predict(X[rows], draw) for draw in self.each()])[:, :, None]
            precision = [np.atleast_1d(draw.precision(own)) for draw in self.each()]
            deviation = 1 / np.sqrt(precision)[:, :, None]
            components = f + ndtri(levels) * deviation
            low, high = components.min(axis=0), components.max(axis=0)
            for _ in range(20):
                middle = (low + high) / 2
                below = ndtr((middle - f) / deviation).mean(axis=0) < levels
                low, high = np.where(below, middle, low), np.where(below, high, middle)
            parts.append((low + high) / 2)
        return np.vstack(parts)


def _end_to_end(V: RealArray) -> RealArray:
    """Return (S, n, k) as (n, S k), scaled so that inner products are means over S."""
    n_draws, n, k = V.shape
    return np.moveaxis(V, 0, 1).reshape(n, n_draws * k) / V.dtype.type(np.sqrt(n_draws))


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
    return max(_r_hat(_normal_scores(x)) for x in (halves, np.abs(halves - np.median(halves))))


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
        At least 8 draws.

    Returns
    -------
    float
        nan if all draws are equal.
    """
    halves = _halves(chains)
    n_chains, n = halves.shape
    covariance = _autocovariance(halves).mean(axis=0)
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


def _normal_scores(x: FloatArray) -> FloatArray:
    return ndtri((rankdata(x).reshape(x.shape) - 3 / 8) / (x.size + 1 / 4))


def _r_hat(x: FloatArray) -> float:
    n = x.shape[1]
    within = x.var(axis=1, ddof=1).mean()
    between = x.mean(axis=1).var(ddof=1)
    return float(np.sqrt((n - 1) / n + between / within)) if within > 0 else float("nan")


def _autocovariance(x: FloatArray) -> FloatArray:
    """Return (n_chains, n), of each row at lags 0..n - 1, with divisor n."""
    n = x.shape[1]
    spectrum = np.fft.rfft(x - x.mean(axis=1, keepdims=True), 2 * n)
    return np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[:, :n] / n
