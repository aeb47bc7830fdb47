"""The trials of a plan, with their identities: a composed configuration and its own values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from sklearn.base import BaseEstimator

from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.features import build_design, features_of
from bench.identity import code_targets, code_version, digest, job_digest
from bench.run import Job
from bench.sweep.compose import COMPUTED, REPEATS, Combination, as_dict
from bench.sweep.overrides import CHOSEN
from bench.tables import short
from bench.task_models import hyperparameters_for, model_for
from bench.tracking import Experiment, Record, flatten


@dataclass(frozen=True)
class Trial:
    """One job of a sweep.

    `overrides` choose the groups, which other trials may share, and compose to `cfg`; `values` are
    the trial's own, by key. `names` are the choices of the groups, `data` the digest of the data
    set, `code` the version of the code. `system` is what is compared (model, features, and data by
    name and digest), `configuration` the digest of everything that does not vary between repeats.
    `limits` are validation errors by epoch above which the job is given up.
    """

    overrides: tuple[str, ...]
    values: Mapping[str, object]
    names: Mapping[str, str]
    data: str
    code: Mapping[str, str]
    digest: str
    name: str
    system: str
    configuration: str
    limits: Mapping[int, float] = field(default_factory=dict)
    cfg: DictConfig | None = field(default=None, compare=False, repr=False)

    @property
    def model(self) -> str:
        """The choice of the model."""
        return self.names["model"]

    @property
    def digests(self) -> tuple[str, ...]:
        """Its digest, and where it has limits that of the job as it is given up by them."""
        if not self.limits:
            return (self.digest,)
        limits = {str(epoch): limit for epoch, limit in self.limits.items()}
        return self.digest, digest({"job": self.digest, "limits": limits})

    def record_in(self, records: Mapping[str, Record]) -> Record | None:
        """Return its record, or that of it as it was given up."""
        return next(filter(None, map(records.get, self.digests)), None)


class Trials:
    """Makes the trials of one combination, which is composed once: that takes 0.1 s.

    `varied` are the keys that name a trial beside its model.
    """

    def __init__(self, combination: Combination, varied: tuple[str, ...]) -> None:
        cfg = combination.cfg
        self.combination = combination
        self.varied = varied
        self.dataset = load_data(cfg)
        self.names = choices_of(cfg.hydra.runtime.choices, self.dataset)
        self.overrides = combination.overrides
        if cfg.hydra.runtime.choices.data == "auto":  # which every node would decide for itself
            self.overrides = (*self.overrides, f"data={self.dataset.name}")
        parts = [f"{group}={self.names[group]}" for group in ("model", "features", "data")]
        self.system = ", ".join([*parts, self.dataset.digest])  # one name may read several files
        model_of(cfg, self.names["model"], self.dataset.task)
        instantiate(cfg.split)(self.dataset)
        none, min_count = np.array([], np.int64), cfg.features.min_count
        build_design(self.dataset, cfg.features.names, train_rows=none, min_count=min_count)
        # A copy by value: interpolations such as ${seed} are resolved anew for each trial.
        self._part = OmegaConf.masked_copy(cfg, list(COMPUTED))
        OmegaConf.set_struct(self._part, False)
        self.code = code_version(code_targets(computed(self._part, self.dataset.task)))

    @property
    def default(self) -> dict[str, object]:
        """What the combination says by itself, by key."""
        return flatten(computed(self.combination.cfg, self.dataset.task))

    def product(
        self, axes: Mapping[str, Mapping[str, object]], fixed: Mapping[str, object], *, test: bool
    ) -> Iterator[Trial]:
        """Yield a trial for each combination of the values of those axes that the model has."""
        own = self.combination.own(axes)
        for values in itertools.product(*(axis.values() for axis in own.values())):
            yield self.trial({**dict(zip(own, values, strict=True)), **fixed, "test": test})

    def trial(self, values: Mapping[str, object]) -> Trial:
        """Return the trial of these values by key."""
        for key, value in values.items():
            OmegaConf.update(self._part, key, value)
        config = computed(self._part, self.dataset.task)
        kept = {key: value for key, value in config.items() if key not in (*REPEATS, "test")}
        kept["model"] = {k: v for k, v in config["model"].items() if k != "random_state"}
        return Trial(
            overrides=self.overrides,
            values=values,
            names=self.names,
            data=self.dataset.digest,
            code=self.code,
            digest=job_digest(config, self.dataset.digest, self.code),
            name=self._name(config),
            system=self.system,
            configuration=digest({"kept": kept, "system": self.system}),
            cfg=self.combination.cfg,
        )

    def _name(self, config: Mapping[str, object]) -> str:
        """Return the model and what varied: `fm_sgd k=8 learning_rate=0.01`."""
        values = flatten(config) | self.names
        varied = [key for key in self.varied if key in values]
        parts = [f"{key.rpartition('.')[2]}={short(values[key])}" for key in varied]
        return " ".join([self.names["model"], *parts, *["(simulated)"] * self.dataset.simulated])


def computed(cfg: DictConfig, task: str) -> dict[str, Any]:
    """Return the part of a configuration that says what a run of `task` computes, resolved."""
    config = {
        key: as_dict(cfg[key]) if OmegaConf.is_config(cfg[key]) else cfg[key] for key in COMPUTED
    }
    return config | {"model": hyperparameters_for(config["model"], task)}


def model_of(cfg: DictConfig, name: str, task: str) -> BaseEstimator:
    """Return the model of a configuration; raise a UserError where it is not for `task`."""
    fitted = model_for(
        instantiate(hyperparameters_for(as_dict(cfg.model), task), _convert_="all"), task
    )
    if fitted is None:
        fitting = ", ".join(_registered_for(task))
        raise UserError(f"model={name} is not for a {task} target; these are: {fitting}")
    return fitted


def _registered_for(task: str) -> Iterator[str]:
    """Yield the name of each model of conf/model that is for `task`."""
    files = resources.files("conf").joinpath("model").iterdir()
    for name, file in sorted((file.name.removesuffix(".yaml"), file) for file in files):
        config = hyperparameters_for(yaml.safe_load(file.read_text()), task)
        if "random_state" in config:
            config["random_state"] = 0
        if model_for(instantiate(config), task) is not None:
            yield name


def choices_of(choices: Mapping[str, str], dataset: Dataset) -> dict[str, str]:
    """Return the choice of data, split, features and model; `auto` and `default` by name."""
    names = {group: choices[group] for group in CHOSEN}
    if names["data"] == "auto":
        names["data"] = dataset.name
    if names["split"] == "default":
        names["split"] = dataset.default_split or "random"
    return names


def job_of(
    cfg: DictConfig,
    names: Mapping[str, str],
    dataset: Dataset,
    code: Mapping[str, str] | None = None,
    limits: Mapping[int, float] | None = None,
) -> Job:
    """Return the job that a composed configuration describes.

    `code` is the sweep's version of the code, which may have the commit where a worker has not.
    """
    features_of(dataset, cfg.features.names)
    config = computed(cfg, dataset.task)
    model = model_of(cfg, names["model"], dataset.task)
    here = code_version(code_targets(config))  # once its packages have been imported
    if code and code["source"] != here["source"]:
        raise UserError(
            "the code here is not the code that the sweep was started with: start it again"
        )
    return Job(
        names=choices_of(names, dataset),
        config=config,
        dataset=dataset,
        split=instantiate(cfg.split),
        features=tuple(cfg.features.names),
        min_count=cfg.features.min_count,
        model=model,
        test=cfg.test,
        refit=cfg.refit,
        threads=cfg.threads,
        first_rows=cfg.first_rows,
        code=code or here,
        limits=limits or {},
    )


def experiment_of(
    cfg: DictConfig, dataset: Dataset, skipped: Mapping[str, str] | None = None
) -> Experiment:
    """Return the experiment of a configuration; simulated data never share one with real data.

    `skipped` are models that are left out, with the reason.
    """
    about = as_dict(cfg.experiment)
    question = {key: value for key, value in about.items() if key not in ("name", "description")}
    question |= {"skipped": dict(skipped or {}), "task": dataset.task}
    description = f"# {about['title']}\n\n{about['description']}"
    return Experiment(about["name"] + "_simulated" * dataset.simulated, description, question)


def load_data(cfg: DictConfig) -> Dataset:
    """Return the data set of a configuration, loaded once in a process."""
    return _load_data(OmegaConf.to_yaml(cfg.data, resolve=True))


@lru_cache(maxsize=1)
def _load_data(yaml: str) -> Dataset:
    try:
        return instantiate(OmegaConf.create(yaml))
    except InstantiationException as error:
        raise error.__cause__ or error from None
