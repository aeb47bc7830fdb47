"""How Hydra is started: every command line goes through `hydra.main`."""

import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bench.errors import UserError, quoted, sentence
from bench.identity import ROOT
from bench.sweep.checks import check_choices, spelled_out
from bench.sweep.compose import missing, plan

FLAGS = {"-m", "--multirun"}
MODES = {"hydra.mode=RUN", "hydra.mode=MULTIRUN"}
WITH_VALUE = {"-cn", "--config-name", "-cd", "--config-dir"}
OF_CFG = {"-p", "--package", "--resolve"}
OTHERS_WITH_VALUE = {"-c", "--cfg", "-i", "--info", "-p", "--package", "--experimental-rerun"}
OTHER_MODES = {"-h", "-c", "-i", "-r", "-sc", "--cfg", "--help", "--hydra-help", "--info", "--run"}
OTHER_MODES |= {"--shell-completion", "--version", "--experimental-rerun"}
ONE_SWEEPER = "sweeps need hydra/sweeper=protocol; search=default searches with it"


@dataclass(frozen=True)
class Command:
    """The task function that Hydra is started with, of which `ProtocolSweeper` reads `multirun`.

    Only another sweeper would call it.
    """

    multirun: bool

    def __call__(self, cfg: DictConfig) -> None:
        raise UserError(ONE_SWEEPER)


def start(arguments: Sequence[str]) -> int:
    """Give a command line to Hydra; return 0, or raise what went wrong as a UserError."""
    words = {argument.partition("=")[0] for argument in arguments} | set(arguments)
    _check_folders(arguments)
    if words & OF_CFG and not words & {"-c", "--cfg"}:
        raise UserError(f"{(words & OF_CFG).pop()} goes with --cfg job")
    options, overrides = _split(arguments)
    if any(o.startswith("hydra/sweeper=") and o != "hydra/sweeper=protocol" for o in overrides):
        raise UserError(ONE_SWEEPER)
    check_choices(overrides)
    several = bool(words & {*FLAGS, "hydra.mode=MULTIRUN"})
    # A single run is a sweep of one, so that one way leads to a result.
    mode = ["--multirun"] if several or not words & OTHER_MODES else []
    before = sys.argv
    sys.argv = [before[0], *mode, *options, *overrides]  # between which Hydra takes no option
    warnings.filterwarnings("ignore", message="provider=hydra.searchpath")  # `plan` refuses it
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come through as they are, to be made sentences
    try:
        hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="config")(
            Command(several)
        )()
    except MissingConfigException as error:
        if error.options is None:
            raise UserError(f"there is no configuration {error.missing_cfg_file!r}") from error
        raise UserError(missing(error)) from error
    except (HydraException, OmegaConfBaseException) as error:
        if not words & WITH_VALUE:
            plan([a for a in arguments if not a.startswith("-")], several)  # says it more nearly
        raise UserError(f"cannot compose the configuration: {sentence(error)}") from error
    finally:
        sys.argv = before
    return 0


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options, with their values, and the overrides."""
    options: list[str] = []
    words: list[str] = []
    before = ""
    for argument in spelled_out(arguments):
        is_value = before in WITH_VALUE or (before in OTHERS_WITH_VALUE and "=" not in argument)
        if argument not in FLAGS | MODES:
            (options if is_value or argument.startswith("-") else words).append(argument)
        before = argument
    return options, words


def _check_folders(arguments: Sequence[str]) -> None:
    """Refuse the folders of configurations that are none, of which Hydra says little."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, _, value = argument.partition("=")
        if option in ("--config-path", "-cp"):
            raise UserError(f"{option} would hide this program's groups: give --config-dir")
        if option in ("--config-dir", "-cd") and not Path(value or following).is_dir():
            raise UserError(f"{option}: there is no folder {quoted(value or following)}")
