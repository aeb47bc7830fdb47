"""One job: Hydra's task, whichever launcher and sweeper start it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits

from bench import report
from bench.errors import RunFailed, UserError
from bench.metrics import SELECTION_METRIC
from bench.processes import TimeUp, end_with, time_limit
from bench.run import Job, Pruned, Result, run
from bench.sweep.compose import key_of
from bench.sweep.job_batch import read
from bench.sweep.protocol import pruned_digest
from bench.sweep.trials import experiment_of, job_of, load_data, run_name
from bench.tracking import Experiment, MLflowTracker, Record, Sweep
from bench.tracking.queue_entry import entry_of, write_files

ended: Callable[[], None] | None = None
"""Called after a job that ran in the sweep's own process."""


def run_job(cfg: DictConfig) -> float:
    """One run, or those of a share, one after another; returns the (last) run's validation error, NaN if there is
    none."""
    if cfg.sweep.share is None:
        return _run(cfg)
    OmegaConf.set_struct(cfg, False)
    error = math.nan
    for values, limits in read(Path(cfg.sweep.home), cfg.sweep.share):
        for key, value in values.items():
            OmegaConf.update(cfg, key, value)
        cfg.sweep.limits = limits
        error = _run(cfg)
    return error


def _run(cfg: DictConfig) -> float:
    """One run, computed or found again.

    What it finds is written to disk. The sweep that started it sends it on, where they share the disk;
    otherwise it is sent from here.

    Raises
    ------
    RunFailed : of another sweeper than ours, which knows of it only so.
    """
    sweep = cfg.sweep
    if sweep.pid:
        end_with(sweep.pid)
    deadline = math.inf if sweep.deadline is None else sweep.deadline
    if time.time() >= deadline or (sweep.home and Path(sweep.home, "stop").exists()):
        return math.nan
    tracker: MLflowTracker = instantiate(cfg.tracking)
    dataset = load_data(cfg)
    if sweep.data not in (None, dataset.digest):
        raise UserError(
            f"the data here ({dataset.source}) are not those that the sweep was started with"
        )
    experiment = experiment_of(cfg, dataset)
    job = job_of(
        cfg,
        HydraConfig.get().runtime.choices,
        dataset,
        dict(sweep.code or {}),
        dict(sweep.limits or {}),
    )
    names = (job.digest, pruned_digest(job.digest, job.limits)) if job.limits else (job.digest,)
    with tracker.queue.claimed(experiment, job.digest):
        known = [tracker.queue.settled(experiment, name) for name in names if not cfg.rerun]
        record = next((entry.record for entry in known if entry is not None), None)
        if record is None:
            record = _compute(cfg, job, experiment, tracker, deadline)
    if record is None:
        return math.nan
    if not (sweep.home and Path(sweep.home).exists()):
        if not sweep.pid:
            print(f"{record.name}: {report.outcome(record)}", flush=True)
        for _ in tracker.send_waiting({}, owner=_sweep(cfg, tracker).owner):
            pass
    elif ended is not None:
        ended()
    if record.status == "FAILED" and not sweep.home:
        raise RunFailed(f"{record.name}: {report.outcome(record)}")
    return record.metrics.get(SELECTION_METRIC, math.nan)


def _compute(
    cfg: DictConfig, job: Job, experiment: Experiment, tracker: MLflowTracker, deadline: float
) -> Record | None:
    """Runs the job and puts what came of it into the outbox; None if the sweep's time is up."""
    began = time.time()
    outcome: Result | Exception
    given = min(cfg.job_seconds or math.inf, deadline - began)
    try:
        with threadpool_limits(job.threads), time_limit(None if math.isinf(given) else given):
            outcome = run(job)
    except TimeUp as error:
        if time.time() >= deadline:
            return None
        outcome = error
    except Exception as error:  # noqa: BLE001  whatever it is, it is one job's
        outcome = error
    digest = pruned_digest(job.digest, job.limits) if isinstance(outcome, Pruned) else job.digest
    entry = entry_of(
        job,
        outcome,
        experiment=experiment,
        sweep=_sweep(cfg, tracker),
        name=run_name(job.config, job.names, _varied(cfg), simulated=job.dataset.simulated),
        digest=digest,
        began=began,
    )
    tracker.queue.put(entry, lambda folder: write_files(folder, job, outcome))
    if cfg.fail_fast and entry.record.status == "FAILED" and cfg.sweep.home:
        Path(cfg.sweep.home, "stop").touch()
    return entry.record


def _varied(cfg: DictConfig) -> tuple[str, ...]:
    """What the sweep says; of another's job, whatever it was given."""
    if cfg.sweep.home:
        return tuple(cfg.sweep.varied)
    return tuple(key for key in map(key_of, HydraConfig.get().overrides.task) if key != "model")


def _sweep(cfg: DictConfig, tracker: MLflowTracker) -> Sweep:
    sweep = cfg.sweep
    return Sweep(sweep.id or "", sweep.name or "", "", sweep.owner or tracker.owner)
