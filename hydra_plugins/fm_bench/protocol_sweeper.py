"""Hydra's side of a sweep: what Hydra calls, and how the sweep has its jobs launched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class ProtocolSweeper(Sweeper):
    """Run a plan by its protocol: grids, repeats, searches, and selection on validation.

    Parameters
    ----------
    params : mapping of str to str, optional
        Override key -> values, swept over unless the command line says otherwise.
    """

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self.params = params

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives a sweeper."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that the command line asks for."""
        from bench.sweep.compose import plan  # Hydra imports plugins that it does not use
        from bench.sweep.sweeper import run_sweep

        # Hydra adds the mode itself; whether a sweep was asked for, the task function says.
        given = [o for o in self.config.hydra.overrides.hydra if not o.startswith("hydra.mode=")]
        multirun = getattr(self.task_function, "multirun", True)
        words = [*given, *arguments]
        planned = plan(words, multirun, self.config.hydra.job.config_name)
        run_sweep(planned, words, multirun, self.launch)

    def launch(
        self, task: TaskFunction, overrides: Sequence[Sequence[str]], workers: int | None
    ) -> Sequence[JobReturn]:
        """Run a job for each list of overrides with Hydra's launcher, by so many processes here."""
        if workers is not None:
            with open_dict(self.config):
                self.config.hydra.launcher.n_jobs = workers
        launcher = Plugins.instance().instantiate_launcher(self.hydra_context, task, self.config)
        return launcher.launch(overrides, initial_job_idx=0)
