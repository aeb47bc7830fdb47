"""From the command line to tracked runs. The one room that knows Hydra."""

from bench.sweep.compose import composed, plan
from bench.sweep.trials import job_of, load_data

__all__ = ["composed", "job_of", "load_data", "plan"]
