"""Hydra's two ways in: its launcher, to be given jobs as they are proposed; and its own start.

Hydra's sweepers are given a command line and compose every job of it before the first begins, a tenth of a second
each; they are not asked what is known already; and Hydra takes them from a top-level package `hydra_plugins` alone. So
the sweeps here are this program's own, on Hydra's launcher interface. A sweeper that somebody chooses (`hydra/sweeper=...`) gets all jobs from Hydra's own start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext

from bench.app.job import run_job


@contextmanager
def launcher(overrides: Sequence[str]) -> Iterator[Launcher]:
    """The launcher that `overrides` choose, ready to launch `run_job`."""
    with hydra.initialize_config_module("conf", version_base="1.3", job_name="bench"):
        own = f"sweep.pid={os.getpid()}"  # which workers end with
        cfg = hydra.compose("config", overrides=[*overrides, own], return_hydra_config=True)
        context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks(cfg))
        yield Plugins.instance().instantiate_launcher(context, run_job, cfg)


def through_hydra(arguments: Sequence[str]) -> None:
    """Hydra's own start of `run_job`: `--help` and the like, and sweepers of others."""
    # Errors come through as they are, to be made sentences of in one place.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv[1:] = arguments
    hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(run_job)()
