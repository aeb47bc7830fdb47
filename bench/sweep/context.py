"""What the jobs of a sweep have in common."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bench.tracking import Experiment, MLflowTracker, Sweep


@dataclass(frozen=True)
class JobContext:
    """What every job of a sweep is given: it travels with the task function to where that runs.

    Parameters
    ----------
    experiment, sweep
        To which the jobs belong.
    uri, directory
        The store, and the folder of results.
    varied : tuple of str
        Keys that name a run beside its model.
    home : Path, optional
        The sweep's own folder. A job that does not see it runs on another disk than the sweep's
        process, and sends its result itself; without a sweep there is none.
    deadline : float, optional
        Seconds since 1970 at which the sweep's time is up.
    job_seconds : float, optional
        Time budget of a job.
    """

    experiment: Experiment
    sweep: Sweep
    uri: str
    directory: Path
    varied: tuple[str, ...]
    home: Path | None = None
    deadline: float | None = None
    job_seconds: float | None = None
    rerun: bool = False
    fail_fast: bool = False

    def tracker(self) -> MLflowTracker:
        return MLflowTracker(self.uri, str(self.directory))

    @property
    def collected(self) -> bool:
        """Whether the sweep's process sees what a job leaves on this disk."""
        return self.home is not None and self.home.exists()

    @property
    def over(self) -> bool:
        """Whether no job is to begin any more."""
        return self.seconds_left == 0 or (self.home is not None and self._stop.exists())

    @property
    def seconds_left(self) -> float | None:
        """Until the deadline; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    def stop(self) -> None:
        """Let no further job begin, in any process that sees the sweep's folder."""
        if self.collected:
            self._stop.touch()

    @property
    def _stop(self) -> Path:
        return Path(self.home or "", "stop")
