"""Compose what a command line asks for, find its axes, and check it before any work."""

import itertools
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.errors import UserError, checked, quoted, sentence
from bench.identity import ROOT
from bench.sweep import search
from bench.sweep.checks import (
    GROUPS,
    check_choices,
    check_hydra,
    check_values,
    key_of,
    not_installed,
    parsed_words,
    repeat_words,
    spelled_out,
)
from bench.sweep.search import Range
from bench.tracking import flatten
from fm.validation import nearest

T = TypeVar("T")
_OF_THE_RUN = ("seed", "data_seed", "test", "refit", "threads", "first_rows")
COMPUTED = ("data", "model", "split", "features", *_OF_THE_RUN)
"""What a run computes is said by these keys; the identity of `data` is that of what was read."""
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
    """What a command asks for: combinations of the groups that it sweeps over, and values of keys.

    `axes` are the values that a key is swept over, as written on a command line and as read;
    `intervals` the range in which one is searched. `varied` are the swept groups and keys, other
    than the model; `skipped` the models that cannot be fitted here, and why.
    """

    combinations: list[Combination]
    axes: dict[str, dict[str, object]]
    intervals: dict[str, Range]
    varied: tuple[str, ...]
    multirun: bool
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> list[DictConfig]:
        """What the combinations compose to."""
        return [combination.cfg for combination in self.combinations]

    @property
    def total(self) -> int:
        """How many runs the grid has."""
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
def in_hydra() -> Iterator[OverridesParser]:
    """Initialize Hydra on `conf` for the body, unless it has been initialized."""
    with ExitStack() as stack:
        if not GlobalHydra.instance().is_initialized():
            folder = str(ROOT / "conf")
            stack.enter_context(
                hydra.initialize_config_dir(folder, version_base="1.3", job_name="bench")
            )
        yield OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())


def composed(overrides: list[str]) -> DictConfig:
    """Return the configuration of one run."""
    return plan(overrides, multirun=False).combinations[0].cfg


def plan(overrides: list[str], multirun: bool, config_name: str = "config") -> Plan:
    """Compose and check what a command asks for.

    An unknown group, choice or key, or a value that a model refuses, is a UserError with the
    nearest valid one.
    """
    overrides = spelled_out(overrides)
    check_choices(overrides)
    with in_hydra() as parser:
        planned = _planned(parser, overrides, multirun, config_name)
    for combination in planned.combinations:
        _check(planned, combination)
    skipped = not_installed(planned.jobs)
    left = [c for c in planned.combinations if c.cfg.hydra.runtime.choices.model not in skipped]
    return replace(planned, combinations=left, skipped=skipped)


def _planned(
    parser: OverridesParser, overrides: list[str], multirun: bool, config_name: str
) -> Plan:
    """Return the plan, of which no value is checked yet."""
    by_key = parsed_words(parser, overrides)
    fixed = [str(o.input_line) for o in by_key.values() if not o.is_sweep_override()]
    base = _compose(fixed, config_name)
    multirun = multirun or str(base.hydra.mode).endswith("MULTIRUN") or _selects(base)
    check_hydra(base, by_key)
    repeats, given = repeat_words(base)
    if clash := set(parsed_words(parser, repeats)) & set(by_key):
        raise UserError(f"{min(clash)} is set by {given}: leave one of the two out")
    params = as_dict(base.hydra.sweeper).get("params") or {}
    implied = [f"{key}={value}" for key, value in flatten(params).items()]
    parsed = parsed_words(parser, [*implied, *repeats]) | by_key
    fixed = [str(o.input_line) for o in parsed.values() if not o.is_sweep_override()]
    axes: dict[str, dict[str, object]] = {}
    intervals: dict[str, Range] = {}
    for key, override in parsed.items():
        value = override.value()
        if isinstance(value, IntervalSweep):
            assert value.start is not None and value.end is not None  # the grammar has both
            with checked():
                intervals[key] = Range(value.start, value.end, log="log" in value.tags)
        elif override.is_sweep_override():
            written = list(override.sweep_string_iterator())
            axes[key] = {text: parser.parse_override(f"{key}={text}").value() for text in written}
    if (axes or intervals) and not multirun:
        raise UserError(f"{next(iter(axes | intervals))} has several values: a sweep needs -m")
    if intervals and not base.search:
        raise UserError(f"{next(iter(intervals))} is a range: add search=default, or list values")
    inner = {key: axis for key, axis in axes.items() if _is_inner(key)}
    outer = [[f"{k}={value}" for value in axis] for k, axis in axes.items() if k not in inner]
    chosen = [(*fixed, *choices) for choices in itertools.product(*outer)]
    combinations = [Combination(words, _compose(list(words), config_name)) for words in chosen]
    of_none = {key for key in inner if all(c.lacks(key) for c in combinations)}
    # An error names a key that there is not, and the nearest of the model that has most.
    for c in sorted(combinations, key=lambda c: -len(c.cfg.model)):
        first = [f"{k}={next(iter(inner[k]))}" for k in (*c.own(inner), *sorted(of_none))]
        if first:
            _compose([*c.overrides, *first], config_name)
    varied = tuple(key for key in axes if key != "model")
    return Plan(combinations, inner, intervals, varied, multirun)


def _is_inner(key: str) -> bool:
    """Whether the values of a key are set in a composed configuration, without composing anew."""
    top = key.partition(".")[0]
    return key not in GROUPS and top in COMPUTED[1:] and "_target_" not in key


def _check(planned: Plan, combination: Combination) -> None:
    """Check every value that a combination is to be run with."""
    searched = planned.space(combination) if combination.cfg.search else {}
    if combination.cfg.search and not searched:
        model = combination.cfg.hydra.runtime.choices.model
        raise UserError(
            f"model={model} has no search space: write conf/space/{model}.yaml, "
            "or give 'model.KEY=interval(LOW,HIGH)'"
        )
    values = {key: list(axis.values()) for key, axis in planned.axes.items()}
    ends = {key: [r.low, r.high] for key, r in searched.items()}
    check_values(combination.cfg, combination.own({**values, **ends}))


def _selects(cfg: DictConfig) -> bool:
    return bool(cfg.select or cfg.search or cfg.seeds or cfg.folds)


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
