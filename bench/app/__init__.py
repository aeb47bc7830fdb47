"""From the command line to tracked runs. The one room that knows Hydra."""

from bench.app.compose import composed, plan
from bench.app.job import job_of, load_data
from bench.app.start import main
from bench.app.trials import job_again

__all__ = ["composed", "job_again", "job_of", "load_data", "main", "plan"]
