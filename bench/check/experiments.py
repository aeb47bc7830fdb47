"""The frozen quick experiments: each a command line of `python -m bench`, and what it is there to notice.

Small and short, so that many seeds fit into seconds; each at a point where the spread over seeds is
small for its time. Every hyperparameter is given, so that a better default changes nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from sklearn.base import clone

from bench.data.dataset import Dataset
from bench.run import Job, run
from bench.sweep import composed, job_of, load_data

METRIC = "test/mse_clipped"
SPLIT = "split=ua"
SHOWN_ALL = f"{SPLIT} split.validation=0"
"""Without early stopping there is nothing to hold out."""

EXPERIMENTS = {
    "linear": f"model=linear model.l2=4 {SPLIT}",
    "linear_side": f"model=linear model.l2=4 features=side {SHOWN_ALL}",
    "linear_sessions": f"model=linear model.l2=4 features.names=[ids,sessions] {SHOWN_ALL}",
    "quadratic": f"model=quadratic model.l2=2 model.l2_pairs=4 {SHOWN_ALL}",
    "mf": f"model=mf model.k=6 model.l2=12 model.l2_w=5 model.n_iter=20 model.early_stopping=null {SHOWN_ALL}",
    "fm_sgd": "model=fm_sgd model.k=8 model.learning_rate=0.2 model.l2=12 model.l2_w=6 model.n_iter=8 "
    f"model.early_stopping=null {SHOWN_ALL}",
    "fm_als": f"model=fm_als model.k=6 model.l2=10 model.l2_w=5 model.n_iter=20 model.early_stopping=3 "
    f"model.tol=0 {SPLIT}",
    "fm_gibbs": f"model=fm_gibbs model.k=8 model.n_iter=30 {SHOWN_ALL}",
    "fm_gibbs_side": "model=fm_gibbs model.k=4 model.n_iter=40 features.names=[ids,day,side] "
    + SHOWN_ALL,
    "fm_gibbs_implicit": f"model=fm_gibbs model.k=0 model.n_iter=20 features=implicit {SHOWN_ALL}",
    "fm_ordinal": f"model=fm_ordinal model.k=2 model.n_iter=40 {SHOWN_ALL}",
}


@dataclass(frozen=True)
class Measurement:
    """Error of one seed; seconds of its fit and prediction."""

    error: float
    seconds: float


def load(data: str) -> Dataset:
    """The data that the experiments are run on: `auto`, `ml100k` or `planted`."""
    return _job("linear", data).dataset


def measure(name: str, dataset: Dataset, seeds: range, threads: int = 1) -> list[Measurement]:
    """Runs an experiment once a seed."""
    job = _job(name, dataset.name)
    results = [run(_seeded(job, seed, threads)).metrics for seed in seeds]
    return [
        Measurement(r[METRIC], r["time/fit_seconds"] + r["time/predict_seconds"]) for r in results
    ]


@cache
def _job(name: str, data: str) -> Job:
    cfg = composed([*EXPERIMENTS[name].split(), f"data={data}"])
    return job_of(cfg, cfg.hydra.runtime.choices, load_data(cfg))


def _seeded(job: Job, seed: int, threads: int) -> Job:
    model = clone(job.model)
    if "random_state" in model.get_params():
        model.set_params(random_state=seed)
    return replace(job, model=model, threads=threads)
