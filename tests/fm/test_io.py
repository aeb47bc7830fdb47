"""Saving and loading: same predictions to the last bit, whole files only, nothing pickled."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fm import FMClassifier, FMOrdinal, FMRegressor, load, save
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


def test_what_json_cannot_hold_becomes_none_and_arrays_become_lists(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30.0)
    model = FMRegressor(
        n_iter=np.int64(4),
        groups=np.array([0, 0, 1]),
        callback=lambda epoch, model: None,
        random_state=np.random.default_rng(0),
    )
    save(model.fit(X, y), tmp_path / "machine.npz")
    params = load(tmp_path / "machine.npz").get_params()
    assert (params["callback"], params["random_state"], params["groups"], params["n_iter"]) == (
        None,
        None,
        [0, 0, 1],
        4,
    )


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


def test_later_versions_are_refused(tmp_path):
    np.savez(tmp_path / "later.npz", header=np.array(json.dumps({"format": "fm", "version": 99})))
    with pytest.raises(ValueError, match=r"later.npz has format fm 99, known is fm 1"):
        load(tmp_path / "later.npz")
