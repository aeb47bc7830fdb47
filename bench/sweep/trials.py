"""The trials of a plan, with their identities: a composed configuration and its own values."""

import itertools
import re
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
from bench.errors import UserError, quoted
from bench.features import build_design, features_of
from bench.identity import code_targets, code_version, digest, job_digest, targets
from bench.run import Job
from bench.sweep.checks import CHOSEN, model_from
from bench.sweep.compose import COMPUTED, REPEATS, Combination, as_dict, composed
from bench.tables import MISSING, short
from bench.task_models import hyperparameters_for, model_for
from bench.tracking import Experiment, Record, flatten


@dataclass(frozen=True)
class Trial:
    """One job of a sweep.

    `overrides` choose the groups, as other trials may; `config` is what it computes, resolved, and
    `names` are the choices that it has. `data` is the digest of the data set, `code` the version of
    the code. `system` is what is compared (model, features, and data by name and digest),
    `configuration` the digest of everything that does not vary between repeats. `limits` are
    validation errors by epoch above which the job is given up. The `dataset` stays in the process
    that planned the trial.
    """

    overrides: tuple[str, ...]
    config: Mapping[str, Any]
    names: Mapping[str, str]
    data: str
    code: Mapping[str, str]
    digest: str
    name: str
    system: str
    configuration: str
    limits: Mapping[int, float] = field(default_factory=dict)
    dataset: Dataset | None = field(default=None, compare=False, repr=False)

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
        model_of(as_dict(cfg.model), self.names["model"], self.dataset.task)
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
            config=config,
            names=self.names,
            data=self.dataset.digest,
            code=self.code,
            digest=job_digest(config, self.dataset.digest, self.code),
            name=self._name(config),
            system=self.system,
            configuration=digest({"kept": kept, "system": self.system}),
            dataset=self.dataset,
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


def model_of(config: Mapping[str, Any], name: str, task: str) -> BaseEstimator:
    """Return the model of a configuration; raise a UserError where it is not for `task`."""
    fitted = model_for(model_from(hyperparameters_for(config, task)), task)
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
        if model_for(model_from(config), task) is not None:
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
    config: Mapping[str, Any],
    names: Mapping[str, str],
    dataset: Dataset,
    code: Mapping[str, str] | None = None,
    limits: Mapping[int, float] | None = None,
) -> Job:
    """Return the job of what is `computed`, on its data.

    `code` is the sweep's version of the code, which may have the commit where a worker has not.
    """
    features_of(dataset, config["features"]["names"])
    model = model_of(config["model"], names["model"], dataset.task)
    here = code_version(code_targets(config))  # once its packages have been imported
    if code and code["source"] != here["source"]:
        raise UserError(
            "the code here is not the code that the sweep was started with: start it again"
        )
    return Job(
        names=choices_of(names, dataset),
        config=dict(config),
        dataset=dataset,
        split=instantiate(config["split"]),
        features=tuple(config["features"]["names"]),
        min_count=config["features"]["min_count"],
        model=model,
        test=config["test"],
        refit=config["refit"],
        threads=config["threads"],
        first_rows=config["first_rows"],
        code=code or here,
        limits=limits or {},
    )


def composed_job(cfg: DictConfig) -> Job:
    """Return the job that a composed configuration describes."""
    dataset = load_data(cfg)
    return job_of(computed(cfg, dataset.task), cfg.hydra.runtime.choices, dataset)


def trusted(config: Mapping[str, Any], choices: Mapping[str, str], task: str) -> Mapping[str, Any]:
    """Return the configuration of a tracked run, if it is one of the files of this machine.

    A store may be shared, so that nothing it says is instantiated unseen: `choices` must name files
    that are here, and only numbers and words may differ from what these say. Else: UserError.
    """
    groups = {group: choices[group] for group in CHOSEN[1:]}
    if "bench.data.splits.default" in targets(config.get("split")):
        groups["split"] = "default"  # which is tracked by the name that the data set gives it
    for group, choice in groups.items():
        if not re.fullmatch(r"\w[\w-]*(/\w[\w-]*)*", choice):
            raise UserError(f"there is no {group} {quoted(choice)}")
    here = [f"{group}={choice}" for group, choice in groups.items()]
    own, given = flatten(computed(composed(here), task)), flatten(config)
    for key in own.keys() | given.keys():
        value, mine = given.get(key, MISSING), own.get(key, MISSING)
        if key.startswith("data.") or (mine == value and type(mine) is type(value)):
            continue  # 4 and 4.0 have different digests
        plain = re.fullmatch(r"[\w. ,'\[\]-]{1,400}", str(value))  # a number, words, or a list
        if key not in own or key.rpartition(".")[2].startswith("_") or not plain:
            raise UserError(
                f"the run has {key}={quoted(value)}, which {', '.join(here)} here do not allow"
            )
    return config


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
