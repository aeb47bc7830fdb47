"""What a sweep found: printed, filed, and put on its parent run."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from bench import gap, report
from bench.data.dataset import Dataset
from bench.track import Experiment, MLflowTracker


def finish(
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
