"""What a sweep found: printed, filed, and put on its parent run."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from bench import gap, report
from bench.app.sweep import Running
from bench.data.dataset import Dataset
from bench.metrics import TEST


def summary(running: Running) -> int:
    """Prints what was found; 1 if a run failed or was not reached."""
    records = list(running.records.values())
    if running.sweep.name:
        print("", report.leaderboard(records), sep="\n")
    for line in report.failures(records):
        print(line)
    if running.unreached:
        print(f"Not reached ({len(running.unreached)}): {'; '.join(running.unreached)}")
    return int(any(record.status == "FAILED" for record in records) or bool(running.unreached))


def finish(cfg: DictConfig, dataset: Dataset, running: Running) -> int:
    """Prints and files what the sweep found; 1 if a run failed or was not reached."""
    if running.unsent is not None:
        waiting = sum(1 for _ in running.tracker.folder.waiting())
        print(
            f"bench: {waiting} results wait in {running.tracker.folder.outbox}, since {running.tracker.uri} did "
            f"not take them ({running.unsent}); the next start sends them",
            file=sys.stderr,
        )
        return summary(running)
    files = []
    if cfg.experiment.systems:
        records = running.tracker.records(running.experiment, running.sweep.id, with_predictions=True)
        asked = gap_of(cfg, dataset)
        files = gap.write(asked, records, Path(cfg.results), running.experiment.name)
        print("", gap.table(asked, records), "", gap.findings(asked, records), sep="\n")
        print(*report.failures(records), f"Written: {', '.join(map(str, files))}", sep="\n")
        status = int(any(record.status == "FAILED" for record in records) or bool(running.unreached))
    else:
        status = summary(running)
    if running.sweep.name:
        tested = [r for r in running.records.values() if r.finished and TEST in r.metrics]
        best = min(tested, key=report.by_validation, default=None)
        parent = running.parents[running.sweep.id]
        running.tracker.log_sweep(parent, best.metrics if best else {}, files)
        running.close("FAILED" if status else "FINISHED")
        print("Dashboard: make ui")
    return status


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
