"""`python -m bench`: from the command line to tracked runs. The one file that knows Hydra.

Whatever can be wrong with a command is found before any work: the configurations it asks for are
composed, their models built and checked, the data loaded and split. Only then does Hydra's launcher
start; each of its jobs is `_job`, which tracks what it computes and never raises, so that one bad
configuration ends neither the sweep nor its report.
"""

from __future__ import annotations

import itertools
import math
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench import gap, report
from bench.data.dataset import Dataset
from bench.encode import FEATURES
from bench.errors import UserError, checked, exit_status
from bench.identity import digest, source_digest
from bench.run import Job, run
from bench.track import Experiment, MLflowTracker, flatten
from fm.params import check_choice, check_integer, nearest

CHOSEN = ("data", "split", "features", "model")
"""The groups that say what a run computes."""

GROUPS = (*CHOSEN, "tracking", "experiment")
COMPUTED = ("model", "split", "features", "seed", "data_seed", "refit", "threads", "first_rows")
"""The part of the configuration that enters a run's identity."""

HOW = ("jobs", "rerun", "fail_fast", "results")
"""Keys that say how to compute, not what."""


@dataclass(frozen=True)
class Plan:
    """What a command asks for. `jobs` are composed configurations in which every value that the
    command sweeps over occurs; `total` is how many runs all combinations make."""

    jobs: list[DictConfig]
    total: int
    varied: list[str]
    multirun: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit status: 0; 1, a run failed; 2, the command was wrong."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    flags = {argument for argument in arguments if argument.startswith("-")}
    if flags - {"-m", "--multirun"}:
        sys.argv[1:] = arguments
        _job()
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return exit_status(lambda: _start([a for a in arguments if a not in flags], multirun=bool(flags)))


def _start(overrides: list[str], multirun: bool) -> int:
    planned = plan(overrides, multirun)
    cfg = planned.jobs[0]
    dataset = load_data(cfg)
    for job in planned.jobs:
        instantiate(job.split)(dataset)
    if cfg.hydra.runtime.choices.data == "auto":
        # What was found is said to every job, so that none looks for itself.
        overrides = [o for o in overrides if not o.startswith("data=")] + [f"data={dataset.name}"]
    experiment = experiment_of(cfg, dataset)
    tracker: MLflowTracker = instantiate(cfg.tracking)
    print(f"{cfg.experiment.title}: {planned.total} runs on {dataset.source}", flush=True)
    asked = sorted(o for o in overrides if o.partition("=")[0] not in HOW)
    sweep = digest({"overrides": asked, "data": dataset.digest, "code": source_digest()})[:12]
    parent = None
    if planned.multirun:
        parent = tracker.begin_sweep(experiment, sweep, f"{planned.total} runs", " ".join(overrides))
    told = {"id": sweep, "parent": parent or "null", "total": planned.total, "varied": planned.varied}
    sys.argv[1:] = [
        *overrides,
        *(f"sweep.{key}={value}".replace("'", "").replace(" ", "") for key, value in told.items()),
        *(["-m"] if multirun else []),
    ]
    try:
        _job()
    except KeyboardInterrupt:
        if parent is not None:
            tracker.end(parent, "KILLED")
        raise
    except SystemExit:
        # Hydra's answer to a run that raised, which only `fail_fast` lets it do: report it as any other.
        pass
    return _finish(cfg, dataset, tracker, experiment, sweep, parent)


def _finish(
    cfg: DictConfig,
    dataset: Dataset,
    tracker: MLflowTracker,
    experiment: Experiment,
    sweep: str,
    parent: str | None,
) -> int:
    """Prints and files what the sweep found; 1 if a run failed."""
    records = tracker.records(experiment, sweep, with_predictions=bool(cfg.experiment.systems))
    failed = any(not record.finished for record in records)
    if parent is None:
        return int(failed)
    files = []
    if cfg.experiment.systems:
        asked = gap_of(cfg, dataset)
        files = gap.write(asked, records, Path(cfg.results), experiment.name)
        print("", gap.table(asked, records), "", gap.findings(asked, records), sep="\n")
        print(*report.failures(records), f"Written: {', '.join(map(str, files))}", sep="\n")
    else:
        print("", report.leaderboard(records), sep="\n")
    best = min((r for r in records if r.finished), key=report.by_validation, default=None)
    tracker.log_sweep(parent, best.metrics if best else {}, files)
    tracker.end(parent, "FAILED" if failed else "FINISHED")
    print("Dashboard: make ui")
    return int(failed)


def gap_of(cfg: DictConfig, dataset: Dataset) -> gap.Gap:
    """The published-gap table that the experiment asks for."""
    return gap.Gap(
        title=cfg.experiment.title + (" (simulated data)" if dataset.simulated else ""),
        systems=OmegaConf.to_container(cfg.experiment.systems),
        pairs=[tuple(pair) for pair in cfg.experiment.pairs],
        reference=cfg.experiment.reference,
        scale=dataset.scale,
        source=dataset.source,
        simulated=dataset.simulated,
        command=f"python -m bench experiment={cfg.hydra.runtime.choices.experiment}",
    )


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")
def _job(cfg: DictConfig) -> float:
    """Hydra's task: one run, computed or found again; returns its validation error, NaN if it failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hydra_config = HydraConfig.get()
    dataset = load_data(cfg)
    job = job_of(cfg, hydra_config.runtime.choices, dataset)
    name = run_name(cfg, job)
    experiment = experiment_of(cfg, dataset)
    tracker: MLflowTracker = instantiate(cfg.tracking)
    place = f"[{hydra_config.job.get('num', 0) + 1 if cfg.sweep.parent else 1}/{cfg.sweep.total}] {name}"
    run_id = None if cfg.rerun else tracker.find(experiment, job.digest)
    if run_id is not None:
        tracker.join(run_id, cfg.sweep.id)
        metrics = tracker.metrics(run_id)
        print(f"{place}: {report.headline(metrics)} (already computed)", flush=True)
        return metrics.get("validation/mse_clipped", math.nan)
    if sys.stdout.isatty():
        print(f"{place} ...", end="\r", flush=True)
    try:
        with tracker.job(experiment, job, name, cfg.sweep.id, cfg.sweep.parent) as run_id:
            result = run(job)
            tracker.log_result(run_id, job, result)
    except Exception as error:
        print(f"{place}: FAILED, {type(error).__name__}: {_sentence(error)}", flush=True)
        if cfg.fail_fast:
            raise
        return math.nan
    print(f"{place}: {report.headline(result.metrics)}", flush=True)
    return result.metrics.get("validation/mse_clipped", math.nan)


def job_of(cfg: DictConfig, choices: DictConfig, dataset: Dataset) -> Job:
    """The job that a composed configuration describes."""
    return Job(
        names={group: choices[group] for group in CHOSEN},
        config={
            key: OmegaConf.to_container(cfg[key], resolve=True) if OmegaConf.is_config(cfg[key]) else cfg[key]
            for key in COMPUTED
        },
        dataset=dataset,
        split=instantiate(cfg.split),
        features=tuple(cfg.features.names),
        model=instantiate(cfg.model),
        refit=cfg.refit,
        threads=cfg.threads,
        first_rows=cfg.first_rows,
    )


def experiment_of(cfg: DictConfig, dataset: Dataset) -> Experiment:
    """Simulated data never share an experiment with real ones."""
    suffix = "_simulated" if dataset.simulated else ""
    return Experiment(
        cfg.experiment.name + suffix, f"# {cfg.experiment.title}\n\n{cfg.experiment.description}"
    )


def run_name(cfg: DictConfig, job: Job) -> str:
    """The model and what varied: `fm_sgd k=8 learning_rate=0.01`."""
    values = flatten(job.config) | job.names
    varied = [f"{key.rpartition('.')[2]}={values[key]}" for key in cfg.sweep.varied if key in values]
    return " ".join([job.names["model"], *varied, *(["(simulated)"] if job.dataset.simulated else [])])


def load_data(cfg: DictConfig) -> Dataset:
    """The data set of a configuration, loaded once in a process."""
    return _load_data(OmegaConf.to_yaml(cfg.data, resolve=True))


@lru_cache(maxsize=1)
def _load_data(yaml: str) -> Dataset:
    try:
        return instantiate(OmegaConf.create(yaml))
    except InstantiationException as error:
        raise error.__cause__ or error from None


def plan(overrides: list[str], multirun: bool) -> Plan:
    """Composes and checks what a command asks for.

    Raises
    ------
    UserError : an unknown group, choice or key, or a value that a model refuses; with the nearest
        valid one.
    """
    with hydra.initialize_config_module("conf", version_base="1.3"):
        base = _compose([o for o in overrides if o.startswith("experiment=")])
        multirun = multirun or str(base.hydra.mode).endswith("MULTIRUN")
        swept = [f"{key}={value}" for key, value in (base.hydra.sweeper.get("params") or {}).items()]
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        try:
            parsed = {o.key_or_group: o for o in parser.parse_overrides([*swept, *overrides])}
        except HydraException as error:
            raise UserError(f"cannot read the command line: {_sentence(error)}") from error
        axes = {
            key: list(o.sweep_string_iterator())
            for key, o in parsed.items()
            if o.is_sweep_override() and o.is_discrete_sweep()
        }
        if axes and not multirun:
            raise UserError(f"{next(iter(axes))} has several values: a sweep needs -m")
        fixed = [o.input_line for key, o in parsed.items() if not o.is_sweep_override()]
        jobs = [_compose([*fixed, *chosen]) for chosen in _cover(axes)]
    for cfg in jobs:
        _check(cfg)
    varied = [key for key in axes if key != "model"]
    return Plan(jobs, math.prod(map(len, axes.values())), varied, multirun)


def _cover(axes: dict[str, list[str]]) -> list[list[str]]:
    """Overrides in which every combination of groups, and with it every value of every key, occurs:
    as many as the longest axis has values, where all combinations might be thousands."""
    groups = {key: values for key, values in axes.items() if key in GROUPS}
    keys = {key: values for key, values in axes.items() if key not in GROUPS}
    longest = max(map(len, keys.values()), default=1)
    return [
        [f"{group}={choice}" for group, choice in zip(groups, choices, strict=True)]
        + [f"{key}={values[i % len(values)]}" for key, values in keys.items()]
        for choices in itertools.product(*groups.values())
        for i in range(longest)
    ]


def _compose(overrides: list[str]) -> DictConfig:
    try:
        cfg = hydra.compose("config", overrides=overrides, return_hydra_config=True)
        OmegaConf.resolve(cfg.model)
        return cfg
    except MissingConfigException as error:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        options = sorted(error.options or [])
        raise UserError(
            f"there is no {group} {choice!r}{nearest(choice, options)}; there are {', '.join(options)}"
        ) from error
    except (HydraException, OmegaConfBaseException) as error:
        unknown = re.search(r"Could not (?:override|delete) '([^']+)'", str(error))
        if unknown is None:
            raise UserError(f"cannot compose the configuration: {_sentence(error)}") from error
        key = unknown[1]
        known = _compose([o for o in overrides if o.lstrip("+~").partition("=")[0] != key])
        valid = [*GROUPS, *flatten(OmegaConf.to_container(known, resolve=False))]
        raise UserError(f"there is no key {key!r}{nearest(key, valid)}") from error


def _check(cfg: DictConfig) -> None:
    """A model that refuses its hyperparameters, or a harness value out of range, is a UserError."""
    for group in CHOSEN:
        for key in OmegaConf.missing_keys(cfg[group]):
            raise UserError(f"{key} must be given: {key}=...")
    model = cfg.hydra.runtime.choices.model
    try:
        instantiate(cfg.model).check_params()
    except (ValueError, TypeError, HydraException) as error:
        raise UserError(f"model={model}: {_sentence(error.__cause__ or error)}") from error
    with checked():
        for name in cfg.features.names:
            check_choice("features.names", name, FEATURES)
        for key, low in (("seed", 0), ("data_seed", 0), ("threads", 1), ("jobs", 1)):
            check_integer(key, cfg[key], low=low)


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split())
