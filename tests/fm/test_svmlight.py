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
    with pytest.raises(ValueError, match=r"broken.svm"):
        read_svmlight(path)
    path.write_text("5 7:1\n")
    with pytest.raises(ValueError, match=r"broken.svm"):
        read_svmlight(path, n_features=3)


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="should be the same, got 3 and 1"):
        write_svmlight(tmp_path / "rows.svm", np.eye(3), [1.0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nan 0:1", "a target contains NaN"),
        ("inf 0:1", "a target contains NaN or inf"),
        ("1 0:nan", "a value contains NaN"),
        ("1 0:1e300", r"a value has the number 1e\+300 .* lie within"),
        ("1 2147483648:1", "columns must be"),
        ("1 99999999999999999999:1", "columns must be"),
        ("1 -3:1", "index -3"),
        ("1 3:1 2:1", "sorted|order"),
        ("one 0:1", "one"),
        ("1 0:1:1", "0:1:1|1:1|convert"),
    ],
)
def test_the_first_bad_line_is_named(line, reason, tmp_path):
    path = tmp_path / "rows.svm"
    path.write_text("\n".join(["1 0:1"] * 6 + [line] + ["2 1:1", line]) + "\n")
    with pytest.raises(ValueError, match=f"rows.svm, line 7: .*({reason})"):
        read_svmlight(path)
    with pytest.raises(ValueError, match=r"rows.svm, line 7: "):
        list(read_svmlight(path, n_features=5, chunk_rows=4))


def test_chunks_are_the_file(tmp_path):
    path, rng = tmp_path / "rows.svm", np.random.default_rng(0)
    X, y = sparse.random_array((25, 6), density=0.4, rng=rng, format="csr"), rng.normal(size=25)
    write_svmlight(path, X, y)
    path.write_text("# a comment\n" * 12 + path.read_text())
    parts = list(read_svmlight(path, n_features=6, chunk_rows=10))
    assert [len(part[1]) for part in parts] == [8, 10, 7]
    np.testing.assert_allclose(sparse.vstack([X for X, _ in parts]).toarray(), X.toarray())
    np.testing.assert_allclose(np.concatenate([y for _, y in parts]), y)
    with pytest.raises(ValueError, match="chunks need n_features"):
        read_svmlight(path, chunk_rows=10)
