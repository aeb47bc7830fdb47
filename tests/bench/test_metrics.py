import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.metrics import evaluate, squared_errors

SCALE = (1.0, 5.0)
finite = st.floats(-50, 50)


def test_by_hand() -> None:
    metrics = evaluate([1.0, 5.0], [0.0, 4.0], SCALE)
    assert metrics == {
        "mse_clipped": 0.5,
        "rmse_clipped": 0.5**0.5,
        "mae_clipped": 0.5,
        "mse_raw": 1.0,
        "rmse_raw": 1.0,
        "mae_raw": 1.0,
    }


@given(arrays(float, 20, elements=st.floats(1, 5)), arrays(float, 20, elements=finite))
def test_clipping_never_hurts_where_ratings_keep_the_scale(
    y: np.ndarray, prediction: np.ndarray
) -> None:
    metrics = evaluate(y, prediction, SCALE)
    for name in ("mse", "rmse", "mae"):
        assert metrics[f"{name}_clipped"] <= metrics[f"{name}_raw"]
    assert metrics["mse_clipped"] == squared_errors(y, prediction, SCALE).mean()


@pytest.mark.parametrize(
    ("y", "prediction", "said"),
    [
        ([1.0, 2.0], [1.0], "predictions for"),
        ([], [], "predictions for"),
        ([1.0, 2.0], [1.0, np.nan], "not finite, the first in row 1"),
    ],
)
def test_never_a_silently_wrong_number(y: list, prediction: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        evaluate(y, prediction, SCALE)
