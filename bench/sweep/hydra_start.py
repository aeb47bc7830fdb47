"""How Hydra is started: with a sweeper, one of its plugins; or as it starts itself, for `--help` and the like."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode

from bench.identity import ROOT
from bench.sweep import sweeper
from bench.sweep.compose import base_of, in_hydra
from bench.sweep.job import run_job

# Hydra takes plugins from its package `hydra_plugins` alone: there it finds this one by name.
sys.modules[sweeper.ProtocolSweeper.__module__] = sweeper


def plugins() -> Plugins:
    """Hydra's, and this program's own."""
    known = Plugins.instance()
    known.register(sweeper.ProtocolSweeper)
    return known


def sweep(overrides: list[str], *, multirun: bool) -> int:
    """Hands a command line to the sweeper that it chooses; returns that sweeper's exit status."""
    with in_hydra():
        cfg = base_of(overrides)
        cfg.sweep.pid = os.getpid()  # which workers end with
        if multirun:
            cfg.hydra.mode = RunMode.MULTIRUN
        context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks(cfg))
        chosen = plugins().instantiate_sweeper(
            hydra_context=context, task_function=run_job, config=cfg
        )
        found = chosen.sweep([o for o in overrides if not o.startswith("hydra")])
    return found if isinstance(found, int) else 0


def through_hydra(arguments: Sequence[str]) -> int:
    """Hydra's own start; returns the exit status."""
    # Errors come through as they are, to be made sentences of in one place.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    plugins()
    sweeper.ProtocolSweeper.status = 0
    sys.argv[1:] = arguments
    hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name="config")(run_job)()
    return sweeper.ProtocolSweeper.status


def start(arguments: Sequence[str]) -> int:
    """Run a command line of Hydra's; return its exit status."""
    flags = {argument for argument in arguments if argument.startswith("-")}
    if flags - {"-m", "--multirun"}:
        return through_hydra(arguments)
    return sweep([a for a in arguments if a not in flags], multirun=bool(flags))
