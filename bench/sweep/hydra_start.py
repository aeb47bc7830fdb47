"""How Hydra is started: every command line goes through `hydra.main`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bench.errors import UserError, sentence
from bench.identity import ROOT
from bench.sweep.compose import plan
from bench.sweep.job import run_alone

FLAGS = {"-m", "--multirun"}
OTHER_MODES = {"-h", "-c", "-i", "-r", "-sc", "--cfg", "--help", "--hydra-help", "--info", "--run"}
OTHER_MODES |= {"--shell-completion", "--version", "--experimental-rerun"}


@dataclass(frozen=True)
class Command:
    """The task function that Hydra is started with.

    Hydra's other sweepers call it, once a job; `ProtocolSweeper` has its own and reads `multirun`.
    """

    multirun: bool

    def __call__(self, cfg: DictConfig) -> float:
        return run_alone(cfg)


def start(arguments: Sequence[str]) -> int:
    """Give a command line to Hydra; return 0, or raise what went wrong.

    Raises
    ------
    UserError
        The command line is wrong, or a run failed (`RunFailed`).
    """
    words = {argument.partition("=")[0] for argument in arguments} | set(arguments)
    several = bool(words & {*FLAGS, "hydra.mode=MULTIRUN"})
    # A single run is a sweep of one, so that one way leads to a result.
    mode = ["--multirun"] if several or not words & OTHER_MODES else []
    before = sys.argv
    sys.argv = [before[0], *mode, *(a for a in arguments if a not in FLAGS)]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come through as they are, to be made sentences
    try:
        hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="config")(
            Command(several)
        )()
    except (HydraException, OmegaConfBaseException) as error:
        given = [a for a in arguments if not a.startswith("-")]
        plan(given, several)  # says the same, with the nearest alternative
        raise UserError(f"cannot compose the configuration: {sentence(error)}") from error
    finally:
        sys.argv = before
    return 0
