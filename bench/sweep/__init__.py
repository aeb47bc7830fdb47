"""From the command line to tracked runs. The one room that knows Hydra."""

from bench.sweep.compose import composed, plan
from bench.sweep.job import job_of, load_data
from bench.sweep.trials import job_again

__all__ = ["composed", "job_again", "job_of", "load_data", "plan"]
