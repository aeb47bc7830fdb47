"""From the command line to tracked runs. The one room that knows Hydra."""

from bench.app.compose import plan
from bench.app.job import job_of, load_data
from bench.app.start import main

__all__ = ["job_of", "load_data", "main", "plan"]
