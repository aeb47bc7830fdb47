"""Rows of libFM text: one-hot groups become fields, other columns stay."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from bench.data import planted_clicks, svmlight_file
from bench.errors import UserError
from bench.features import build_design
from fm.svmlight import write_svmlight


def test_one_hot_groups_become_fields_again(tmp_path: Path) -> None:
    clicks = planted_clicks(n_rows=2000, n_fields=6, seed=1)
    X = build_design(clicks, ["all"], np.arange(2000))
    write_svmlight(tmp_path / "rows.svm", X, clicks.y)
    data = svmlight_file(tmp_path / "rows.svm")
    assert len(data.fields) == 6 and data.source.endswith("6 fields recognized")
    assert data.task == "binary" and np.array_equal(data.y, clicks.y)
    back = build_design(data, ["all"], np.arange(2000))
    assert [b.levels.tolist() for b in back] == [b.levels.tolist() for b in X]


def test_groups_are_found_in_any_order_of_the_columns(tmp_path: Path) -> None:
    """Fields are then named by their first column, and each row has the same levels together."""
    clicks = planted_clicks(n_rows=2000, n_fields=4, seed=1)
    X = build_design(clicks, ["all"], np.arange(2000)).to_csr()
    order = np.random.default_rng(0).permutation(X.shape[1])
    write_svmlight(tmp_path / "rows.svm", sparse.csr_array(X[:, order]), clicks.y)
    data = svmlight_file(tmp_path / "rows.svm")
    assert data.source.endswith(f"{len(data.fields)} fields recognized")
    assert 4 <= len(data.fields) <= 8
    back = build_design(data, ["all"], np.arange(2000)).to_csr()
    assert (back.sum(axis=1) == 4).all()
    assert len(np.unique(back.toarray(), axis=0)) == len(np.unique(X.toarray(), axis=0))


def test_a_row_without_a_column_of_a_group_misses_that_field(tmp_path: Path) -> None:
    (tmp_path / "rows.svm").write_text("1 0:1 3:1\n0 1:1\n1 1:1 2:1\n0 0:1 2:1\n")
    data = svmlight_file(tmp_path / "rows.svm")
    assert data.rows["field_2"].tolist() == [3, -1, 2, 2]


@pytest.mark.parametrize(
    "text", ["1 0:1 1:0.5\n0 0:1\n", "1 0:1 1:1 2:1 3:1\n0 0:1\n0 1:1\n1 2:1\n"]
)
def test_other_columns_stay_as_they_are(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.svm").write_text(text)
    data = svmlight_file(tmp_path / "rows.svm")
    assert data.fields == () and "columns" in data.bags
    X = build_design(data, ["ids"], np.arange(len(data)))
    assert isinstance(X, sparse.csr_array)
    assert np.array_equal(X.toarray(), data.bags["columns"].matrix.toarray())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0:nan\n", "line 1"),
        ("1 0:1\n1 0:1e300\n", "line 2"),
        ("1 3000000000:1\n", "2\\^31"),
        ("", "empty"),
        ("1 0:x\n", "line 1"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rows.svm").write_text(text)
    with pytest.raises(UserError, match=message):
        svmlight_file(tmp_path / "rows.svm")
