"""The text format of libFM, svmlight and libsvm: a line a row, `target column:value ...`.

Columns are numbered from 0, as libFM does. Scikit-learn does the parsing, imported only when
needed: its data sets would double the time that `import fm` takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from itertools import count, islice
from typing import overload

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from fm.arrays import FloatArray
from fm.design import Design
from fm.io import FilePath, written_aside
from fm.validation import check_finite, check_integer

XY = tuple[sparse.csr_array, FloatArray]
"""X (n_rows, n_features) and y (n_rows,)."""


@overload
def read_svmlight(path: FilePath, n_features: int | None = ...) -> XY: ...
@overload
def read_svmlight(
    path: FilePath, n_features: int | None = ..., *, chunk_rows: int
) -> Iterator[XY]: ...
def read_svmlight(
    path: FilePath, n_features: int | None = None, *, chunk_rows: int | None = None
) -> XY | Iterator[XY]:
    r"""Read a file, whole or in chunks.

    Parameters
    ----------
    path : str or path
        The file, UTF-8 text.
    n_features : int, optional
        Number of columns; by default as many as occur. Give the training matrix's when reading a
        test file. Chunks need it.
    chunk_rows : int, optional
        Return an iterator of chunks of so many lines, to fit a file larger than memory by
        `partial_fit`.

    Returns
    -------
    X : csr_array (n_rows, n_features)
    y : (n_rows,) float64
        Or an iterator of such pairs.

    Raises
    ------
    ValueError
        The message names the file and the first line that cannot be read, has a number that is not
        finite or above 1e150, or a column of 2^31 or more.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "rows.svm")
    >>> _ = path.write_text("5 0:1 3:1\n3 2:0.5\n4 0:1\n")
    >>> X, y = read_svmlight(path)
    >>> X.shape, y.tolist()
    ((3, 4), [5.0, 3.0, 4.0])
    >>> [len(y) for X, y in read_svmlight(path, n_features=4, chunk_rows=2)]
    [2, 1]
    """
    if chunk_rows is not None:
        check_integer("chunk_rows", chunk_rows, low=1)
        if n_features is None:
            raise ValueError("chunks need n_features: each has only some of the columns")
        return _chunks(path, n_features, chunk_rows)
    with open(path, "rb") as file:
        return _parsed(path, file.read().splitlines(keepends=True), n_features, 1)


def write_svmlight(path: FilePath, X: Design | ArrayLike | sparse.sparray, y: ArrayLike) -> None:
    """Write rows, all of them or no file; values get 16 significant digits, zeros are left out."""
    from sklearn.datasets import dump_svmlight_file

    X = X.to_csr() if isinstance(X, Design) else sparse.csr_array(X)
    indices = X.indices.astype(np.int32), X.indptr.astype(np.int32)  # all that scikit-learn takes
    with written_aside(path) as file:
        dump_svmlight_file(
            sparse.csr_array((X.data, *indices), shape=X.shape), y, file, zero_based=True
        )


def _chunks(path: FilePath, n_features: int, chunk_rows: int) -> Iterator[XY]:
    with open(path, "rb") as file:
        for first in count(1, chunk_rows):
            lines = list(islice(file, chunk_rows))
            if not lines:
                return
            chunk = _parsed(path, lines, n_features, first)
            if len(chunk[1]):
                yield chunk


def _parsed(path: FilePath, lines: list[bytes], n_features: int | None, first: int) -> XY:
    """Return the rows of `lines`, the first of which is line `first` of the file."""
    from sklearn.datasets import load_svmlight_file

    if not any(line.partition(b"#")[0].strip() for line in lines):
        return sparse.csr_array((0, n_features or 0)), np.empty(0)
    try:
        X, y = load_svmlight_file(BytesIO(b"".join(lines)), n_features=n_features, zero_based=True)
        check_finite("a target", y)
        check_finite("a value", X.data)
        if X.indices.size and X.indices.min() < 0:
            raise ValueError("columns must be from 0 to 2^31 - 1")
    except (ValueError, OverflowError) as error:
        if half := len(lines) // 2:  # one of these raises
            _parsed(path, lines[:half], n_features, first)
            _parsed(path, lines[half:], n_features, first + half)
        reason = "columns must be below 2^31" if isinstance(error, OverflowError) else str(error)
        raise ValueError(f"{os.fspath(path)}, line {first}: {reason[:200]}") from error
    return sparse.csr_array(X), y
