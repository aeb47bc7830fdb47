"""Fitted estimators in one file: an `.npz` of plain arrays, one of which is a JSON header.

Nothing is pickled, so a file can be read without trusting whoever wrote it, and by any program that
reads `.npz`; a digest of the arrays says whether it is as it was written. It holds what predicts,
and the learning curve, but not the solver's state: a loaded estimator predicts the same to the last
bit, and a further `fit` starts anew even with `warm_start`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
from numpy.lib import format as npy
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from fm.arrays import AnyArray
from fm.base import FactorizationMachine
from fm.classifier import FMClassifier, FMOrdinal
from fm.model import Coefficients, Draws
from fm.ranker import FMRanker
from fm.regressor import FMRegressor
from fm.tables import Column

FORMAT = "fm"
VERSION = 2
ESTIMATORS = {cls.__name__: cls for cls in (FMRegressor, FMClassifier, FMOrdinal, FMRanker)}
IN_HEADER = ("n_features_in_", "blocks_", "n_iter_")
CURVES = ("history_", "trace_")
OF_LABELS = ("classes_", "feature_names_in_")

FilePath = str | os.PathLike[str]

Tree = dict[str, Any]
"""Arrays, numbers and strings by name, and trees and lists of them."""


def save(estimator: FactorizationMachine, path: FilePath) -> None:
    """Write a fitted estimator to `path`, all of it or nothing.

    Of the hyperparameters, `callback` and a `random_state` that is not a number become None.

    Raises
    ------
    NotFittedError
        The estimator has not been fitted.
    TypeError
        The labels of a classifier are neither numbers nor strings.
    """
    write_arrays(path, to_tree(estimator))


def load(path: FilePath) -> FactorizationMachine:
    """Return the estimator that `save` wrote.

    Raises
    ------
    ValueError
        The file is something else, damaged, or of another version. Nothing larger than the file is
        allocated to discover that.
    """
    tree = read_arrays(path)
    try:
        return from_tree(tree)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} cannot be loaded: {str(error)[:200]}") from error


def to_tree(estimator: FactorizationMachine) -> Tree:
    """Return all that `save` writes of an estimator, its machines' included."""
    check_is_fitted(estimator)
    params = estimator.get_params(deep=False) | {"callback": None}
    if not isinstance(params["random_state"], Integral):
        params["random_state"] = None
    if isinstance(params.get("class_weight"), dict):
        params["class_weight"] = {str(c): float(w) for c, w in params["class_weight"].items()}
    columns: list[Column] = estimator.table_ or []
    header = {
        "format": FORMAT,
        "version": VERSION,
        "estimator": type(estimator).__name__,
        "params": params,
        "table_": [(column.name, column.kind) for column in columns],
        **{name: getattr(estimator, name) for name in IN_HEADER},
    }
    tree: Tree = {name: getattr(estimator, name, None) for name in CURVES + OF_LABELS}
    tree["header"] = json.dumps(header, default=lambda value: value.tolist())
    tree["table_"] = [column.labels for column in columns]
    machines = getattr(estimator, "estimators_", None)
    if machines is None:
        return tree | {"machine_": estimator.machine_._asdict()}
    return tree | {"machines": [to_tree(machine) for machine in machines]}


def from_tree(tree: Tree) -> FactorizationMachine:
    """Return the estimator of what `to_tree` returned."""
    header = json.loads(tree["header"])
    if (header["format"], header["version"]) != (FORMAT, VERSION):
        raise ValueError(
            f"it has format {str(header['format'])[:80]} {str(header['version'])[:80]}, this "
            f"version reads {FORMAT} {VERSION}"
        )
    estimator: FactorizationMachine = ESTIMATORS[header["estimator"]](**header["params"])
    for name in IN_HEADER:
        setattr(estimator, name, header[name])
    for name in CURVES:
        setattr(estimator, name, tree.get(name, {}))
    for name in tree.keys() & OF_LABELS:
        setattr(estimator, name, tree[name])
    if hasattr(estimator, "feature_names_in_"):
        estimator.feature_names_in_ = estimator.feature_names_in_.astype(object)
    if estimator.blocks_ is not None:
        estimator.blocks_ = [tuple(block) for block in estimator.blocks_]
    described = zip(header["table_"], tree.get("table_", []), strict=True)
    estimator.table_ = [Column(name, kind, labels) for (name, kind), labels in described] or None
    if "machines" in tree:
        estimator.estimators_ = [from_tree(machine) for machine in tree["machines"]]
    else:
        kind = Draws if estimator.solver == "gibbs" else Coefficients
        estimator.machine_ = kind(**tree["machine_"])
    if isinstance(estimator, FMClassifier) and isinstance(estimator.class_weight, dict):
        labels_of = {str(label): label for label in estimator.classes_.tolist()}
        weights = estimator.class_weight.items()
        estimator.class_weight = {labels_of.get(c, c): weight for c, weight in weights}
    return estimator


def write_arrays(path: FilePath, tree: Mapping[str, Any]) -> None:
    """Write a tree to an `.npz` file, in which arrays have their paths in the tree as names."""
    arrays = _flat(tree)
    with written_aside(path) as file:
        np.savez(file, allow_pickle=False, **arrays, digest=np.array(_digest(arrays)))


def read_arrays(path: FilePath) -> Tree:
    """Return the tree that `write_arrays` wrote; ValueError for another kind of file.

    Members must be stored, not compressed, and declare exactly the bytes that they have: the arrays
    together are never larger than the file.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if sum(member.file_size for member in members) > size:
                    raise ValueError("members are larger than the file")
                arrays = {m.filename.removesuffix(".npy"): _read(archive, m) for m in members}
                if arrays.pop("digest").item() != _digest(arrays):
                    raise ValueError("arrays differ from those that were written")
                return _nested(arrays)
        except Exception as error:  # damaged zip files raise whatever the damage leads to
            raise ValueError(
                f"{os.fspath(path)} was not written by fm.save, or is damaged, or of another "
                "version of fm"
            ) from error


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, AnyArray]:
    arrays: dict[str, AnyArray] = {}
    for name, value in tree.items():
        if sparse.issparse(value):
            value = {part: getattr(value, part) for part in ("data", "indices", "indptr", "shape")}
        elif isinstance(value, list):
            value = {str(number): part for number, part in enumerate(value)}
        if isinstance(value, Mapping):
            arrays |= _flat(value, f"{prefix}{name}/")
        elif value is not None:
            arrays[prefix + name] = _plain(np.asarray(value))
    return arrays


def _nested(arrays: Mapping[str, AnyArray]) -> Tree:
    tree: Tree = {}
    for path, values in arrays.items():
        *above, name = path.split("/")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[name] = values if values.ndim else values.item()
    return {name: _rebuilt(part) for name, part in tree.items()}


def _rebuilt(part: Any) -> Any:
    """Return a part of a tree with its lists and sparse matrices."""
    if not isinstance(part, dict):
        return part
    if "indptr" in part:
        return sparse.csr_array(
            tuple(part[name] for name in ("data", "indices", "indptr")), shape=tuple(part["shape"])
        )
    if "0" in part:
        return [_rebuilt(part[str(number)]) for number in range(len(part))]
    return {name: _rebuilt(below) for name, below in part.items()}


def _plain(values: AnyArray) -> AnyArray:
    """Return labels as numbers or strings that keep their type without pickling."""
    if values.dtype != object:
        return values
    if all(isinstance(label, str) for label in values):
        return values.astype(np.str_)
    raise TypeError(f"labels must be numbers or strings to be saved, got {str(values)[:80]}")


def _digest(arrays: Mapping[str, AnyArray]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes."""
    whole = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        whole.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        if values.nbytes:
            whole.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return whole.hexdigest()


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> AnyArray:
    if member.compress_type != zipfile.ZIP_STORED or not member.filename.endswith(".npy"):
        raise ValueError(f"{member.filename} is not a stored array")
    with archive.open(member) as file:
        major, _ = npy.read_magic(file)
        read_header = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}[major]
        shape, fortran, dtype = read_header(file)
        content = file.read()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{member.filename} does not have the size that it declares")
    flat: AnyArray = np.frombuffer(bytearray(content), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


@contextmanager
def written_aside(path: FilePath) -> Iterator[BinaryIO]:
    """Open a file beside `path` that replaces it if the body ends well, and else vanishes."""
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
