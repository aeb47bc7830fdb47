"""What a sweep found: printed, filed, and put on its parent run."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from bench import models, report
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.sweep.running import Running
from bench.tracking import RunReader


def summary(cfg: DictConfig, running: Running) -> int:
    """Prints what was found; 1 if a run failed or was not reached."""
    records = list(running.records.values())
    if running.sweep.name:
        print("", *report.summary(running.experiment, records), sep="\n")
    for line in report.failures(records):
        print(line)
    if running.unreached:
        print(f"Not reached ({len(running.unreached)}): {'; '.join(running.unreached)}")
    if running.sweep.name:
        print(*_where(cfg, running), sep="\n", flush=True)
    return int(any(record.status == "FAILED" for record in records) or bool(running.unreached))


def finish(cfg: DictConfig, dataset: Dataset, running: Running) -> int:
    """Prints and files what the sweep found; 1 if a run failed or was not reached."""
    running.tell_if_possible()
    if running.unsent is not None:
        waiting = sum(1 for _ in running.tracker.queue.waiting())
        print(
            f"bench: {waiting} results wait in {running.tracker.queue.outbox}, since {running.tracker.shown} did "
            f"not take them ({running.unsent}); the next start sends them",
            file=sys.stderr,
        )
    elif running.sweep.name:
        parent = running.parents[running.sweep.id]
        evidence = RunReader(running.tracker.uri, running.tracker.directory)
        written = report.write(evidence, parent, Path(cfg.results))
        found = report.comparisons([r for r in running.records.values() if r.run_id])
        best = found[0].best if len(found) == 1 else None  # never one across data sets or splits
        running.tracker.log_sweep(
            parent, best.metrics if best else {}, [written.html], best.run_id if best else None
        )
        failed = any(r.status == "FAILED" for r in running.records.values()) or running.unreached
        running.close("FAILED" if failed else "FINISHED")
        if best is not None and cfg.keep_model:
            _keep_model(evidence, best.run_id, dataset)
    return summary(cfg, running)


def _where(cfg: DictConfig, running: Running) -> list[str]:
    """Return where to read on."""
    sweep, experiment = running.sweep, running.experiment
    folder = Path(cfg.results) / report.sweep_folder(experiment, sweep.id, sweep.description)
    page = folder / "README.md"
    read = [f"Report: {page} (and report.html beside it)"] if page.exists() else []
    return [*read, f"Dashboard: python -m bench.ui {experiment.name}"]


def _keep_model(evidence: RunReader, run_id: str, dataset: Dataset) -> None:
    """A sweep that found what it was to find is not failed by this."""
    try:
        models.keep(evidence, run_id, dataset)
    except UserError as error:
        print(f"bench: no model is logged: {error}", file=sys.stderr)
