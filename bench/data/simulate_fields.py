"""Rows of many fields drawn from a known factorization machine: the best possible error is known.

    s = w0 + sum_f w_f + sum_(f < g) <v_f, v_g>     weights and k factors of the row's levels
    click ~ Bernoulli(1 / (1 + exp(-s)))            `planted_clicks`
    value ~ Normal(s, noise^2)                      `planted_values`

Levels of a field occur by Zipf's law: a few have most rows, and most few. The true probability (or
mean) of each row is kept beside it. The same seed gives the same rows, up to draws within rounding
error of a probability.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from bench.data.dataset import Dataset
from bench.errors import checked
from bench.seeds import derive_rng
from fm.validation import check_integer, check_number

LINEAR, INTERACTION = 0.8, 1.0
"""Standard deviations of the sums of weights and of interactions, over levels drawn uniformly."""
FEWEST_LEVELS = 5
ROWS_PER_LEVEL = 50
"""Of the field with most levels, on average."""
CHUNK = 2**17
"""Rows whose scores are computed together."""


def planted_clicks(
    n_rows: int = 100_000, n_fields: int = 10, *, rate: float = 0.2, k: int = 4, seed: int = 0
) -> Dataset:
    """Simulate clicks of mean `rate` from an FM of k factors, in 2 to 40 fields."""
    with checked():
        check_number("rate", rate, above=0, high=1)
    columns, score = _draw(n_rows, n_fields, k, seed)
    sample = score[:CHUNK]
    w0 = brentq(lambda w: expit(sample + w).mean() - rate, -60.0, 60.0)
    p = expit(score + w0)
    clicks = (derive_rng(seed, "clicks").random(n_rows) < p).astype(np.float64)
    return Dataset(
        name="planted_clicks",
        rows=pd.DataFrame({"click": clicks, **columns}, copy=False),
        scale=(0.0, 1.0),
        source=f"{n_rows:,} simulated clicks of {n_fields} fields, {clicks.mean():.1%} are 1, "
        f"seed {seed}",
        task="binary",
        target="click",
        fields=tuple(columns),
        classes=("0", "1"),
        simulated=True,
        expected=p,
        variance=p * (1 - p),
    )


def planted_values(
    n_rows: int = 100_000, n_fields: int = 10, *, noise: float = 1.0, k: int = 4, seed: int = 0
) -> Dataset:
    """Simulate real values, each of standard deviation `noise` given its row."""
    with checked():
        check_number("noise", noise, low=0)
    columns, score = _draw(n_rows, n_fields, k, seed)
    values = score + noise * derive_rng(seed, "values").standard_normal(n_rows)
    return Dataset(
        name="planted_values",
        rows=pd.DataFrame({"value": values, **columns}, copy=False),
        scale=(float(values.min()), float(values.max())),
        source=f"{n_rows:,} simulated values of {n_fields} fields, seed {seed}",
        task="regression",
        target="value",
        fields=tuple(columns),
        simulated=True,
        expected=score,
        variance=np.full(n_rows, float(noise) ** 2),
    )


def _draw(
    n_rows: int, n_fields: int, k: int, seed: int
) -> tuple[dict[str, NDArray[np.int32]], NDArray[np.float64]]:
    """Levels of each field, as whole numbers from 1, and the score of each row without w0."""
    with checked():
        check_integer("n_rows", n_rows, low=20)
        check_integer("n_fields", n_fields, low=2)
        check_number("n_fields", n_fields, high=40)
        check_integer("k", k, low=0)
        check_integer("seed", seed, low=0)
    most = max(2 * FEWEST_LEVELS, n_rows // ROWS_PER_LEVEL)
    n_levels = np.rint(np.geomspace(FEWEST_LEVELS, most, n_fields)).astype(int)
    weight = LINEAR / np.sqrt(n_fields)
    pairs = k * n_fields * (n_fields - 1) / 2
    factor = (INTERACTION**2 / pairs) ** 0.25 if k else 0.0
    columns, theta = {}, []
    for f, n in enumerate(n_levels, start=1):
        rng = derive_rng(seed, "field", f)
        often = 1 / np.arange(1, n + 1)
        bound = rng.permutation(often).cumsum()
        u = rng.random(n_rows) * bound[-1]
        columns[f"field_{f}"] = 1 + bound.searchsorted(u, side="right").astype(np.int32)
        scale = np.array([weight] + [factor] * k)[:, None]
        theta.append(scale * rng.standard_normal((1 + k, n)))
    score = np.empty(n_rows)
    for first in range(0, n_rows, CHUNK):
        rows = slice(first, first + CHUNK)
        score[rows] = _scores([column[rows] - 1 for column in columns.values()], theta)
    return columns, score


def _scores(levels: list[NDArray], theta: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    total = np.zeros((len(theta[0]), len(levels[0])))
    squares = np.zeros(len(levels[0]))
    for level, part in zip(levels, theta, strict=True):
        looked_up = part[:, level]
        total += looked_up
        squares += (looked_up[1:] ** 2).sum(axis=0)
    return total[0] + ((total[1:] ** 2).sum(axis=0) - squares) / 2
