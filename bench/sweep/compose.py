"""Compose what a command line asks for, find its axes, and check it before any work."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override
from hydra.errors import HydraException, MissingConfigException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from sklearn.base import BaseEstimator

from bench.errors import UserError, checked, quoted, sentence
from bench.identity import ROOT
from bench.run import check_job_settings
from bench.sweep import search
from bench.sweep.search import Range
from bench.tracking import flatten
from fm.validation import check_integer, check_number, nearest

T = TypeVar("T")

CHOSEN = ("data", "split", "features", "model")
"""The groups that say what a run computes."""

GROUPS = (*CHOSEN, "space", "search", "tracking", "experiment")

NEEDED = (*CHOSEN, "tracking")
"""Groups of which every run has a choice."""

COMPUTED = (
    "data",
    "model",
    "split",
    "features",
    "seed",
    "data_seed",
    "test",
    "refit",
    "threads",
    "first_rows",
)
"""What a run computes is said by these keys; the identity of `data` is that of what was read."""

NOT_USED = ("hydra.run.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra.job.chdir")
"""Folders of Hydra's own that this program does not make."""

REPEATS = ("seed", "data_seed", "split", "split.fold", "split.origin", "split.seed")
"""What may vary between the repeats of one configuration."""


@dataclass(frozen=True)
class Combination:
    """One choice of every group: what chooses it and what it composes to."""

    overrides: tuple[str, ...]
    cfg: DictConfig

    def own(self, axes: Mapping[str, T]) -> dict[str, T]:
        """Return the axes without those of hyperparameters that its model does not have."""
        return {key: axis for key, axis in axes.items() if not self.lacks(key)}

    def lacks(self, key: str) -> bool:
        """Whether a key is of a hyperparameter that its model does not have."""
        parent, _, name = key.rpartition(".")
        return key.startswith("model.") and name not in (OmegaConf.select(self.cfg, parent) or {})


@dataclass(frozen=True)
class Plan:
    """What a command asks for.

    combinations : of the groups it sweeps over.
    axes : key -> the values it sweeps over, as written on a command line and as read.
    intervals : key -> range to search.
    varied : the swept groups and keys, other than the model.
    skipped : models that cannot be fitted here, and why.
    """

    combinations: list[Combination]
    axes: dict[str, dict[str, object]]
    intervals: dict[str, Range] = field(default_factory=dict)
    varied: tuple[str, ...] = ()
    multirun: bool = False
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> list[DictConfig]:
        return [combination.cfg for combination in self.combinations]

    @property
    def total(self) -> int:
        return sum(math.prod(map(len, c.own(self.axes).values())) for c in self.combinations)

    @property
    def varied_all(self) -> tuple[str, ...]:
        """With the keys that are searched."""
        searched = (key for c in self.combinations if c.cfg.search for key in self.space(c))
        return tuple(dict.fromkeys((*self.varied, *searched)))

    @property
    def selects(self) -> bool:
        """Whether configurations are chosen by mean validation error, and only those tested."""
        return _selects(self.jobs[0])

    def space(self, combination: Combination) -> dict[str, Range]:
        """Return the ranges of the model's own space, then those given on the command line."""
        own = as_dict(combination.cfg.space or OmegaConf.create())
        named = {f"model.{key}": parts for key, parts in own.items()}
        named = {key: parts for key, parts in named.items() if key not in self.axes}
        return search.ranges(named) | self.intervals


def as_dict(cfg: DictConfig, *, resolve: bool = True) -> dict[str, Any]:
    """Return a configuration as plain dictionaries and lists."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=resolve))


@contextmanager
def in_hydra() -> Iterator[None]:
    """Initialize Hydra on `conf` for the body, unless it has been initialized."""
    if GlobalHydra.instance().is_initialized():
        yield
    else:
        with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3", job_name="bench"):
            yield


def composed(overrides: list[str]) -> DictConfig:
    """Return the configuration of one run."""
    return plan(overrides, multirun=False).combinations[0].cfg


def plan(overrides: list[str], multirun: bool, config_name: str = "config") -> Plan:
    """Compose and check what a command asks for.

    Raises
    ------
    UserError
        An unknown group, choice or key, or a value that a model refuses; with the nearest valid
        one.
    """
    overrides = spelled_out(overrides)
    check_choices(overrides)
    with in_hydra():
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        asked = _parsed(parser, overrides)
        base = _compose(_fixed(asked), config_name)
        multirun = multirun or str(base.hydra.mode).endswith("MULTIRUN") or _selects(base)
        repeats, given = _repeats(base)
        _check_hydra(base, asked)
        params = as_dict(base.hydra.sweeper).get("params") or {}
        swept = [f"{key}={value}" for key, value in flatten(params).items()]
        parsed = _parsed(parser, [*swept, *repeats]) | asked
        clash = set(_parsed(parser, repeats)) & set(asked)
        if clash:
            raise UserError(f"{min(clash)} is set by {given}: leave one of the two out")
        fixed = _fixed(parsed)
        axes = {
            key: _values(parser, o)
            for key, o in parsed.items()
            if o.is_sweep_override() and o.is_discrete_sweep()
        }
        intervals = {
            key: _interval(value)
            for key, o in parsed.items()
            if isinstance(value := o.value(), IntervalSweep)
        }
        if (axes or intervals) and not multirun:
            raise UserError(f"{next(iter(axes | intervals))} has several values: a sweep needs -m")
        if intervals and not base.search:
            raise UserError(
                f"{next(iter(intervals))} is a range: add search=default, or list values"
            )
        inner = {
            key: values
            for key, values in axes.items()
            if key not in GROUPS and key.partition(".")[0] in COMPUTED[1:] and "_target_" not in key
        }
        outer = [
            [f"{key}={value}" for value in values]
            for key, values in axes.items()
            if key not in inner
        ]
        combinations = [
            Combination(chosen, _compose(list(chosen), config_name))
            for chosen in ((*fixed, *choices) for choices in itertools.product(*outer))
        ]
        of_none = {key for key in inner if all(c.lacks(key) for c in combinations)}
        for c in combinations:  # an error here names a key that there is not
            first = [f"{k}={next(iter(inner[k]))}" for k in (*c.own(inner), *sorted(of_none))]
            if first:
                _compose([*c.overrides, *first], config_name)
    planned = Plan(
        combinations, inner, intervals, tuple(key for key in axes if key != "model"), multirun
    )
    for combination in combinations:
        searched = planned.space(combination) if combination.cfg.search else {}
        if combination.cfg.search and not searched:
            model = combination.cfg.hydra.runtime.choices.model
            raise UserError(
                f"model={model} has no search space: write conf/space/{model}.yaml, "
                "or give 'model.KEY=interval(LOW,HIGH)'"
            )
        ends = {key: (r.low, r.high) for key, r in searched.items()}
        values = {key: list(axis.values()) for key, axis in inner.items()}
        _check_values(combination.cfg, combination.own({**values, **ends}))
    skipped = _not_installed(combinations)
    left = [c for c in combinations if c.cfg.hydra.runtime.choices.model not in skipped]
    return replace(planned, combinations=left, skipped=skipped)


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


def _not_installed(combinations: list[Combination]) -> dict[str, str]:
    """Return why models cannot be fitted here; nothing if none can: each then says so itself."""
    asked = {c.cfg.hydra.runtime.choices.model: c.cfg.model for c in combinations}
    why = {
        name: getattr(instantiate(model), "unavailable", lambda: None)()
        for name, model in asked.items()
    }
    reasons = {name: str(reason) for name, reason in why.items() if reason is not None}
    return {} if len(reasons) == len(asked) else reasons


def _check_values(cfg: DictConfig, axes: Mapping[str, Sequence[object]]) -> None:
    """Check as many configurations as the longest axis has values, so that each value occurs."""
    cfg = deepcopy(cfg)
    for i in range(max(map(len, axes.values()), default=1)):
        for key, values in axes.items():
            OmegaConf.update(cfg, key, values[i % len(values)])
        _check(cfg)


def check_choices(words: Sequence[str]) -> None:
    """Refuse choices of groups that are no names, and a run without what every run needs."""
    of_groups = [word for word in words if key_of(word) in GROUPS]
    for group, override in _parsed(OverridesParser.create(), of_groups).items():
        if override.is_delete() and group in NEEDED:
            raise UserError(f"~{group}: every run has a {group}; choose one, {group}=NAME")
        value = override.value()
        for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
            no_name = choice in (None, "") or isinstance(choice, (bool, int, float, list, dict))
            if no_name and not override.is_delete():
                raise UserError(f"{override.input_line}: {group} is chosen by a name; leave it out")


def key_of(override: str) -> str:
    """Return the key or group of an override as it is written."""
    return override.lstrip("+~").partition("=")[0]


def _selects(cfg: DictConfig) -> bool:
    return bool(cfg.select or cfg.search or cfg.seeds or cfg.folds)


def _parsed(parser: OverridesParser, overrides: list[str]) -> dict[str, Override]:
    try:
        return {o.key_or_group: o for o in parser.parse_overrides(overrides)}
    except HydraException as error:
        raise UserError(f"cannot read the command line: {sentence(error)}") from error


def _fixed(asked: Mapping[str, Override]) -> list[str]:
    """Return the overrides that have one value."""
    return [str(o.input_line) for o in asked.values() if not o.is_sweep_override()]


def _repeats(cfg: DictConfig) -> tuple[list[str], str]:
    """Return the overrides that `seeds=` and `folds=` stand for, and how they were given."""
    overrides, given = [], []
    with checked():
        if cfg.seeds is not None:
            check_integer("seeds", cfg.seeds, low=1)
            overrides.append(f"seed=range({cfg.seed},{cfg.seed + cfg.seeds})")
            given.append(f"seeds={cfg.seeds}")
        if cfg.folds is not None:
            check_integer("folds", cfg.folds, low=2)
            overrides += [
                "split=kfold",
                f"split.n_folds={cfg.folds}",
                f"split.fold=range(0,{cfg.folds})",
            ]
            given.append(f"folds={cfg.folds}")
    return overrides, " and ".join(given)


def _values(parser: OverridesParser, override: Override) -> dict[str, object]:
    """Return each value of an axis, as it is written and as it is read."""
    key = override.key_or_group
    written = list(override.sweep_string_iterator())
    return {text: parser.parse_override(f"{key}={text}").value() for text in written}


def _interval(interval: IntervalSweep) -> Range:
    assert interval.start is not None and interval.end is not None  # the grammar has both
    with checked():
        return Range(interval.start, interval.end, log="log" in interval.tags)


def _compose(overrides: list[str], config_name: str) -> DictConfig:
    # conf/hydra/launcher/ray.yaml is named as Hydra's users know it, like the plugin's own.
    warnings.filterwarnings(
        "ignore", message=r"\s*'hydra/launcher/ray' is validated against ConfigStore"
    )
    try:
        cfg = hydra.compose(config_name, overrides=overrides, return_hydra_config=True)
        OmegaConf.to_container(cfg.model, resolve=True)
        return cfg
    except MissingConfigException as error:
        raise UserError(missing(error)) from error
    except (HydraException, OmegaConfBaseException) as error:
        unknown = re.search(r"Could not (?:override|delete) '([^']+)'", str(error))
        if unknown is None:
            raise UserError(f"cannot compose the configuration: {sentence(error)}") from error
        key = unknown[1]
        rest = _compose([o for o in overrides if key_of(o) != key], config_name)
        valid = [*GROUPS, *flatten(as_dict(rest, resolve=False))]
        raise UserError(f"there is no key {key!r}{nearest(key, valid)}") from error


def missing(error: MissingConfigException) -> str:
    """Return which choice of a group there is not, and which there are."""
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    options = sorted(error.options or [])
    there_are = ", ".join(options)
    return f"there is no {group} {quoted(choice)}{nearest(choice, options)}; there are {there_are}"


def _check_hydra(cfg: DictConfig, asked: Mapping[str, Override]) -> None:
    """Refuse Hydra's options that would change nothing, and folders that are not there."""
    for key in asked:
        if key in NOT_USED:
            raise UserError(f"{key} changes nothing here: all that is written is below results=...")
    for path in cfg.hydra.searchpath:
        if path.startswith("file://") and not Path(path.removeprefix("file://")).is_dir():
            raise UserError(f"hydra.searchpath: there is no folder {quoted(path)}")


def _check(cfg: DictConfig) -> None:
    """Raise a UserError for a value that is refused, out of range, or missing."""
    for group in CHOSEN:
        for key in OmegaConf.missing_keys(cfg[group]):
            raise UserError(f"{key} must be given: {key}=...")
    name = cfg.experiment.name
    if not (isinstance(name, str) and re.fullmatch(r"\w[\w .-]{0,79}", name)):
        raise UserError(
            "experiment.name must be letters, digits, spaces and .-_ only, since it names a "
            f"folder, and begin with a letter or digit, got {quoted(name)}"
        )
    try:
        model = instantiate(cfg.model)
        if not isinstance(model, BaseEstimator):
            raise TypeError(
                f"{type(model).__name__} is not derived from sklearn.base.BaseEstimator"
            )
        getattr(model, "check_params", lambda: None)()
    except (ValueError, TypeError, HydraException) as error:
        raise UserError(
            f"model={cfg.hydra.runtime.choices.model}: {sentence(error.__cause__ or error)}"
        ) from error
    with checked():
        check_job_settings(cfg.test, cfg.refit, cfg.first_rows)
        for key, low in (("seed", 0), ("data_seed", 0), ("threads", 1), ("jobs", 1)):
            check_integer(key, cfg[key], low=low)
        for key in ("job_seconds", "sweep_seconds"):
            if cfg[key] is not None:
                check_number(key, cfg[key], above=0)
        if cfg.search:
            search.check_settings(cfg.search, cfg.budget)
