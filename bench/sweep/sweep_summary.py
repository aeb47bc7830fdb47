"""The end of a sweep: its report is written and sent, its best model logged, its table printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from omegaconf import DictConfig

from bench import models, report
from bench.data.dataset import Dataset
from bench.errors import RunFailed, UserError, first_line
from bench.sweep.scheduler import Scheduler
from bench.tracking import Record, RunReader, redacted
from bench.tracking.models import register


def summarize(cfg: DictConfig, dataset: Dataset, sweep: Scheduler) -> None:
    """Send, file and print what came of a sweep.

    `RunFailed` says what failed, was not reached, or is not in the store or the report.
    """
    problems = []
    records = list(sweep.results.records.values())
    failed = sum(record.status == "FAILED" for record in records)
    if failed:
        problems.append(f"{failed} of {len(records)} runs failed")
    if sweep.unreached:
        problems.append(f"{len(sweep.unreached)} were not reached")
    if sweep.computed or not sweep.uploader.up_to_date:
        problems += _send(cfg, dataset, sweep, failed=bool(problems))
    _print(cfg, sweep)
    if problems:
        raise RunFailed("; ".join(problems))


def _send(cfg: DictConfig, dataset: Dataset, sweep: Scheduler, *, failed: bool) -> list[str]:
    """Send everything and the report; return what could not be done."""
    tracker, uploader = sweep.tracker, sweep.uploader
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
    tracked = [record for record in sweep.results.records.values() if record.run_id]
    compared = report.comparisons(tracked)
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
    except Exception as error:
        why = str(error) if isinstance(error, UserError) else redacted(first_line(error))
        print(f"bench: no model is logged: {why}", file=sys.stderr)


def _print(cfg: DictConfig, sweep: Scheduler) -> None:
    """Print the table and the failures, and say where to read on."""
    experiment, of = sweep.context.experiment, sweep.context.sweep
    records = list(sweep.results.records.values())
    if of.name:
        print("", *report.summary(experiment, records), sep="\n")
    for line in report.failures(records):
        print(line)
    if sweep.unreached:
        print(f"Not reached ({len(sweep.unreached)}): {'; '.join(sweep.unreached)}")
    if of.name:
        folder = Path(cfg.results) / report.sweep_folder(experiment, of.id, of.description)
        if (page := folder / "README.md").exists():
            print(f"Report: {page} (and report.html beside it)")
        print(f"Dashboard: python -m bench.ui {experiment.name}", flush=True)
