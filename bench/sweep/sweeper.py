"""The sweeper: a plugin of Hydra's that looks before it computes.

Hydra gives it a command line, `sweep` does the rest. Whatever can be wrong with it is found before any work: the
configurations it asks for are composed, their models built and checked, the data loaded and split. Then it is
looked up what is known already; only if something is missing does Hydra's launcher start. Each of its jobs is
`run_job`, which keeps what it finds, or why it failed, and never raises, so that one bad configuration ends
neither the sweep nor its report.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig

from bench.data.dataset import Dataset
from bench.identity import code_targets, code_version, computed_by, digest
from bench.sweep.compose import Plan, plan
from bench.sweep.protocol import jobs_at_most, protocol
from bench.sweep.running import Missing, Running
from bench.sweep.sweep_summary import finish, summary
from bench.sweep.trials import computed, experiment_of, load_data
from bench.tracking import MLflowTracker, Sweep

HOW = (
    "jobs",
    "rerun",
    "fail_fast",
    "keep_model",
    "results",
    "job_seconds",
    "sweep_seconds",
    "tracking.uri",
)
"""Keys that say how to compute, not what."""


class ProtocolSweeper(Sweeper):
    """Goes through `bench.sweep.protocol`: grids, repeats, searches, and what is chosen on validation.

    params : override key -> values, swept over unless the command line says otherwise.
    status : 1 if a run of the last sweep failed or was not reached, else 0; Hydra's own start hands on nothing
        that a sweeper returns.
    """

    __module__ = "hydra_plugins.fm_bench"  # the name by which Hydra finds it
    status = 0

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self.params = params

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> int:
        """Returns the `status`."""
        ProtocolSweeper.status = self._go_through(arguments)
        return self.status

    def _go_through(self, arguments: list[str]) -> int:
        multirun = str(self.config.hydra.mode).endswith("MULTIRUN")
        overrides = [*self.config.hydra.overrides.hydra, *arguments]
        planned = plan(overrides, multirun, base=self.config)
        cfg = planned.jobs[0]
        for model, reason in (cfg.experiment.skipped or {}).items():
            print(f"bench: model={model} is left out: {reason}", file=sys.stderr)
        dataset = load_data(cfg)
        tracker: MLflowTracker = instantiate(cfg.tracking)
        experiment = experiment_of(cfg, dataset)
        tracker.prepare(experiment)
        running = Running(
            tracker,
            experiment,
            _sweep(
                planned,
                overrides,
                dataset,
                shlex.join(["-m", *overrides] if multirun else overrides),
                tracker.owner,
            ),
            total=jobs_at_most(planned),
            rerun=cfg.rerun,
            processes=_processes(cfg),
            fail_fast=cfg.fail_fast,
            deadline=None if cfg.sweep_seconds is None else time.time() + cfg.sweep_seconds,
        )
        running.told = _told(cfg, dataset, tracker, running, planned)
        print(f"{cfg.experiment.title}: {_asked(planned)} on {dataset.source}", flush=True)
        if cfg.jobs * cfg.threads > os.cpu_count():
            print(
                f"bench: jobs={cfg.jobs} of {cfg.threads} threads on {os.cpu_count()} cores: times will say little",
                file=sys.stderr,
            )
        try:
            running.drive(protocol(planned), launcher=None)
        except Missing:
            self._compute(planned, running)
        else:
            running.progress.close()
            if running.nothing_to_tell():
                return summary(cfg, running)
        return finish(cfg, dataset, running)

    def _compute(self, planned: Plan, running: Running) -> None:
        """The protocol once more, with Hydra's launcher."""
        try:
            with running:
                running.drive(protocol(planned), self._launcher())
        except BaseException as error:
            running.close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise

    def _launcher(self) -> Launcher:
        self.config.sweep.pid = os.getpid()  # which workers end with
        return Plugins.instance().instantiate_launcher(
            self.hydra_context, self.task_function, self.config
        )


def _sweep(planned: Plan, overrides: list[str], dataset: Dataset, words: str, owner: str) -> Sweep:
    """What is asked is the sweep's identity; a single run is one without a name."""
    asked = sorted(
        o for o in overrides if o.partition("=")[0] not in HOW and not o.startswith("hydra")
    )
    names = {name for cfg in planned.jobs for name in code_targets(computed(cfg))}
    code = computed_by(code_version(tuple(sorted(names))))
    parts = {"overrides": asked, "data": dataset.digest, "code": code}
    name = f"{_swept(planned)}: {_asked(planned)}" if planned.multirun else ""
    return Sweep(digest(parts)[:12], name, words, owner)


def _swept(planned: Plan) -> str:
    """`linear over l2, split`, or `22 models`."""
    models = dict.fromkeys(cfg.hydra.runtime.choices.model for cfg in planned.jobs)
    which = next(iter(models)) if len(models) == 1 else f"{len(models)} models"
    over = ", ".join(key.removeprefix("model.") for key in planned.varied_all)
    return f"{which} over {over}" if over and len(models) == 1 else which


def _asked(planned: Plan) -> str:
    """`12 runs`, or `at most 45 runs`."""
    if not planned.selects:
        return "1 run" if planned.total == 1 else f"{planned.total} runs"
    return f"at most {jobs_at_most(planned)} runs"


def _told(
    cfg: DictConfig, dataset: Dataset, tracker: MLflowTracker, running: Running, planned: Plan
) -> list[str]:
    """What every job is told, so that none looks for itself, wherever it runs."""
    sweep = running.sweep
    told = {
        "id": sweep.id,
        "name": f"'{sweep.name}'" if sweep.name else "null",
        "owner": f"'{sweep.owner}'",
        "pid": os.getpid(),
        "home": f"'{running.home}'",
        "varied": f"[{','.join(planned.varied_all)}]",
        "deadline": "null" if running.deadline is None else running.deadline,
    }
    told = [f"sweep.{key}={value}" for key, value in told.items()]
    told += [
        f"results='{tracker.directory}'",
        f"tracking.uri='{tracker.uri}'",
        f"rerun={cfg.rerun}",
    ]
    if cfg.hydra.runtime.choices.data == "auto":
        told.append(f"data={dataset.name}")
    return told


def _processes(cfg: DictConfig) -> int | None:
    """How many the launcher starts on this machine, 1 being this one; None, it starts them elsewhere."""
    target = cfg.hydra.launcher._target_.rpartition(".")[2]
    return {"BasicLauncher": 1, "JoblibLauncher": cfg.hydra.launcher.get("n_jobs")}.get(target)
