"""The end of a sweep: its report is written and sent, its best model logged, its table printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from omegaconf import DictConfig

from bench import models, report
from bench.data.dataset import Dataset
from bench.errors import RunFailed, UserError, first_line
from bench.sweep.context import JobContext
from bench.sweep.results import Results
from bench.sweep.scheduler import Scheduler
from bench.sweep.uploader import Uploader
from bench.tracking import MLflowTracker, Record, RunReader, redacted
from bench.tracking.models import register


def summarize(
    cfg: DictConfig,
    dataset: Dataset,
    context: JobContext,
    tracker: MLflowTracker,
    results: Results,
    uploader: Uploader,
    scheduler: Scheduler,
) -> None:
    """Send, file and print what came of a sweep.

    Raises
    ------
    RunFailed
        A run failed or was not reached, or something is not in the store or the report.
    """
    problems = []
    failed = sum(r.status == "FAILED" for r in results.records.values())
    if failed:
        problems.append(f"{failed} of {len(results.records)} runs failed")
    if scheduler.unreached:
        problems.append(f"{len(scheduler.unreached)} were not reached")
    if scheduler.computed or not uploader.up_to_date:
        problems += _send(cfg, dataset, context, tracker, results, uploader, bool(problems))
    _print(cfg, context, results, scheduler.unreached)
    if problems:
        raise RunFailed("; ".join(problems))


def _send(
    cfg: DictConfig,
    dataset: Dataset,
    context: JobContext,
    tracker: MLflowTracker,
    results: Results,
    uploader: Uploader,
    failed: bool,
) -> list[str]:
    """Send everything and the report; return what could not be done."""
    uploader.finish()
    if uploader.error is not None:
        waiting = sum(1 for _ in tracker.queue.waiting())
        return [
            f"{waiting} results wait in {tracker.queue.outbox}, since {tracker.shown} did not take "
            f"them ({uploader.error}); the next start sends them"
        ]
    if uploader.parent is None:
        return []
    problems = []
    reader = RunReader(tracker.uri, str(tracker.directory))
    compared = report.comparisons([r for r in results.records.values() if r.run_id])
    best = compared[0].best if len(compared) == 1 else None  # never one across data sets or splits
    try:
        page = report.write(reader, uploader.parent, Path(cfg.results), cfg.report.by).html
        metrics = best.metrics if best else {}
        tracker.log_sweep(uploader.parent, metrics, [page], best.run_id if best else None)
    except Exception as error:  # the results are there, and are shown
        problems.append(f"the report is not complete: {redacted(first_line(error))}")
    status = "FAILED" if failed or problems else "FINISHED"
    uploader.close(status, reported=not problems)
    if best is not None and cfg.keep_model:
        _keep_model(reader, best, dataset)
    return problems


def _keep_model(reader: RunReader, best: Record, dataset: Dataset) -> None:
    """Log and register the best run's model; where that fails, say so: no sweep fails by it."""
    try:
        address = models.keep(reader, best.run_id, dataset)
        if address.startswith("models:/"):
            name = re.sub(r"[^\w.-]+", "_", f"{best.model}-{dataset.name}")
            print(f"Model: {register(reader, best.run_id, address, name)}")
    except UserError as error:
        print(f"bench: no model is logged: {error}", file=sys.stderr)
    except Exception as error:
        print(f"bench: no model is logged: {redacted(first_line(error))}", file=sys.stderr)


def _print(cfg: DictConfig, context: JobContext, results: Results, unreached: list[str]) -> None:
    records = list(results.records.values())
    if context.sweep.name:
        print("", *report.summary(context.experiment, records), sep="\n")
    for line in report.failures(records):
        print(line)
    if unreached:
        print(f"Not reached ({len(unreached)}): {'; '.join(unreached)}")
    if context.sweep.name:
        print(*_where(cfg, context), sep="\n", flush=True)


def _where(cfg: DictConfig, context: JobContext) -> list[str]:
    """Return where to read on."""
    sweep, experiment = context.sweep, context.experiment
    folder = Path(cfg.results) / report.sweep_folder(experiment, sweep.id, sweep.description)
    page = folder / "README.md"
    read = [f"Report: {page} (and report.html beside it)"] if page.exists() else []
    return [*read, f"Dashboard: python -m bench.ui {experiment.name}"]
