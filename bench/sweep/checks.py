"""The words of a command line, and what is checked of what they compose to before any work."""

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from sklearn.base import BaseEstimator

from bench.data.dataset import TASKS
from bench.errors import UserError, checked, quoted, sentence
from bench.sweep import search
from bench.task_models import hyperparameters_for
from bench.tracking import Experiment
from fm.validation import check_integer, check_number

CHOSEN = ("data", "split", "features", "model")
"""The groups that say what a run computes."""
GROUPS = (*CHOSEN, "space", "search", "tracking", "experiment")
NEEDED = (*CHOSEN, "tracking")
"""Groups of which every run has a choice."""
NOT_USED = ("hydra.run.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra.job.chdir")
"""Folders of Hydra's own that this program does not make."""

# -- words -----------------------------------------------------------------------------------------


def spelled_out(words: Sequence[str]) -> list[str]:
    """Return a command line with `split=by:FIELD` as the choice and the key that it stands for.

    >>> spelled_out(["split=by:device", "seed=1"])
    ['split=by', 'split.field=device', 'seed=1']
    """
    spelled: list[str] = []
    for word in words:
        by = re.fullmatch(r"split=by:([^,]+)", word)
        spelled += ["split=by", f"split.field={by[1]}"] if by else [word]
    return spelled


def key_of(override: str) -> str:
    """Return the key or group of an override as it is written."""
    return override.lstrip("+~").partition("=")[0]


def parsed_words(parser: OverridesParser, overrides: list[str]) -> dict[str, Override]:
    """Return each override by its key or group; the last of several for one."""
    try:
        return {o.key_or_group: o for o in parser.parse_overrides(overrides)}
    except HydraException as error:
        raise UserError(f"cannot read the command line: {sentence(error)}") from error


def check_choices(words: Sequence[str]) -> None:
    """Refuse choices of groups that are no names, and a run without what every run needs."""
    of_groups = [word for word in words if key_of(word) in GROUPS]
    for group, override in parsed_words(OverridesParser.create(), of_groups).items():
        if override.is_delete() and group in NEEDED:
            raise UserError(f"~{group}: every run has a {group}; choose one, {group}=NAME")
        value = override.value()
        for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
            no_name = choice in (None, "") or isinstance(choice, (bool, int, float, list, dict))
            if no_name and not override.is_delete():
                raise UserError(f"{override.input_line}: {group} is chosen by a name; leave it out")


def repeat_words(cfg: DictConfig) -> tuple[list[str], str]:
    """Return the overrides that `seeds=` and `folds=` stand for, and how they were given."""
    overrides, given = [], []
    with checked():
        if cfg.seeds is not None:
            check_integer("seeds", cfg.seeds, low=1)
            overrides.append(f"seed=range({cfg.seed},{cfg.seed + cfg.seeds})")
            given.append(f"seeds={cfg.seeds}")
        if cfg.folds is not None:
            check_integer("folds", cfg.folds, low=2)
            overrides += ["split=kfold", f"split.n_folds={cfg.folds}"]
            overrides.append(f"split.fold=range(0,{cfg.folds})")
            given.append(f"folds={cfg.folds}")
    return overrides, " and ".join(given)


# -- configurations --------------------------------------------------------------------------------


def not_installed(configurations: Iterable[DictConfig]) -> dict[str, str]:
    """Return why models cannot be fitted here; nothing if none can: each then says so itself."""
    models = {cfg.hydra.runtime.choices.model: cfg.model for cfg in configurations}
    why = {
        name: getattr(model_from(_by_task(model)[0]), "unavailable", lambda: None)()
        for name, model in models.items()
    }
    reasons = {name: str(reason) for name, reason in why.items() if reason is not None}
    return {} if len(reasons) == len(models) else reasons


def model_from(config: Mapping[str, Any]) -> BaseEstimator:
    """Return the model that a configuration names, its lists and mappings being plain ones."""
    return instantiate(config, _convert_="all")


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


def check_values(cfg: DictConfig, axes: Mapping[str, Sequence[object]]) -> None:
    """Check as many configurations as the longest axis has values, so that each value occurs.

    A value that is refused, out of range or missing is a UserError.
    """
    cfg = deepcopy(cfg)
    for i in range(max(map(len, axes.values()), default=1)):
        for key, values in axes.items():
            OmegaConf.update(cfg, key, values[i % len(values)])
        _check_groups(cfg)
        with checked():
            _check_settings(cfg)


def _check_groups(cfg: DictConfig) -> None:
    for group in CHOSEN:
        for key in OmegaConf.missing_keys(cfg[group]):
            raise UserError(f"{key} must be given: {key}=...")
    Experiment(cfg.experiment.name, "")  # which refuses what cannot name a folder
    try:
        for config in _by_task(cfg.model):
            model = model_from(config)
            if not isinstance(model, BaseEstimator):
                name = type(model).__name__
                raise TypeError(f"{name} is not derived from sklearn.base.BaseEstimator")
            getattr(model, "check_params", lambda: None)()
    except (ValueError, TypeError, HydraException) as error:
        raise UserError(
            f"model={cfg.hydra.runtime.choices.model}: {sentence(error.__cause__ or error)}"
        ) from error


def _check_settings(cfg: DictConfig) -> None:
    if cfg.results in (None, ""):
        raise ValueError("results= names no folder; leave it out for ./results")
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


def _by_task(model: DictConfig) -> list[dict[str, Any]]:
    """Return a model's configuration for each task, once where tasks have the same."""
    config = cast(dict[str, Any], OmegaConf.to_container(model, resolve=True))
    by_task = [hyperparameters_for(config, task) for task in TASKS]
    return [of for i, of in enumerate(by_task) if of not in by_task[:i]]
