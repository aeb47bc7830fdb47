"""The one place that says what an error is.

Every metric is global, over all rows at once (never a mean of per-user means), and unrounded.
`clipped` ones are of predictions cut to the rating scale, as recommender papers and Vowpal Wabbit
do; `raw` ones are of what the model said.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SELECTION_METRIC = "validation/mse_clipped"
"""Name, in what is tracked, of the error that configurations are chosen by."""
HEADLINE_METRIC = "test/mse_clipped"
"""Name of the error that is reported."""


def squared_errors(
    y: ArrayLike, prediction: ArrayLike, scale: tuple[float, float]
) -> NDArray[np.float64]:
    """(n_rows,) squared errors of predictions clipped to `scale`; their mean is the headline metric."""
    return (np.asarray(y, dtype=np.float64) - np.clip(prediction, *scale)) ** 2


def evaluate(y: ArrayLike, prediction: ArrayLike, scale: tuple[float, float]) -> dict[str, float]:
    """MSE, RMSE (rating units) and MAE of `prediction` (n_rows,), clipped to `scale` and raw.

    Raises
    ------
    ValueError : a prediction is missing or not finite, or there is no row.
    """
    y, prediction = np.asarray(y, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if y.shape != prediction.shape or y.ndim != 1 or not y.size:
        raise ValueError(f"{prediction.shape} predictions for {y.shape} ratings")
    if not np.isfinite(prediction).all():
        bad = np.flatnonzero(~np.isfinite(prediction))
        raise ValueError(f"{bad.size} predictions are not finite, the first in row {bad[0]}")
    result = {}
    for kind, squares in (
        ("clipped", squared_errors(y, prediction, scale)),
        ("raw", squared_errors(y, prediction, (-np.inf, np.inf))),
    ):
        mse = float(squares.mean())
        result |= {
            f"mse_{kind}": mse,
            f"rmse_{kind}": mse**0.5,
            f"mae_{kind}": float(np.sqrt(squares).mean()),
        }
    return result
