"""`python -m bench.models RUN`: fit a tracked run's model again and log it, to load or to serve.

Models are not kept by every run: two hundred posterior draws are 46 MB. A run says all that it
takes to fit its model again, from the configuration files that are here, and its digest and
predictions say whether it is the same. A sweep does this for its best run.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from baselines.estimator import Machine
from bench.data.dataset import Bag, Dataset, Rows
from bench.errors import UserError, exit_status
from bench.features import (
    SECONDS_PER_DAY,
    SESSIONS,
    bin_edges,
    blocks_and_columns,
    center_and_spread,
)
from bench.features.columns import identity
from bench.run import Job, run
from bench.runs import run_named
from bench.sweep.compose import composed
from bench.sweep.trials import job_of, load_data, trusted
from bench.tracking import RunReader
from bench.tracking.models import log_model
from fm.arrays import IndexArray
from fm.base import FactorizationMachine
from fm.deployment import Columns, Served, Source, estimator_of
from fm.design import UNKNOWN, Block, Design
from fm.model import Coefficients

LOGGED = "model.logged"
"""Tag of a run: the model's address, or why there is none."""
EXAMPLE = 5
"""Test rows in the input example."""
ASKED = 10_000
"""Test rows, at most, of which the served model must predict what the run did."""


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

    UserError if the fit does not predict what the run did: code or data differ.
    """
    record = reader.run(run_id)
    tags = record.tags
    if LOGGED in tags:
        return tags[LOGGED]
    if record.data != dataset.digest[:16]:
        raise UserError(
            f"run {run_id} is of other ratings than {dataset.source}: say which, data=..."
        )
    job = job_of(trusted(reader.config(run_id), tags, dataset.task), tags, dataset)
    if job.digest != tags["digest"]:
        raise UserError(
            f"run {run_id} is of other code or settings than those here: "
            f"python -m bench.runs show {run_id} says what it covers"
        )
    address = _fitted_again(reader, run_id, job)
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
    asked = _example(job.dataset, served, result.rows[:ASKED])
    if not np.allclose(served.predict(asked), result.prediction[:ASKED], rtol=1e-8, atol=1e-8):
        return f"no: of a request, {type(job.model).__name__} predicts other than in the run"
    return log_model(reader, run_id, served, asked[:EXAMPLE])


def served_model(job: Job, model: BaseEstimator) -> Served | str:
    """Return the fitted model of a job as it answers requests, or why it cannot."""
    split = job.split(job.dataset)
    rows = split.development if job.refit else split.train
    blocks, bags = blocks_and_columns(job.dataset, job.features, rows)
    named = [_named(job.dataset, block, rows) for block in blocks]
    if job.min_count > 1:
        counted, _ = blocks_and_columns(job.dataset, job.features, rows, min_count=job.min_count)
        named = [_without_rare(*of, block.levels) for of, block in zip(named, counted, strict=True)]
    columns = [_columns(job.dataset, bag, rows) for bag in bags]
    served = Served(model, [block for block, _ in named], [of for _, of in named], columns)
    if isinstance(model, FactorizationMachine):
        return served
    try:
        return _as_machine(served, model)
    except ValueError as error:
        return str(error)


def _named(dataset: Dataset, block: Block, train_rows: Rows) -> tuple[Block, list[Source]]:
    """Return a block, labeled, and the columns of a request that together name its level."""
    name, time = block.name, dataset.time
    if name in dataset.fields:
        return block, [Source(name)]
    if name in dataset.numeric:
        values = dataset.rows[name].to_numpy(np.float64)
        return block, [Source(name, edges=bin_edges(values, train_rows))]
    if "*" in name:
        return _combined(dataset, block, [Source(field) for field in name.split("*")])
    assert time is not None  # of all other features
    if name in SESSIONS:
        return _combined(dataset, block, [Source("user"), Source(time, SESSIONS[name])])
    if name == "weekday":  # labels are numbers of days since 1970, a Thursday
        return replace(block, labels=(np.arange(7) - 3) % 7), [Source(time, SECONDS_PER_DAY, 7)]
    return block, [Source(time, 3600, 24) if name == "hour" else Source(time, SECONDS_PER_DAY)]


def _combined(
    dataset: Dataset, block: Block, sources: Sequence[Source]
) -> tuple[Block, list[Source]]:
    """Return a block each of whose levels is a combination of values of the sources."""
    _, first = np.unique(block.levels, return_index=True)
    columns = [dataset.rows[source.column].iloc[first] for source in sources]
    parts = [
        identity(source.column, column if source.unit == 1 else column // source.unit)
        for source, column in zip(sources, columns, strict=True)
    ]
    labels = np.column_stack([part.levels for part in parts])
    labeled = [replace(s, labels=part.labels) for s, part in zip(sources, parts, strict=True)]
    return replace(block, labels=labels), labeled


def _without_rare(
    block: Block, sources: list[Source], levels: IndexArray
) -> tuple[Block, list[Source]]:
    """Return a block in which a request for a level that no row has in `levels` is unknown."""
    labels = np.asarray(block.labels)
    if labels.ndim == 1:
        sources = [replace(sources[0], labels=labels)]
        labels = np.arange(block.n_levels)[:, np.newaxis]
    assert sources[0].labels is not None
    rare = np.isin(np.arange(block.n_levels), levels, invert=True)
    labels[rare, 0] += len(sources[0].labels)  # numbers that no label has
    return replace(block, labels=labels), sources


def _as_machine(served: Served, model: BaseEstimator) -> Served:
    """Return the same with the factorization machine that `model` is; ValueError if it is none."""
    name = type(model).__name__
    X = served.unknown_row()
    if hasattr(model, "as_machine"):
        if served.columns:
            raise ValueError(f"{name} is not served of bags and standardized numbers")
        machine = model.as_machine(X)
    elif np.size(getattr(model, "coef_", ())) == X.shape[1]:
        machine = Machine(np.ravel(model.intercept_)[0], np.ravel(model.coef_))
    else:
        raise ValueError(f"{name} is no factorization machine, and nothing is pickled")
    blocks, sources, w = [*served.blocks], [*served.sources], [machine.w]
    for positions, levels, weights in machine.combinations:
        names = " and ".join(blocks[b].name for b in positions)
        if any(len(sources[b]) > 1 for b in positions):
            raise ValueError(f"{name} has weights for combinations of {names}")
        own = [sources[b][0] for b in positions]
        labels = [
            blocks[b].labels if s.labels is None else s.labels
            for s, b in zip(own, positions, strict=True)
        ]
        sources.append([replace(s, labels=of) for s, of in zip(own, labels, strict=True)])
        blocks.append(Block(names, np.array([UNKNOWN]), len(levels), labels=levels, linear=True))
        w.append(weights)
    served = replace(served, blocks=blocks, sources=sources)
    n_interacting = X.n_interacting if isinstance(X, Design) else X.shape[1]
    V = np.empty((n_interacting, 0)) if machine.V is None else machine.V
    coefficients = Coefficients(machine.w0, np.concatenate(w), V, machine.unknown)
    classes = getattr(model, "classes_", None)
    return replace(served, model=estimator_of(coefficients, served.unknown_row(), classes))


def _columns(dataset: Dataset, part: Bag, train_rows: Rows) -> Columns:
    """Return which column of a request a bag or a standardized number comes from."""
    for name, bag in dataset.bags.items():
        if bag is part:
            return Columns(name, np.array(bag.labels))
    (name,) = part.labels
    return Columns(name, None, *center_and_spread(dataset.rows[name].to_numpy()[train_rows]))


def _example(dataset: Dataset, served: Served, rows: Rows) -> pd.DataFrame:
    """Return rows as a request has them."""
    names = {*(s.column for of in served.sources for s in of), *(c.column for c in served.columns)}
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
