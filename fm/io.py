"""Fitted estimators in one file: an `.npz` of plain arrays, one of which is a JSON header.

Nothing is pickled, so a file can be read without trusting whoever wrote it, and by any program that reads
`.npz`. Kept is what predicts, and the learning curve; the solver's state is not: a loaded estimator predicts
the same to the last bit, and a further `fit` starts anew even with `warm_start`.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fm.base import FactorizationMachine
from fm.draws import Draws
from fm.estimators import FMClassifier, FMOrdinal, FMRegressor
from fm.model import Coefficients

FORMAT = "fm"
VERSION = 1
ESTIMATORS = {cls.__name__: cls for cls in (FMRegressor, FMClassifier, FMOrdinal)}
MACHINES = {cls.__name__: cls for cls in (Coefficients, Draws)}
IN_HEADER = ("n_features_in_", "blocks_", "n_iter_")
OF_ARRAYS = ("history_", "trace_")


def save(estimator: FactorizationMachine, path: str | os.PathLike) -> None:
    """Write a fitted estimator to `path`, all of it or nothing.

    Of the hyperparameters, `callback` and a `random_state` that is not a number become None.
    Raises NotFittedError, or TypeError if the labels of a classifier are neither numbers nor strings.
    """
    check_is_fitted(estimator, "machine_")
    params = estimator.get_params(deep=False) | {"callback": None}
    if not isinstance(params["random_state"], Integral):
        params["random_state"] = None
    header = {
        "format": FORMAT,
        "version": VERSION,
        "estimator": type(estimator).__name__,
        "params": params,
        "machine": type(estimator.machine_).__name__,
        **{name: getattr(estimator, name) for name in IN_HEADER},
    }
    arrays = {"header": np.array(json.dumps(header, default=lambda value: value.tolist()))}
    arrays |= _named("machine_", estimator.machine_._asdict())
    for name in OF_ARRAYS:
        arrays |= _named(name, getattr(estimator, name, {}))
    if hasattr(estimator, "classes_"):
        arrays["classes_"] = _plain_labels(estimator.classes_)
    with written_aside(path) as file:
        np.savez(file, **arrays)


def load(path: str | os.PathLike) -> FactorizationMachine:
    """The estimator that `save` wrote; ValueError if the file is something else or of a later version."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(arrays.pop("header").item())
        version = header["version"] if header["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{os.fspath(path)} was not written by fm.save, or is damaged") from error
    if version != VERSION:
        raise ValueError(
            f"{os.fspath(path)} has format {header['format']} {version}, known is {FORMAT} {VERSION}"
        )
    estimator = ESTIMATORS[header["estimator"]](**header["params"])
    for name in IN_HEADER:
        setattr(estimator, name, header[name])
    if estimator.blocks_ is not None:
        estimator.blocks_ = [tuple(block) for block in estimator.blocks_]
    estimator.machine_ = MACHINES[header["machine"]](**_with_prefix("machine_", arrays))
    for name in OF_ARRAYS:
        setattr(estimator, name, _with_prefix(name, arrays))
    if "classes_" in arrays:
        estimator.classes_ = arrays["classes_"]
    return estimator


def _named(prefix: str, arrays: dict[str, object]) -> dict[str, np.ndarray]:
    return {
        f"{prefix}/{name}": np.asarray(array) for name, array in arrays.items() if array is not None
    }


def _with_prefix(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(f"{prefix}/"): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _plain_labels(labels: np.ndarray) -> np.ndarray:
    """Labels as numbers or strings that keep their type without pickling."""
    if labels.dtype != object:
        return labels
    if all(isinstance(label, str) for label in labels):
        return labels.astype(np.str_)
    raise TypeError(f"labels must be numbers or strings to be saved, got {labels}")


@contextmanager
def written_aside(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A new file beside `path`, which replaces it when the body ends well and vanishes when it does not."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with open(aside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a loss of power, where the system can (Windows cannot)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
