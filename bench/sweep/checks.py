"""What is checked of a composed configuration before any work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from sklearn.base import BaseEstimator

from bench.data.dataset import TASKS
from bench.errors import UserError, checked, quoted, sentence
from bench.sweep import search
from bench.sweep.overrides import CHOSEN
from bench.task_models import hyperparameters_for
from fm.validation import check_integer, check_number

NOT_USED = ("hydra.run.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra.job.chdir")
"""Folders of Hydra's own that this program does not make."""


def not_installed(configurations: Iterable[DictConfig]) -> dict[str, str]:
    """Return why models cannot be fitted here; nothing if none can: each then says so itself."""
    models = {cfg.hydra.runtime.choices.model: cfg.model for cfg in configurations}
    why = {
        name: getattr(instantiate(_configurations(model)[0]), "unavailable", lambda: None)()
        for name, model in models.items()
    }
    reasons = {name: str(reason) for name, reason in why.items() if reason is not None}
    return {} if len(reasons) == len(models) else reasons


def check_values(cfg: DictConfig, axes: Mapping[str, Sequence[object]]) -> None:
    """Check as many configurations as the longest axis has values, so that each value occurs."""
    cfg = deepcopy(cfg)
    for i in range(max(map(len, axes.values()), default=1)):
        for key, values in axes.items():
            OmegaConf.update(cfg, key, values[i % len(values)])
        _check(cfg)


def check_hydra(cfg: DictConfig, keys: Iterable[str]) -> None:
    """Refuse Hydra's options that would change nothing, and folders that are not there."""
    for key in keys:
        if key in NOT_USED:
            raise UserError(f"{key} changes nothing here: all that is written is below results=...")
    if cfg.hydra.verbose or cfg.hydra.runtime.choices["hydra/job_logging"] != "disabled":
        raise UserError("hydra.verbose, hydra/job_logging: runs write no log; results are tracked")
    for path in cfg.hydra.searchpath:
        if path.startswith("file://") and not Path(path.removeprefix("file://")).is_dir():
            raise UserError(f"hydra.searchpath: there is no folder {quoted(path)}")


def _check(cfg: DictConfig) -> None:
    """Raise a UserError for a value that is refused, out of range, or missing."""
    for group in CHOSEN:
        for key in OmegaConf.missing_keys(cfg[group]):
            raise UserError(f"{key} must be given: {key}=...")
    _check_folders(cfg)
    try:
        for of_task in _configurations(cfg.model):
            _check_model(of_task)
    except (ValueError, TypeError, HydraException) as error:
        raise UserError(
            f"model={cfg.hydra.runtime.choices.model}: {sentence(error.__cause__ or error)}"
        ) from error
    with checked():
        _check_settings(cfg)


def _check_settings(cfg: DictConfig) -> None:
    for key in ("test", "refit"):
        if not isinstance(cfg[key], bool):
            raise TypeError(f"{key} must be true or false, got {cfg[key]!r}")
    if cfg.first_rows is not None:
        check_integer("first_rows", cfg.first_rows, low=1)
    for key, low in (("seed", 0), ("data_seed", 0), ("threads", 1), ("jobs", 1)):
        check_integer(key, cfg[key], low=low)
    for key in ("job_seconds", "sweep_seconds"):
        if cfg[key] is not None:
            check_number(key, cfg[key], above=0)
    if cfg.search:
        search.check_settings(cfg.search, cfg.budget)


def _configurations(model: DictConfig) -> list[dict[str, Any]]:
    """Return a model's configuration for each task, once where tasks have the same."""
    config = cast(dict[str, Any], OmegaConf.to_container(model, resolve=True))
    by_task = [hyperparameters_for(config, task) for task in TASKS]
    return [of for i, of in enumerate(by_task) if of not in by_task[:i]]


def _check_model(config: Mapping[str, Any]) -> None:
    """Raise an error where the model is no estimator or refuses its hyperparameters."""
    model = instantiate(config)
    if not isinstance(model, BaseEstimator):
        raise TypeError(f"{type(model).__name__} is not derived from sklearn.base.BaseEstimator")
    getattr(model, "check_params", lambda: None)()


def _check_folders(cfg: DictConfig) -> None:
    """Raise a UserError where the experiment or the results cannot be a folder."""
    name = cfg.experiment.name
    if not (isinstance(name, str) and re.fullmatch(r"\w[\w .-]{0,79}", name)):
        raise UserError(
            "experiment.name must be letters, digits, spaces and .-_ only, since it names a "
            f"folder, and begin with a letter or digit, got {quoted(name)}"
        )
    if cfg.results in (None, ""):
        raise UserError("results= names no folder; leave it out for ./results")
