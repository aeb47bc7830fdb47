"""One job: Hydra's task, and what a composed configuration stands for."""

from __future__ import annotations

import math
import signal
import sys
from functools import lru_cache

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from bench import report
from bench.app.compose import CHOSEN
from bench.data.dataset import Dataset
from bench.errors import sentence
from bench.metrics import CHOICE
from bench.run import Job, run
from bench.track import Experiment, MLflowTracker, flatten

COMPUTED = ("model", "split", "features", "seed", "data_seed", "refit", "threads", "first_rows")
"""The part of the configuration that enters a run's identity."""


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")
def run_job(cfg: DictConfig) -> float:
    """Hydra's task: one run, computed or found again; returns its validation error, NaN if it failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hydra_config = HydraConfig.get()
    dataset = load_data(cfg)
    job = job_of(cfg, hydra_config.runtime.choices, dataset)
    name = run_name(cfg, job)
    experiment = experiment_of(cfg, dataset)
    tracker: MLflowTracker = instantiate(cfg.tracking)
    place = f"[{hydra_config.job.get('num', 0) + 1 if cfg.sweep.parent else 1}/{cfg.sweep.total}] {name}"
    run_id = None if cfg.rerun else tracker.find(experiment, job.digest)
    if run_id is not None:
        tracker.join(run_id, cfg.sweep.id)
        metrics = tracker.metrics(run_id)
        print(f"{place}: {report.headline(metrics)} (already computed)", flush=True)
        return metrics.get(CHOICE, math.nan)
    if sys.stdout.isatty():
        print(f"{place} ...", end="\r", flush=True)
    try:
        with tracker.job(experiment, job, name, cfg.sweep.id, cfg.sweep.parent) as run_id:
            result = run(job)
            tracker.log_result(run_id, job, result)
    except Exception as error:
        print(f"{place}: FAILED, {type(error).__name__}: {sentence(error)}", flush=True)
        if cfg.fail_fast:
            raise
        return math.nan
    print(f"{place}: {report.headline(result.metrics)}", flush=True)
    return result.metrics.get(CHOICE, math.nan)


def job_of(cfg: DictConfig, choices: DictConfig, dataset: Dataset) -> Job:
    """The job that a composed configuration describes."""
    return Job(
        names={group: choices[group] for group in CHOSEN},
        config={
            key: OmegaConf.to_container(cfg[key], resolve=True) if OmegaConf.is_config(cfg[key]) else cfg[key]
            for key in COMPUTED
        },
        dataset=dataset,
        split=instantiate(cfg.split),
        features=tuple(cfg.features.names),
        model=instantiate(cfg.model),
        refit=cfg.refit,
        threads=cfg.threads,
        first_rows=cfg.first_rows,
    )


def experiment_of(cfg: DictConfig, dataset: Dataset) -> Experiment:
    """Simulated data never share an experiment with real ones."""
    suffix = "_simulated" if dataset.simulated else ""
    return Experiment(
        cfg.experiment.name + suffix, f"# {cfg.experiment.title}\n\n{cfg.experiment.description}"
    )


def run_name(cfg: DictConfig, job: Job) -> str:
    """The model and what varied: `fm_sgd k=8 learning_rate=0.01`."""
    values = flatten(job.config) | job.names
    varied = [f"{key.rpartition('.')[2]}={values[key]}" for key in cfg.sweep.varied if key in values]
    return " ".join([job.names["model"], *varied, *(["(simulated)"] if job.dataset.simulated else [])])


def load_data(cfg: DictConfig) -> Dataset:
    """The data set of a configuration, loaded once in a process."""
    return _load_data(OmegaConf.to_yaml(cfg.data, resolve=True))


@lru_cache(maxsize=1)
def _load_data(yaml: str) -> Dataset:
    try:
        return instantiate(OmegaConf.create(yaml))
    except InstantiationException as error:
        raise error.__cause__ or error from None
