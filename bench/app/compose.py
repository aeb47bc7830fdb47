"""What a command line asks for: composed, its axes found, and checked, before any work."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.encode import FEATURES
from bench.errors import UserError, checked, sentence
from bench.track import flatten
from fm.params import check_choice, check_integer, nearest

CHOSEN = ("data", "split", "features", "model")
"""The groups that say what a run computes."""

GROUPS = (*CHOSEN, "tracking", "experiment")


@dataclass(frozen=True)
class Plan:
    """What a command asks for. `jobs` are composed configurations in which every value that the
    command sweeps over occurs; `total` is how many runs all combinations make."""

    jobs: list[DictConfig]
    total: int
    varied: list[str]
    multirun: bool


def plan(overrides: list[str], multirun: bool) -> Plan:
    """Composes and checks what a command asks for.

    Raises
    ------
    UserError : an unknown group, choice or key, or a value that a model refuses; with the nearest
        valid one.
    """
    with hydra.initialize_config_module("conf", version_base="1.3"):
        base = _compose([o for o in overrides if o.startswith("experiment=")])
        multirun = multirun or str(base.hydra.mode).endswith("MULTIRUN")
        swept = [f"{key}={value}" for key, value in (base.hydra.sweeper.get("params") or {}).items()]
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        try:
            parsed = {o.key_or_group: o for o in parser.parse_overrides([*swept, *overrides])}
        except HydraException as error:
            raise UserError(f"cannot read the command line: {sentence(error)}") from error
        axes = {
            key: list(o.sweep_string_iterator())
            for key, o in parsed.items()
            if o.is_sweep_override() and o.is_discrete_sweep()
        }
        if axes and not multirun:
            raise UserError(f"{next(iter(axes))} has several values: a sweep needs -m")
        fixed = [o.input_line for key, o in parsed.items() if not o.is_sweep_override()]
        jobs = [_compose([*fixed, *chosen]) for chosen in _cover(axes)]
    for cfg in jobs:
        _check(cfg)
    varied = [key for key in axes if key != "model"]
    return Plan(jobs, math.prod(map(len, axes.values())), varied, multirun)


def _cover(axes: dict[str, list[str]]) -> list[list[str]]:
    """Overrides in which every combination of groups, and with it every value of every key, occurs:
    as many as the longest axis has values, where all combinations might be thousands."""
    groups = {key: values for key, values in axes.items() if key in GROUPS}
    keys = {key: values for key, values in axes.items() if key not in GROUPS}
    longest = max(map(len, keys.values()), default=1)
    return [
        [f"{group}={choice}" for group, choice in zip(groups, choices, strict=True)]
        + [f"{key}={values[i % len(values)]}" for key, values in keys.items()]
        for choices in itertools.product(*groups.values())
        for i in range(longest)
    ]


def _compose(overrides: list[str]) -> DictConfig:
    try:
        cfg = hydra.compose("config", overrides=overrides, return_hydra_config=True)
        OmegaConf.resolve(cfg.model)
        return cfg
    except MissingConfigException as error:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        options = sorted(error.options or [])
        raise UserError(
            f"there is no {group} {choice!r}{nearest(choice, options)}; there are {', '.join(options)}"
        ) from error
    except (HydraException, OmegaConfBaseException) as error:
        unknown = re.search(r"Could not (?:override|delete) '([^']+)'", str(error))
        if unknown is None:
            raise UserError(f"cannot compose the configuration: {sentence(error)}") from error
        key = unknown[1]
        known = _compose([o for o in overrides if o.lstrip("+~").partition("=")[0] != key])
        valid = [*GROUPS, *flatten(OmegaConf.to_container(known, resolve=False))]
        raise UserError(f"there is no key {key!r}{nearest(key, valid)}") from error


def _check(cfg: DictConfig) -> None:
    """A model that refuses its hyperparameters, or a harness value out of range, is a UserError."""
    for group in CHOSEN:
        for key in OmegaConf.missing_keys(cfg[group]):
            raise UserError(f"{key} must be given: {key}=...")
    model = cfg.hydra.runtime.choices.model
    try:
        instantiate(cfg.model).check_params()
    except (ValueError, TypeError, HydraException) as error:
        raise UserError(f"model={model}: {sentence(error.__cause__ or error)}") from error
    with checked():
        for name in cfg.features.names:
            check_choice("features.names", name, FEATURES)
        for key, low in (("seed", 0), ("data_seed", 0), ("threads", 1), ("jobs", 1)):
            check_integer(key, cfg[key], low=low)
