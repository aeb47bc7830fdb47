"""What is timed is what the harness runs: models from `conf/model`, data and splits from `conf`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from bench.data.splits import Split
from bench.features import build_design
from bench.metrics import squared_errors
from bench.run import Job
from bench.sweep import job_of, load_data, plan
from fm.design import Design

SOLVERS = ("sgd", "als", "gibbs")


@dataclass(frozen=True, eq=False)
class Setting:
    """All rows of a data set as a design, their ratings, and which of them are for what."""

    X: Design
    y: NDArray[np.float64]
    split: Split
    scale: tuple[float, float]

    @property
    def development(self) -> tuple[Design, NDArray[np.float64]]:
        return self.X[self.split.development], self.y[self.split.development]


@dataclass(frozen=True, eq=False)
class Rows:
    """What a model is fitted on, and what it is to predict."""

    X: Design
    y: NDArray[np.float64]
    held_out: Design
    truth: NDArray[np.float64]
    scale: tuple[float, float]

    @classmethod
    def of(cls, asked: Job, train: NDArray[np.int64], held_out: NDArray[np.int64]) -> Rows:
        """Rows of a job's data, encoded by what its train rows say."""
        X = build_design(asked.dataset, asked.features, train)
        y = asked.dataset.y
        return cls(X[train], y[train], X[held_out], y[held_out], asked.dataset.scale)

    def squared_errors(self, prediction: NDArray) -> NDArray[np.float64]:
        """Of predictions (..., n_held_out)."""
        return squared_errors(self.truth, prediction, self.scale)


def job(*overrides: str) -> Job:
    """What `python -m bench OVERRIDES` would run."""
    cfg = plan(list(overrides), multirun=False).jobs[0]
    return job_of(cfg, cfg.hydra.runtime.choices, load_data(cfg))


def setting(*overrides: str) -> Setting:
    """Data of that command; by default split ua of MovieLens-100K, user and item ids."""
    asked = job(*(overrides or ("data=ml100k",)))
    split = asked.split(asked.dataset)
    X = build_design(asked.dataset, asked.features, split.development)
    return Setting(X, asked.dataset.y, split, asked.dataset.scale)


def configured(name: str, **params: object) -> BaseEstimator:
    """The model `name` of `conf/model`, which depends on no data, with `params` in place of its own."""
    return job("data=planted", f"model={name}").model.set_params(**params)
