"""Predictions from raw ids: a fitted machine and the labels of its levels, in one folder.

    model.npz     the estimator, by `fm.save`
    blocks.npz    of each block: a table's column, its unit, the labels, the side features

Nothing is pickled. Any program reads it with `load`; MLflow serves it, this module being the
`loader_module` of its pyfunc flavor.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from fm.arrays import AnyArray
from fm.base import FactorizationMachine
from fm.classifier import FMClassifier
from fm.design import UNKNOWN, Block, Design
from fm.io import load as load_estimator
from fm.io import read_arrays, written_aside
from fm.io import save as save_estimator
from fm.tables import level_numbers
from fm.validation import check_X

MODEL, BLOCKS = "model.npz", "blocks.npz"


@dataclass(frozen=True)
class Source:
    """A block's level is the label that equals `column`, in whole multiples of `unit`."""

    column: str
    unit: int = 1


@dataclass(frozen=True)
class Served:
    """A model with the blocks that it was fitted on, of any rows; each has labels and a source."""

    model: FactorizationMachine
    blocks: Sequence[Block]
    sources: Sequence[Source]

    def predict(
        self, table: Mapping[str, ArrayLike], params: Mapping[str, Any] | None = None
    ) -> AnyArray:
        """Return what the model predicts of each row of `table`, which has the sources' columns.

        Of two classes that is the probability of the second. An id that was not known when the
        model was fitted carries no information. `params` is there for MLflow and unused.
        """
        blocks = [
            Block(
                b.name,
                level_numbers(_labels(b), table[s.column], s.unit),
                b.n_levels,
                b.side_features,
                linear=b.linear,
            )
            for b, s in zip(self.blocks, self.sources, strict=True)
        ]
        X = Design(tuple(blocks))
        if isinstance(self.model, FMClassifier) and len(self.model.classes_) == 2:
            return self.model.predict_proba(X)[:, 1]
        return self.model.predict(X)


def save(served: Served, folder: str | os.PathLike[str]) -> None:
    """Write `served` to `folder`, which exists."""
    save_estimator(served.model, Path(folder, MODEL))
    arrays: dict[str, AnyArray] = {}
    for b, (block, source) in enumerate(zip(served.blocks, served.sources, strict=True)):
        about = {
            "name": block.name,
            "column": source.column,
            "unit": source.unit,
            "linear": block.linear,
        }
        arrays |= {f"{b}/{key}": np.array(value) for key, value in about.items()}
        labels = _labels(block)
        arrays[f"{b}/labels"] = labels.astype(np.str_) if labels.dtype == object else labels
        if block.side_features is not None:
            arrays |= {
                f"{b}/side/{part}": getattr(block.side_features, part)
                for part in ("data", "indices", "indptr")
            }
            arrays[f"{b}/side/shape"] = np.array(block.side_features.shape)
    with written_aside(Path(folder, BLOCKS)) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(folder: str | os.PathLike[str]) -> Served:
    """Return what `save` wrote.

    Raises
    ------
    ValueError
        A file is damaged, or the two do not belong together.
    """
    path = Path(folder, BLOCKS)
    model, arrays = load_estimator(Path(folder, MODEL)), read_arrays(path)
    try:
        n_blocks = len([name for name in arrays if name.endswith("/name")])
        blocks, sources = zip(*(_block(arrays, b) for b in range(n_blocks)), strict=True)
        check_X(model, Design(blocks))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path} is damaged: {str(error)[:200]}") from error
    return Served(model, blocks, sources)


def _block(arrays: Mapping[str, AnyArray], b: int) -> tuple[Block, Source]:
    side = None
    if f"{b}/side/data" in arrays:
        parts = tuple(arrays[f"{b}/side/{part}"] for part in ("data", "indices", "indptr"))
        side = sparse.csr_array(parts, shape=tuple(arrays[f"{b}/side/shape"]))
        side.check_format()
    labels = arrays[f"{b}/labels"]
    name, column = (str(arrays[f"{b}/{key}"].item()) for key in ("name", "column"))
    unit, linear = int(arrays[f"{b}/unit"].item()), bool(arrays[f"{b}/linear"].item())
    row = np.array([UNKNOWN])
    return Block(name, row, len(labels), side, labels=labels, linear=linear), Source(column, unit)


_load_pyfunc = load


def _labels(block: Block) -> AnyArray:
    if block.labels is None:
        raise ValueError(f"block {block.name!r} has no labels to recognize its levels by")
    return np.asarray(block.labels)
