"""Slow and obvious: what the fast code is held against."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fm_predict(X: ArrayLike, w0: float, w: ArrayLike, V: ArrayLike) -> NDArray[np.float64]:
    """The factorization machine's equation as it is written, one pair of features at a time."""
    X, w, V = (np.asarray(a, dtype=np.float64) for a in (X, w, V))
    return np.array(
        [
            w0
            + sum(w[j] * x[j] for j in range(len(x)))
            + sum(V[i] @ V[j] * x[i] * x[j] for i, j in combinations(range(len(x)), 2))
            for x in X
        ]
    )


def numerical_gradient(f, x: NDArray, step: float = 1e-6) -> NDArray[np.float64]:
    """Central differences of a function of one array."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[index] = step
        gradient[index] = (f(x + shift) - f(x - shift)) / (2 * step)
    return gradient


def effective_sample_size(chains: ArrayLike) -> float:
    """How many independent draws would estimate the mean as well; nan if all draws are equal.

    Equations 10 to 13 of Vehtari et al., "Rank-normalization, folding, and localization: An
    improved R-hat" (Bayesian Analysis 2021), with autocorrelations summed until Geyer's initial
    monotone sequence of pairs ends (Statistical Science 1992). chains : (n_chains, n_draws).
    """
    chains = np.atleast_2d(np.asarray(chains, np.float64))
    n = chains.shape[1] // 2
    halves = np.concatenate([chains[:, :n], chains[:, -n:]])
    n_chains = len(halves)
    spectrum = np.fft.rfft(halves - halves.mean(axis=1, keepdims=True), 2 * n)
    covariance = (np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[:, :n] / n).mean(axis=0)
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
