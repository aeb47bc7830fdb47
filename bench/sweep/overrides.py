"""The words of a command line: read, spelled out, and refused where they choose nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from bench.errors import UserError, checked, sentence
from bench.sweep.search import Range
from fm.validation import check_integer

CHOSEN = ("data", "split", "features", "model")
"""The groups that say what a run computes."""
GROUPS = (*CHOSEN, "space", "search", "tracking", "experiment")
NEEDED = (*CHOSEN, "tracking")
"""Groups of which every run has a choice."""


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


def key_of(override: str) -> str:
    """Return the key or group of an override as it is written."""
    return override.lstrip("+~").partition("=")[0]


def parsed_words(parser: OverridesParser, overrides: list[str]) -> dict[str, Override]:
    """Return each override by its key or group; the last of several for one."""
    try:
        return {o.key_or_group: o for o in parser.parse_overrides(overrides)}
    except HydraException as error:
        raise UserError(f"cannot read the command line: {sentence(error)}") from error


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


def axis_values(parser: OverridesParser, override: Override) -> dict[str, object]:
    """Return each value of an axis, as it is written and as it is read."""
    key = override.key_or_group
    written = list(override.sweep_string_iterator())
    return {text: parser.parse_override(f"{key}={text}").value() for text in written}


def interval_range(interval: IntervalSweep) -> Range:
    """Return the range that `interval(LOW,HIGH)` stands for."""
    assert interval.start is not None and interval.end is not None  # the grammar has both
    with checked():
        return Range(interval.start, interval.end, log="log" in interval.tags)
