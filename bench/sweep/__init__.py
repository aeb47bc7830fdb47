"""From the command line to tracked runs. The one room that knows Hydra."""

from bench.sweep.compose import composed, plan
from bench.sweep.trials import composed_job, load_data

__all__ = ["composed", "composed_job", "load_data", "plan"]
