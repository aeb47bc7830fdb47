"""Saving and loading: same predictions to the last bit, whole files only, nothing pickled."""

import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fm import FMClassifier, FMOrdinal, FMRegressor, deployment, load, save
from fm.io import read_arrays, write_arrays, written_aside
from tests.fm.data import random_design

ESTIMATORS = [
    FMRegressor(solver="sgd", n_iter=10, random_state=1),
    FMRegressor(solver="als", n_iter=3, dtype="float32"),
    FMRegressor(n_iter=6),
    FMClassifier(solver="sgd", n_iter=3),
    FMClassifier(n_iter=6),
    FMOrdinal(n_iter=6, k=2),
]


@pytest.fixture(params=ESTIMATORS, ids=[f"{type(e).__name__}-{e.solver}" for e in ESTIMATORS])
def fitted(request):
    X = random_design(np.random.default_rng(0), 80)
    labels = ["bad", "good"] if isinstance(request.param, FMClassifier) else [1.0, 2.0, 4.5]
    y = np.resize(labels, 80)
    return clone(request.param).fit(X, y), X, y


def test_round_trip_is_bit_identical(fitted, tmp_path):
    estimator, X, _ = fitted
    save(estimator, tmp_path / "machine.npz")
    again = load(tmp_path / "machine.npz")
    assert type(again) is type(estimator) and again.get_params() == estimator.get_params()
    np.testing.assert_array_equal(again.predict(X), estimator.predict(X))
    if not isinstance(estimator, FMRegressor):
        np.testing.assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))
        np.testing.assert_array_equal(again.classes_, estimator.classes_)
    for name, values in estimator.history_.items():
        np.testing.assert_array_equal(again.history_[name], values)
    assert (again.n_iter_, again.n_features_in_, again.blocks_, again.n_parameters_) == (
        estimator.n_iter_,
        estimator.n_features_in_,
        estimator.blocks_,
        estimator.n_parameters_,
    )


def test_loaded_estimator_can_be_fitted_again(fitted, tmp_path):
    estimator, X, y = fitted
    save(estimator.set_params(warm_start=True, random_state=0), tmp_path / "machine.npz")
    again = load(tmp_path / "machine.npz").fit(X, y)
    np.testing.assert_array_equal(again.predict(X), clone(estimator).fit(X, y).predict(X))


def test_what_json_cannot_hold_becomes_none(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30.0)
    model = FMRegressor(
        n_iter=np.int64(4),
        callback=lambda epoch, model: None,
        random_state=np.random.default_rng(0),
    )
    save(model.fit(X, y), tmp_path / "machine.npz")
    params = load(tmp_path / "machine.npz").get_params()
    assert (params["callback"], params["random_state"], params["n_iter"]) == (None, None, 4)


def test_unfitted_estimator_is_refused(tmp_path):
    with pytest.raises(NotFittedError):
        save(FMRegressor(), tmp_path / "machine.npz")
    assert list(tmp_path.iterdir()) == []


def test_labels_that_need_pickling_are_refused(tmp_path):
    labels = np.array([None, ("a",)] * 10, dtype=object)
    model = FMClassifier(solver="sgd").fit(np.arange(20.0)[:, None], np.arange(20) % 2)
    model.classes_ = labels[:2]
    with pytest.raises(TypeError, match="labels must be numbers or strings"):
        save(model, tmp_path / "machine.npz")


def test_a_failed_save_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "machine.npz"
    model = FMRegressor(solver="sgd", n_iter=1).fit(np.eye(4), np.arange(4.0))
    save(model, path)
    before = path.read_bytes()

    def full_disk(file, **arrays):
        file.write(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr("fm.io.np.savez", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save(model, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 broken"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "machine.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"machine.npz was not written by fm.save"):
        load(path)


def test_arrays_without_header_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "arrays.npz", a=np.arange(3))
    np.savez(tmp_path / "pickle.npz", header=np.array([{"format": "fm"}], dtype=object))
    for name in ("arrays.npz", "pickle.npz"):
        with pytest.raises(ValueError, match=f"{name} was not written by fm.save"):
            load(tmp_path / name)


def test_other_versions_are_refused(tmp_path):
    write_arrays(tmp_path / "later.npz", {"header": json.dumps({"format": "fm", "version": 99})})
    with pytest.raises(ValueError, match=r"later.npz cannot.* fm 99, this version reads fm 2"):
        load(tmp_path / "later.npz")


def test_names_of_columns_survive(tmp_path):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["age", "price"])
    model = FMRegressor(solver="als").fit(X, X["age"])
    save(model, tmp_path / "machine.npz")
    again = load(tmp_path / "machine.npz")
    np.testing.assert_array_equal(again.feature_names_in_, ["age", "price"])
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_served_model_of_numbers_and_bags_alone_survives(tmp_path):
    table = {"price": [1.0, 3.0, 2.0, 5.0], "tags": [["a"], ["b", "a"], [], ["b"]]}
    columns = [
        deployment.Columns("price", None, 2.0, 0.5),
        deployment.Columns("tags", np.array(["a", "b"])),
    ]
    X = [[-2, 1, 0], [2, 1, 1], [0, 0, 0], [6, 0, 1]]
    model = FMRegressor(solver="als", k=1, l2=1.0, n_iter=3, random_state=0).fit(X, [1, 2, 3, 4])
    deployment.save(deployment.Served(model, [], [], columns), tmp_path)
    np.testing.assert_allclose(deployment.load(tmp_path).predict(table), model.predict(X))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("io") / "machine.npz"
    X = random_design(np.random.default_rng(0), 40)
    model = FMOrdinal(n_iter=4, k=2, random_state=0).fit(X, np.resize([1.0, 2.0, 4.5], 40))
    save(model, path)
    return path, X, model.predict(X)


@given(data=st.data())
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_files_are_refused_or_read_the_same(data, written, tmp_path_factory):
    path, X, prediction = written
    content = bytearray(path.read_bytes())
    match data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"])):
        case "flip":
            for _ in range(data.draw(st.integers(1, 4))):
                place = data.draw(st.integers(0, len(content) - 1))
                content[place] = data.draw(st.integers(0, 255))
        case "cut":
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        case "insert":
            place = data.draw(st.integers(0, len(content)))
            content[place:place] = data.draw(st.binary(min_size=1, max_size=40))
        case "repeat":
            content += content[: data.draw(st.integers(1, len(content)))]
    damaged = path.with_name("damaged.npz")
    damaged.write_bytes(content)
    try:
        again = load(damaged)
    except ValueError:
        return
    np.testing.assert_array_equal(again.predict(X), prediction)


CHANGES = [
    ("machine_/w", lambda a: np.full_like(a, np.nan)),
    ("machine_/w", lambda a: a.astype(np.float32)),
    ("machine_/w", lambda a: a.T),
    ("machine_/w", lambda a: None),
    ("machine_/extra", lambda a: np.zeros(3)),
    ("classes_", lambda a: a[::-1]),
    ("header", lambda a: np.array(a.item().replace('"k": 2', '"k": 3'))),
    ("digest", lambda a: None),
]


@pytest.mark.parametrize(("name", "change"), CHANGES)
def test_arrays_that_are_not_as_they_were_written_are_refused(name, change, written, tmp_path):
    with np.load(written[0]) as file:
        arrays = dict(file)
    arrays[name] = change(arrays.get(name))
    path = tmp_path / "other.npz"
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    with pytest.raises(ValueError, match=r"other.npz was not written by fm.save, or is damaged"):
        load(path)


def test_a_tree_of_another_kind_is_no_estimator(tmp_path):
    write_arrays(tmp_path / "tree.npz", {"parts": [np.eye(2), {"name": "a"}]})
    first, second = read_arrays(tmp_path / "tree.npz")["parts"]
    assert first.tolist() == [[1, 0], [0, 1]] and second == {"name": "a"}
    for read in (load, deployment.load):
        (tmp_path / "model.npz").write_bytes((tmp_path / "tree.npz").read_bytes())
        with pytest.raises(ValueError, match=r"tree.npz cannot be loaded|has no served model"):
            read(tmp_path if read is deployment.load else tmp_path / "tree.npz")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_files_that_unpack_to_more_than_they_are_cost_nothing(compression, tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open("w.npy", "w") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**28,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(2**24 if compression == zipfile.ZIP_DEFLATED else 100))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"bomb.npz was not written by fm.save"):
        load(path)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "machine.npz")


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """File, rename, folder: in this order a loss of power leaves the old file or the new one."""
    calls, replace = [], os.replace
    monkeypatch.setattr("os.fsync", lambda descriptor: calls.append("fsync"))
    monkeypatch.setattr("os.replace", lambda *a: (calls.append("rename"), replace(*a)))
    with written_aside(tmp_path / "file") as file:
        file.write(b"whole")
    assert calls == ["fsync", "rename", "fsync"] and (tmp_path / "file").read_bytes() == b"whole"
