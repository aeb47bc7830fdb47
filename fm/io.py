"""Fitted estimators in one file: an `.npz` of plain arrays, one of which is a JSON header.

Nothing is pickled, so a file can be read without trusting whoever wrote it, and by any program that
reads `.npz`. It holds what predicts, and the learning curve, but not the solver's state: a loaded
estimator predicts the same to the last bit, and a further `fit` starts anew even with `warm_start`.
"""

from __future__ import annotations

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
from fm.model import Coefficients
from fm.posterior import Draws
from fm.ranker import FMRanker
from fm.regressor import FMRegressor
from fm.tables import KINDS, Column
from fm.validation import NUMERIC, check_hyperparameters, names_of_fields

FORMAT = "fm"
VERSION = 1
ESTIMATORS = {cls.__name__: cls for cls in (FMRegressor, FMClassifier, FMOrdinal, FMRanker)}
IN_HEADER = ("n_features_in_", "blocks_", "n_iter_")
CURVES = ("history_", "trace_")
OF_LABELS = ("classes_", "feature_names_in_")
LINEAR = " (linear)"

Tree = dict[str, Any]
"""Arrays, and trees of them, by name."""


def save(estimator: FactorizationMachine, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to `path`, all of it or nothing.

    Of the hyperparameters, `callback` and a `random_state` that is not a number become None.

    Raises
    ------
    NotFittedError
        The estimator has not been fitted.
    TypeError
        The labels of a classifier are neither numbers nor strings.
    """
    check_is_fitted(estimator)
    header, tree = _content(estimator)
    header |= {"format": FORMAT, "version": VERSION}
    tree["header"] = json.dumps(header, default=lambda value: value.tolist())
    write_arrays(path, tree)


def _content(estimator: FactorizationMachine) -> tuple[Tree, Tree]:
    """Return the header and the arrays of an estimator, its machines' included."""
    params = estimator.get_params(deep=False) | {"callback": None}
    if not isinstance(params["random_state"], Integral):
        params["random_state"] = None
    if isinstance(params.get("class_weight"), dict):
        params["class_weight"] = {str(c): float(w) for c, w in params["class_weight"].items()}
    columns: list[Column] = estimator.table_ or []
    header: Tree = {
        "estimator": type(estimator).__name__,
        "params": params,
        "table_": [(column.name, column.kind) for column in columns],
        **{name: getattr(estimator, name) for name in IN_HEADER},
    }
    tree: Tree = {name: getattr(estimator, name, None) for name in CURVES + OF_LABELS}
    tree["table_"] = [column.labels for column in columns]
    machines = getattr(estimator, "estimators_", None)
    if machines is None:
        return header, tree | {"machine_": estimator.machine_._asdict()}
    header["machines"], of_classes = zip(*map(_content, machines), strict=True)
    return header, tree | {f"class{c}": more for c, more in enumerate(of_classes)}


def load(path: str | os.PathLike[str]) -> FactorizationMachine:
    """Return the estimator that `save` wrote.

    Raises
    ------
    ValueError
        The file is something else, damaged, inconsistent, or of a later version. Nothing larger
        than the file is allocated to discover that.
    """
    name = os.fspath(path)
    tree = read_arrays(path)
    try:
        header = json.loads(tree.pop("header").item(), parse_constant=_no_constant)
        version = header["version"] if header["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{name} was not written by fm.save, or is damaged") from error
    if version != VERSION:
        raise ValueError(
            f"{name} has format {str(header['format'])[:80]} {str(version)[:80]}, "
            f"this version reads {FORMAT} {VERSION}"
        )
    try:
        return _restored(header, tree)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{name} is damaged: {str(error)[:200]}") from error


def write_arrays(path: str | os.PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write a tree of arrays to an `.npz` file, which has their paths in the tree as names."""
    with written_aside(path) as file:
        np.savez(file, allow_pickle=False, **_flat(tree))


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


def _plain(values: AnyArray) -> AnyArray:
    """Return labels as numbers or strings that keep their type without pickling."""
    if values.dtype != object:
        return values
    if all(isinstance(label, str) for label in values):
        return values.astype(np.str_)
    raise TypeError(f"labels must be numbers or strings to be saved, got {str(values)[:80]}")


def read_arrays(path: str | os.PathLike[str]) -> Tree:
    """Return the tree of arrays that `write_arrays` wrote; ValueError for another kind of file.

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
                tree: Tree = {}
                for member in members:
                    *above, name = member.filename.removesuffix(".npy").split("/")
                    node = tree
                    for part in above:
                        node = node.setdefault(part, {})
                    node[name] = _read_array(archive, member)
                return tree
        except Exception as error:  # damaged zip files raise whatever the damage leads to
            raise ValueError(
                f"{os.fspath(path)} was not written by fm.save, or is damaged"
            ) from error


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> AnyArray:
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


def _restored(header: Tree, tree: Tree) -> FactorizationMachine:
    """Return the estimator of a file's header and arrays, which must agree with each other."""
    estimator: FactorizationMachine = ESTIMATORS[header["estimator"]](**header["params"])
    check_hyperparameters(estimator)
    for name in IN_HEADER:
        setattr(estimator, name, header[name])
    for name in CURVES:
        setattr(estimator, name, tree.pop(name, {}))
        for values in getattr(estimator, name).values():
            _require(values.dtype.kind == "f" and values.ndim >= 1, name)
    for name in OF_LABELS:
        if name in tree:
            setattr(estimator, name, tree.pop(name))
    labels, described = tree.pop("table_", {}), header["table_"]
    columns = [Column(name, kind, labels.pop(str(c))) for c, (name, kind) in enumerate(described)]
    _require(not labels and all(c.kind in KINDS and c.labels.ndim == 1 for c in columns), "table_")
    estimator.table_ = columns or None
    _check_columns(estimator)
    _check_classes(estimator)
    if "machines" in header:
        machines = [_restored(h, tree.pop(f"class{c}")) for c, h in enumerate(header["machines"])]
        _restore_machines(estimator, machines)
    else:
        fields = tree.pop("machine_")
        kind = Draws if estimator.solver == "gibbs" else Coefficients
        estimator.machine_ = kind(**fields)
        _check_machine(fields, estimator)
    _require(not tree, f"{sorted(tree)[:1]}")
    if isinstance(estimator, FMClassifier) and isinstance(estimator.class_weight, dict):
        labels_of = {str(label): label for label in estimator.classes_.tolist()}
        weights = estimator.class_weight.items()
        estimator.class_weight = {labels_of.get(c, c): weight for c, weight in weights}
    return estimator


def _restore_machines(
    estimator: FactorizationMachine, machines: list[FactorizationMachine]
) -> None:
    """Give an estimator its machines of more than two classes."""
    if not isinstance(estimator, FMClassifier):
        raise ValueError("only classes have machines of their own")
    for machine in machines:
        _require(type(machine) is FMClassifier and hasattr(machine, "machine_"), "machine")
        _require(_width(machine) == _width(estimator), "machine")
    _require(len(machines) == len(estimator.classes_) > 2, "machine")
    estimator.estimators_ = machines


def _width(estimator: FactorizationMachine) -> int:
    """Return the number of features, those of a table's columns together."""
    columns = estimator.table_
    return estimator.n_features_in_ if columns is None else sum(c.n_features for c in columns)


def _check_columns(estimator: FactorizationMachine) -> None:
    n_features, columns = estimator.n_features_in_, estimator.table_
    _require(type(n_features) is int and n_features > 0, "n_features_in_")
    _require(columns is None or len(columns) == n_features, "table_")
    _require(type(estimator.n_iter_) is int and estimator.n_iter_ >= 0, "n_iter_")
    if estimator.blocks_ is not None:
        estimator.blocks_ = blocks = [(name, *sizes) for name, *sizes in estimator.blocks_]
        for block in blocks:
            _require(list(map(type, block)) == [str, int, int] and min(block[1:]) >= 0, "blocks_")
        _require(sum(b[1] + b[2] for b in blocks) == _width(estimator), "blocks_")
    if hasattr(estimator, "feature_names_in_"):
        names = estimator.feature_names_in_
        _require(names.shape == (n_features,) and names.dtype.kind == "U", "feature_names_in_")
        estimator.feature_names_in_ = names.astype(object)


def _check_machine(fields: Mapping[str, AnyArray], estimator: FactorizationMachine) -> None:
    """Check shapes, types and values of what predicts."""
    p, k, blocks = _width(estimator), estimator.k, estimator.blocks_ or []
    n_interacting = fields["V"].shape[-2]
    _require(n_interacting == p - sum(b[1] + b[2] for b in blocks if b[0].endswith(LINEAR)), "V")
    numeric = any(block[0].endswith(NUMERIC) for block in blocks)
    n_levels = {block[0].removesuffix(LINEAR): block[1] for block in blocks}
    noise_by = names_of_fields(getattr(estimator, "noise_by", None))
    shapes: dict[str, tuple[int, ...]] = {
        "w0": (),
        "w": (p,),
        "V": (n_interacting, k),
        "unknown": (0 if numeric else len(blocks), k + 1),
        "alpha": (),
        "cut_points": (len(estimator.classes_) - 1 if isinstance(estimator, FMOrdinal) else 0,),
        "noise": (sum(n_levels[name] + 1 for name in noise_by),),
    }
    draws = estimator.solver == "gibbs"
    first = (len(fields["w"]),) if draws else ()
    _require(first != (0,), "w")
    for name, values in fields.items():
        _require(values.shape == first + shapes[name], name)
        _require(values.dtype in (np.float64, np.float32), name)
        _require(bool(np.isfinite(values).all()), name)
    if draws:
        _require(bool(np.all(fields["alpha"] > 0)), "alpha")
        _require(bool(np.all(fields["noise"] > 0)), "noise")
        _require(bool(np.all(np.diff(fields["cut_points"], axis=1) >= 0)), "cut_points")


def _check_classes(estimator: FactorizationMachine) -> None:
    has_classes = isinstance(estimator, FMClassifier | FMOrdinal)
    _require(hasattr(estimator, "classes_") == has_classes, "classes_")
    if has_classes:
        classes, ordinal = estimator.classes_, isinstance(estimator, FMOrdinal)
        _require(classes.ndim == 1 and len(classes) >= 1 + (not ordinal), "classes_")
        ascending = bool(np.all(classes[1:] > classes[:-1]))
        ordered = ordinal and classes.dtype.kind == "U" and len(np.unique(classes)) == len(classes)
        _require(ascending or ordered, "classes_")
        _require(classes.dtype.kind != "f" or bool(np.isfinite(classes).all()), "classes_")


def _require(condition: bool, name: str) -> None:
    if not condition:
        raise ValueError(f"{name} does not fit the rest")


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


@contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
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
