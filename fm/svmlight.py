"""The text format of libFM, svmlight and libsvm: a row per line, `target column:value column:value ...`.

Columns are numbered from 0, as libFM does. Scikit-learn does the parsing, imported only when asked: its data
sets would double the time that `import fm` takes.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from fm.design import Design
from fm.io import written_aside


def read_svmlight(
    path: str | os.PathLike, n_features: int | None = None
) -> tuple[sparse.csr_array, NDArray[np.float64]]:
    """X (n_rows, n_features) and y; `n_features` None: as many as occur.

    Give it the training matrix's number of columns when reading a test file. ValueError names the file that
    could not be read.
    """
    from sklearn.datasets import load_svmlight_file

    try:
        X, y = load_svmlight_file(os.fspath(path), n_features=n_features, zero_based=True)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    return sparse.csr_array(X), y


def write_svmlight(
    path: str | os.PathLike, X: Design | ArrayLike | sparse.sparray, y: ArrayLike
) -> None:
    """Values are written with 16 significant digits; zeros are not."""
    from sklearn.datasets import dump_svmlight_file

    X = X.to_csr() if isinstance(X, Design) else sparse.csr_array(X)
    int32 = (
        X.data,
        X.indices.astype(np.int32),
        X.indptr.astype(np.int32),
    )  # all that scikit-learn takes
    with written_aside(path) as file:
        dump_svmlight_file(sparse.csr_array(int32, shape=X.shape), y, file, zero_based=True)
