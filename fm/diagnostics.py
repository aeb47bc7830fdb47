"""Has the sampler converged, and how many independent draws are its draws worth?

From Vehtari, Gelman, Simpson, Carpenter & Buerkner, "Rank-normalization, folding, and localization: An
improved R-hat" (Bayesian Analysis 2021). Every chain is split in half, so that a trend counts as disagreement
between chains and one chain is enough to see it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import rankdata


def r_hat(chains: ArrayLike) -> float:
    """Rank-normalized split R-hat of draws (n_chains, n_draws) or (n_draws,), at least 4; near 1 at convergence.

    The larger of that of the draws and that of their distance from the median (equations 3, 4 and 14, and
    section 4.1): chains must agree in location and in spread. Above 1.01 is a warning. nan if all draws are equal.
    """
    halves = _halves(chains)
    return max(_r_hat(_normal_scores(x)) for x in (halves, np.abs(halves - np.median(halves))))


def effective_sample_size(chains: ArrayLike) -> float:
    """Of the mean of draws (n_chains, n_draws) or (n_draws,), at least 8: independent draws that would do as well.

    Equations 10 to 13, with autocorrelations summed until Geyer's initial monotone sequence of pairs ends
    (Statistical Science 1992). nan if all draws are equal.
    """
    halves = _halves(chains)
    n_chains, n = halves.shape
    covariance = _autocovariance(halves).mean(axis=0)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + halves.mean(axis=1).var(ddof=1)
    if total == 0:
        return np.nan
    correlation = 1 - (within - covariance * n / (n - 1)) / total
    correlation[0] = 1
    pairs = correlation[: n - n % 2].reshape(-1, 2).sum(axis=1)
    pairs = pairs[: np.argmax(pairs < 0) if np.any(pairs < 0) else None]
    time = 2 * np.minimum.accumulate(pairs).sum() - 1
    return n_chains * n / max(time, 1 / np.log10(n_chains * n))


def _halves(chains: ArrayLike) -> NDArray[np.float64]:
    chains = np.atleast_2d(np.asarray(chains, np.float64))
    n = chains.shape[1] // 2
    if n < 2 or not np.all(np.isfinite(chains)):
        raise ValueError(f"need at least 4 finite draws per chain, got {chains.shape[1]}")
    return np.concatenate([chains[:, :n], chains[:, -n:]])


def _normal_scores(x: NDArray) -> NDArray[np.float64]:
    return ndtri((rankdata(x).reshape(x.shape) - 3 / 8) / (x.size + 1 / 4))


def _r_hat(x: NDArray) -> float:
    n = x.shape[1]
    within = x.var(axis=1, ddof=1).mean()
    between = x.mean(axis=1).var(ddof=1)
    return float(np.sqrt((n - 1) / n + between / within)) if within > 0 else np.nan


def _autocovariance(x: NDArray) -> NDArray[np.float64]:
    """(n_chains, n), of each row at lags 0..n - 1, with divisor n."""
    n = x.shape[1]
    spectrum = np.fft.rfft(x - x.mean(axis=1, keepdims=True), 2 * n)
    return np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[:, :n] / n
