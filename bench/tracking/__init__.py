"""What a run leaves behind, and how it is read back: the only package that knows MLflow.

MLflow takes seconds to import, so that only the first call that needs it does.

    experiment                 the question (`published_gap`)
      run, tag role=sweep      one sweep
        run, tag digest=...    one job, child of the first sweep that asked for it

A job belongs to every sweep that asked for it: tag `sweep.<id>`. A finished job is found again by
its digest, so that no sweep computes what another did. What came of a job is written to disk first,
complete (`bench.tracking.result_queue`), and sent from there.
"""

from bench.tracking.run_reader import RunReader
from bench.tracking.run_record import Experiment, Record, Sweep, attempt_that_counts, flatten
from bench.tracking.run_writer import MLflowTracker, UnsentError
from bench.tracking.store_address import redacted

__all__ = [
    "Experiment",
    "MLflowTracker",
    "Record",
    "RunReader",
    "Sweep",
    "UnsentError",
    "attempt_that_counts",
    "flatten",
    "redacted",
]
