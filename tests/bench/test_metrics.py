import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from bench.metrics import TASKS, evaluate, evaluate_binary, squared_errors, task_of

SCALE = (1.0, 5.0)
finite = st.floats(-50, 50)
probabilities = st.floats(0, 1)


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


@settings(deadline=None)
@given(arrays(float, 20, elements=st.floats(1, 5)), arrays(float, 20, elements=finite))
def test_clipping_never_hurts_where_ratings_keep_the_scale(
    y: np.ndarray, prediction: np.ndarray
) -> None:
    metrics = evaluate(y, prediction, SCALE)
    for name in ("mse", "rmse", "mae"):
        assert metrics[f"{name}_clipped"] <= metrics[f"{name}_raw"]
    assert metrics["mse_clipped"] == squared_errors(y, prediction, SCALE).mean()


@given(arrays(float, 20, elements=finite), arrays(float, 20, elements=finite))
def test_without_a_scale_clipped_is_raw_and_both_are_scikit_learn_s(
    y: np.ndarray, prediction: np.ndarray
) -> None:
    metrics = TASKS["regression"].evaluate(y, prediction, None)
    expected = {
        "mse": sk.mean_squared_error(y, prediction),
        "rmse": sk.root_mean_squared_error(y, prediction),
        "mae": sk.mean_absolute_error(y, prediction),
    }
    for name, value in expected.items():
        assert metrics[f"{name}_clipped"] == metrics[f"{name}_raw"]
        np.testing.assert_allclose(metrics[f"{name}_raw"], value, rtol=1e-9, atol=1e-12)


@given(arrays(int, 30, elements=st.integers(0, 1)), arrays(float, 30, elements=probabilities))
def test_binary_metrics_are_scikit_learn_s(y: np.ndarray, p: np.ndarray) -> None:
    metrics = evaluate_binary(y, p)
    expected = {
        "log_loss": sk.log_loss(y, p, labels=[0, 1]),
        "brier": sk.brier_score_loss(y, p, pos_label=1),
        "accuracy": sk.accuracy_score(y, p > 0.5),
    }
    assert ("auc" in metrics) == ("normalized_entropy" in metrics) == (0 < y.mean() < 1)
    if "auc" in metrics:
        expected["auc"] = sk.roc_auc_score(y, p)
        base = sk.log_loss(y, np.full(30, y.mean()), labels=[0, 1])
        expected["normalized_entropy"] = expected["log_loss"] / base
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(TASKS["binary"].row_losses(y, p, None).mean(), metrics["log_loss"])


def test_calibration_error_is_that_of_scikit_learn_s_curve() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(1, 5, 3000)
    y = rng.random(3000) < p**1.3
    observed, predicted = calibration_curve(y, p, n_bins=15, strategy="quantile")
    np.testing.assert_allclose(  # 3,000 distinct predictions: bins of 200
        evaluate_binary(y, p)["calibration_error"], np.abs(observed - predicted).mean(), rtol=1e-9
    )
    assert evaluate_binary([0, 1, 1, 1], [0.75] * 4)["calibration_error"] == 0


@pytest.mark.parametrize(
    ("y", "prediction", "said"),
    [
        ([1.0, 2.0], [1.0], "predictions for"),
        ([], [], "predictions for"),
        ([1.0, 2.0], [1.0, np.nan], "not finite, the first in row 1"),
    ],
)
@pytest.mark.parametrize("task", ["rating", "binary"])
def test_never_a_silently_wrong_number(task: str, y: list, prediction: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TASKS[task].evaluate(y, prediction, SCALE)


@pytest.mark.parametrize(
    ("y", "p", "said"),
    [([0, 2], [0.5, 0.5], "row 1 is 2"), ([0, 1], [0.5, 1.5], "that of row 1 is 1.5")],
)
def test_what_is_no_class_or_no_probability_is_refused(y: list, p: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        evaluate_binary(y, p)


def test_each_task_evaluates_what_it_selects_and_reports_by() -> None:
    for name, task in TASKS.items():
        assert task.name == name
        values = task.evaluate([0, 1, 1], [0.2, 0.6, 0.3], None)
        assert {metric.name for metric in task.metrics} <= values.keys()
        assert task.headline_metric == f"test/{task.headline.name}"
        assert task.selection_metric == f"validation/{task.headline.name}"
        assert not task.headline.higher_is_better
    assert task_of({}).name == "rating"
    assert task_of({"task": "binary"}).validation_curve == "validation_log_loss"
