"""Compose a tracked run again, from the configuration files of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf

from bench.errors import UserError, quoted
from bench.identity import targets
from bench.sweep.compose import COMPUTED, as_dict, composed
from bench.sweep.overrides import CHOSEN
from bench.task_models import hyperparameters_for
from bench.tracking import flatten


def recomposed(choices: Mapping[str, str], config: Mapping[str, object]) -> DictConfig:
    """Compose a tracked run again, from the configuration files of this machine alone.

    A store may be shared, so that nothing it says is instantiated: `choices` select files that are
    here, and of `config` numbers and words replace those that the files have.

    Raises
    ------
    UserError
        The run is not of a model, split or feature set that is registered here, or has settings
        that those do not have.
    """
    choices = dict(choices)
    if "bench.data.splits.default" in targets(config.get("split")):
        choices["split"] = "default"  # which is tracked by the name that the data set gives it
    for group in CHOSEN[1:]:
        if not re.fullmatch(r"\w[\w-]*(/\w[\w-]*)*", choices[group]):
            raise UserError(f"there is no {group} {quoted(choices[group])}")
    cfg = composed([f"{group}={choices[group]}" for group in CHOSEN[1:]])
    OmegaConf.set_struct(cfg, False)
    cfg.model = hyperparameters_for(as_dict(cfg.model), task="")
    given = {key: config[key] for key in COMPUTED[1:] if key in config}
    own = flatten({key: as_dict(cfg)[key] for key in COMPUTED[1:]})
    for key, value in flatten(given).items():
        if key in own and own[key] == value and type(own[key]) is type(value):
            continue  # 4 and 4.0 have different digests
        if key not in own or key.rpartition(".")[2].startswith("_") or not _is_plain(value):
            raise UserError(
                f"the run has {key}={quoted(value)}, which model={choices['model']}, "
                f"split={choices['split']}, features={choices['features']} here do not allow"
            )
        OmegaConf.update(cfg, key, value)
    return cfg


def _is_plain(value: object) -> bool:
    """Whether a value is a number, a word, or a list of these."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return re.fullmatch(r"[\w. -]{1,80}", value) is not None
    return value is None or isinstance(value, (bool, int, float))
