"""`python -m bench.models RUN`: fit a tracked run's model again and log it, to load or to serve.

Models are not kept by every run: two hundred posterior draws are 46 MB. A run says all that it
takes to fit its model again, from the configuration files that are here, and its digest and
predictions say whether it is the same. A sweep does this for its best run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from bench.data.dataset import Bag, Dataset, Rows
from bench.errors import UserError, exit_status
from bench.features import SECONDS_PER_DAY, bin_edges, blocks_and_columns, center_and_spread
from bench.run import Job, run
from bench.runs import run_named
from bench.sweep.compose import composed
from bench.sweep.recompose import recomposed
from bench.sweep.trials import job_of, load_data
from bench.tracking import RunReader
from bench.tracking.models import log_model
from fm.base import FactorizationMachine
from fm.deployment import Columns, Served, Source

SOURCES = {
    "user": Source("user"),
    "item": Source("item"),
    "day": Source("timestamp", SECONDS_PER_DAY),
}
"""Block -> the column of a request that names its level."""
LOGGED = "model.logged"
"""Tag of a run: the model's address, or why there is none."""
EXAMPLE = 5
"""Test rows in the input example."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Log the model of the run that the command line names; return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__)
    parser.add_argument(
        "run", help="digest or id of a finished run that was tested, or how it begins"
    )
    parser.add_argument(
        "data", nargs="*", help="words of its command that say which data: data=..., data.path=..."
    )
    parser.add_argument(
        "--results", default="results", help="folder of the store (default: results)"
    )
    options = parser.parse_args(arguments)
    reader = RunReader(directory=options.results)
    reader.refuse_empty()
    record = run_named(reader.all_records(), options.run)
    words = options.data or [f"data={record.tags['data']}"]
    print(keep(reader, record.run_id, load_data(composed(words))))
    return 0


def keep(reader: RunReader, run_id: str, dataset: Dataset) -> str:
    """Fit the model of a run again and log it, once; return its address, or why it has none.

    Raises
    ------
    UserError
        The run was not tested, or the fit does not predict what the run did: code or data differ.
    """
    tags = reader.tags(run_id)
    if LOGGED in tags:
        return tags[LOGGED]
    if reader.data(run_id).digest != dataset.digest[:16]:
        raise UserError(
            f"run {run_id} is of other ratings than {dataset.source}: say which, data=..."
        )
    job = job_of(recomposed(tags, reader.config(run_id)), tags, dataset)
    if job.digest != tags["digest"]:
        raise UserError(
            f"run {run_id} is of other code or settings than those here: "
            f"python -m bench.runs show {run_id} says what it covers"
        )
    if isinstance(job.model, FactorizationMachine):
        address = _fitted_again(reader, run_id, job)
    else:
        address = (
            f"no: {type(job.model).__name__} has no file format of its own, and nothing is pickled"
        )
    reader.client.set_tag(run_id, LOGGED, address)
    return address


def _fitted_again(reader: RunReader, run_id: str, job: Job) -> str:
    result = run(job)
    if not np.allclose(
        reader.predictions(run_id)["prediction"], result.prediction, rtol=0, atol=1e-8
    ):
        raise UserError(
            f"run {run_id} cannot be repeated: with the code here its predictions are others"
        )
    assert result.fitted is not None  # of a job that was not given up
    served = served_model(job, result.fitted[0])
    if isinstance(served, str):
        return f"no: {served}"
    return log_model(reader, run_id, served, _example(job.dataset, served, result.rows[:EXAMPLE]))


def served_model(job: Job, model: BaseEstimator) -> Served | str:
    """Return the fitted model of a job as it answers requests, or why it cannot."""
    if job.min_count > 1:
        return "no file says which levels features.min_count leaves out"
    split = job.split(job.dataset)
    rows = split.development if job.refit else split.train
    blocks, bags = blocks_and_columns(job.dataset, job.features, rows)
    sources = _sources(job.dataset, rows)
    others = [block.name for block in blocks if block.name not in sources]
    if others:
        return f"no request can name the levels of {', '.join(others)}"
    columns = [_columns(job.dataset, bag, rows) for bag in bags]
    return Served(model, blocks, [sources[block.name] for block in blocks], columns)


def _sources(dataset: Dataset, train_rows: Rows) -> dict[str, Source]:
    """Return of each block that a request can have the column that names its level."""
    numbers = {name: dataset.rows[name].to_numpy(np.float64) for name in dataset.numeric}
    binned = {n: Source(n, edges=bin_edges(values, train_rows)) for n, values in numbers.items()}
    return binned | {name: Source(name) for name in dataset.fields} | SOURCES


def _columns(dataset: Dataset, part: Bag, train_rows: Rows) -> Columns:
    """Return which column of a request a bag or a standardized number comes from."""
    for name, bag in dataset.bags.items():
        if bag is part:
            return Columns(name, np.array(bag.labels))
    (name,) = part.labels
    return Columns(name, None, *center_and_spread(dataset.rows[name].to_numpy()[train_rows]))


def _example(dataset: Dataset, served: Served, rows: Rows) -> pd.DataFrame:
    """Return rows as a request has them."""
    names = {*(s.column for s in served.sources), *(c.column for c in served.columns)}
    example = dataset.rows.iloc[rows][[name for name in dataset.rows if name in names]]
    text = example.select_dtypes("category").columns
    example = example.astype(dict.fromkeys(text, "str")).reset_index(drop=True)
    for name in dataset.bags.keys() & names:
        bag = dataset.bags[name]
        labels = np.array(bag.labels, dtype=object)
        example[name] = [list(labels[bag.matrix[[row]].indices]) for row in rows]
    return example


if __name__ == "__main__":
    sys.exit(exit_status(main))
