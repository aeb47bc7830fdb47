"""libFM's text format."""

import numpy as np
import pytest
from scipy import sparse

from fm import read_svmlight, write_svmlight
from tests.fm.data import random_design


def test_reads_libfm_text(tmp_path):
    path = tmp_path / "train.libfm"
    path.write_text("5 0:1 3:1\n-1.5 2:0.25 # a comment\n\n3\n")
    X, y = read_svmlight(path)
    np.testing.assert_array_equal(X.toarray(), [[1, 0, 0, 1], [0, 0, 0.25, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(y, [5, -1.5, 3])
    assert read_svmlight(path, n_features=9)[0].shape == (3, 9)


def test_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    design = random_design(rng)
    y = rng.normal(size=len(design))
    for X in (design, design.to_csr(), design.to_csr().toarray()):
        write_svmlight(tmp_path / "rows.svm", X, y)
        again, y_again = read_svmlight(tmp_path / "rows.svm", X.shape[1])
        np.testing.assert_allclose(again.toarray(), design.to_csr().toarray(), rtol=1e-15)
        np.testing.assert_allclose(y_again, y, rtol=1e-15)
    assert isinstance(again, sparse.csr_array)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "broken.svm"
    path.write_text("5 one:1\n")
    with pytest.raises(ValueError, match="broken.svm"):
        read_svmlight(path)
    path.write_text("5 7:1\n")
    with pytest.raises(ValueError, match="broken.svm"):
        read_svmlight(path, n_features=3)


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="should be the same, got 3 and 1"):
        write_svmlight(tmp_path / "rows.svm", np.eye(3), [1.0])
    assert list(tmp_path.iterdir()) == []
