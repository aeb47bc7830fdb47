"""Simulated clicks and values: deterministic, long-tailed, with the rate and the noise they are
said to have.
"""

import numpy as np
import pytest

from bench.data import planted_clicks, planted_values
from bench.errors import UserError
from bench.metrics import TASKS


def test_same_seed_same_clicks() -> None:
    one, two, other = (planted_clicks(500, 3, seed=seed) for seed in (1, 1, 2))
    assert one.digest == two.digest != other.digest


@pytest.mark.parametrize("n_fields", [2, 10, 40])
@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_rate_and_probabilities(n_fields: int, rate: float) -> None:
    data = planted_clicks(20_000, n_fields, rate=rate)
    assert len(data.fields) == n_fields
    assert data.expected.mean() == pytest.approx(rate, abs=1e-6)
    error = 4 * np.sqrt((data.expected * (1 - data.expected)).mean() / len(data))
    assert data.y.mean() == pytest.approx(rate, abs=error)
    found = TASKS["binary"].evaluate(data.y, data.expected, None)
    assert found["normalized_entropy"] < 0.95  # fields say something
    assert found["calibration_error"] < 0.02


def test_levels_are_long_tailed() -> None:
    data = planted_clicks(20_000, 10)
    counts = data.rows["field_10"].value_counts()
    assert data.rows["field_1"].nunique() == 5 and len(counts) > 300
    assert counts.iloc[:10].sum() > 0.3 * len(data)


def test_values_have_the_noise_they_are_drawn_with() -> None:
    data = planted_values(20_000, 5, noise=0.7)
    assert (data.task, data.target) == ("regression", "value")
    residual = data.y - data.expected
    assert residual.std() == pytest.approx(0.7, rel=0.03)
    assert data.variance.tolist() == pytest.approx([0.49] * len(data))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_fields": 1}, "n_fields must be at least 2"),
        ({"n_fields": 41}, "n_fields must be at most 40"),
        ({"rate": 1.5}, "rate must be"),
        ({"n_rows": 3}, "n_rows must be at least 20"),
    ],
)
def test_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        planted_clicks(**options)
