"""One run of a binary task: probabilities, its own metrics, weights, the models that are for it."""

import base64
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from baselines import BaseRate, LogisticRegression, RidgeRegression, VowpalWabbit
from baselines.peers.scikit_learn import BoostingOnTargetStatistics
from bench.data import planted_clicks
from bench.data.dataset import Dataset
from bench.data.splits import random
from bench.errors import UserError
from bench.metrics import TASKS
from bench.run import Job, run
from bench.sweep import composed, load_data
from bench.sweep.compose import as_dict
from bench.sweep.trials import composed_job, model_of
from bench.task_models import model_for
from bench.tracking.entities import saved_view
from fm import FMClassifier, FMRegressor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clicks() -> Dataset:
    return planted_clicks(4000, 5, seed=3)


def job(dataset: Dataset, model: BaseEstimator, **changes: object) -> Job:
    parts = {"names": {}, "config": {}, "split": random, "features": ("ids",)}
    return Job(dataset=dataset, model=model, **parts | changes)


def test_metrics_of_the_task_between_base_rate_and_the_best_possible(clicks: Dataset) -> None:
    logistic = run(job(clicks, LogisticRegression(l2=2.0))).metrics
    base = run(job(clicks, BaseRate())).metrics
    assert logistic["test/oracle_log_loss"] < logistic["test/log_loss"] < base["test/log_loss"]
    assert {"validation/log_loss", "test/auc", "test/brier"} <= logistic.keys()
    assert base["test/auc"] == 0.5
    assert logistic["test/noise_floor"] == pytest.approx(logistic["test/oracle_log_loss"], abs=0.05)


class Weighed(ClassifierMixin, BaseEstimator):
    """Remembers what it was fitted with."""

    def fit(self, X: object, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "Weighed":
        self.classes_, self.weight_ = np.unique(y), sample_weight
        return self

    def predict_proba(self, X: object) -> np.ndarray:
        return np.tile([0.7, 0.3], (X.shape[0], 1))


def test_weights_are_passed_to_models_that_take_them(clicks: Dataset) -> None:
    weights = np.arange(len(clicks), dtype=np.float64)
    weighted = replace(clicks, rows=clicks.rows.assign(w=weights), weight="w")
    result = run(job(weighted, Weighed()))
    development = np.setdiff1d(np.arange(len(clicks)), result.rows)
    assert np.array_equal(np.sort(result.fitted[0].weight_), development)
    assert np.allclose(result.prediction, 0.3)


@pytest.mark.parametrize(
    "model",
    [
        FMRegressor(k=2, n_iter=4, random_state=0),
        BoostingOnTargetStatistics(n_iter=5),
        VowpalWabbit({"lrq": "fi2", "hash": "all"}, passes=2, random_state=0),
    ],
    ids=["fm", "boosting", "vw"],
)
def test_one_choice_is_a_regressor_or_a_classifier_as_the_task_says(
    clicks: Dataset, model: BaseEstimator
) -> None:
    assert model_for(model, "rating") is model
    classifier = model_for(model, "binary")
    own = classifier.get_params()
    assert {k: v for k, v in model.get_params().items() if k != "noise_by"}.items() <= own.items()
    result = run(job(clicks, classifier))
    metrics = result.metrics
    base = run(job(clicks, BaseRate())).metrics
    assert metrics["test/auc"] > 0.55 and metrics["test/log_loss"] < 1.1 * base["test/log_loss"]
    n_rows = metrics["time/predicted_rows_per_second"] * metrics["time/predict_seconds"]
    assert round(n_rows) == len(result.rows)


def test_a_classifier_without_a_fitting_task_is_none() -> None:
    assert model_for(FMClassifier(), "rating") is None
    assert model_for(RidgeRegression(), "binary") is None


def test_what_only_the_regressor_has_is_refused_where_it_is_given() -> None:
    assert model_for(FMRegressor(k=3, noise_by=None), "binary").k == 3
    with pytest.raises(UserError, match=r"model\.noise_by=user is not for a binary target"):
        model_for(FMRegressor(noise_by="user"), "binary")


def test_a_model_gets_lists_of_the_configuration_as_lists() -> None:
    cfg = composed(["model=fm_gibbs", "model.noise_by=[user,item]"])
    assert type(model_of(as_dict(cfg.model), "fm_gibbs", "rating").noise_by) is list


def test_a_model_of_another_task_is_refused_with_those_that_fit() -> None:
    cfg = composed(["model=linear", "data=planted_clicks", "data.n_rows=100", "data.n_fields=2"])
    with pytest.raises(
        UserError, match=r"model=linear is not for a binary target; these are: .*fm_gibbs"
    ):
        model_of(as_dict(cfg.model), "linear", load_data(cfg).task)


@pytest.mark.parametrize("model", ["fm_sgd", "fm_als"])
def test_penalties_follow_the_task_unless_they_are_given(model: str) -> None:
    rows = ["data.n_rows=60", "data.n_fields=2"]
    binary, real = ([f"data={name}", *rows] for name in ("planted_clicks", "planted_values"))
    ratings = ["data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000"]

    def penalties(*words: str) -> tuple[object, ...]:
        cfg = composed([f"model={model}", "split=random", *words])
        job = composed_job(cfg)
        assert job.config["model"]["l2"] == job.model.l2
        return job.model.l2, job.model.l2_w, job.model.early_stopping

    tuned = {"fm_sgd": (12.0, 6.0, 5), "fm_als": (10.0, 5.0, 3)}[model]
    assert penalties(*ratings) == tuned
    assert penalties(*binary) == penalties(*real) == (None, None, None)
    assert penalties(*ratings, "model.l2=null", "model.l2_w=3") == (None, 3, tuned[2])
    assert penalties(*binary, "model.l2=2", "model.early_stopping=4") == (2, None, 4)


def test_the_dashboard_is_sorted_by_the_tasks_own_loss() -> None:
    for task, metric in (("binary", "log_loss"), ("rating", "mse_clipped")):
        packed = json.loads(saved_view(TASKS[task]))["state"].removeprefix("deflate;")
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
        assert state["orderByKey"] == f"metrics.`validation/{metric}`" and state["orderByAsc"]
        assert f"metrics.`test/{metric}`" in state["selectedColumns"]
