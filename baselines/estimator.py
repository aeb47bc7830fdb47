"""What the baselines share: checks of parameters, X and y, and the frame of `fit` and `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from fm.design import Block, Design
from fm.validation import as_numbers, check_annotated, check_target, check_X

RandomState = int | np.random.Generator | None
Rows: TypeAlias = Design | NDArray[np.float64] | sparse.csr_array


class Machine(NamedTuple):
    """The factorization machine that a fitted model is: f(x) = w0 + <w, x> + the pairs' <v_i, v_j>.

    w0, w, V : a number, (n_features,), (n_interacting, k); V None for a model without factors.
    unknown : (n_blocks, k + 1), (w, v) of the unknown level of each block; None for zeros.
    combinations : what combinations of levels add, as (the blocks' positions, levels
        (n, n_positions), weights (n,)); those that are not there add nothing.
    """

    w0: float
    w: NDArray[np.float64]
    V: NDArray[np.float64] | None = None
    unknown: NDArray[np.float64] | None = None
    combinations: Sequence[tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.float64]]] = ()


class Estimator(BaseEstimator):
    """Base of the models, dataclasses whose parameters are checked by their annotations."""

    def check_params(self) -> None:
        """Raise ValueError or TypeError for the first parameter that is out of range."""
        check_annotated(self)


class Regressor(RegressorMixin, Estimator):
    """Base of regressions, by `_fit` and `_predict` of checked X and y.

    `fit` and `predict` raise TypeError or ValueError where X is no Design or DataFrame (unless a
    matrix will do), or has other columns than in `fit`, or y is not finite or of another length.
    """

    title: str
    _fields_only: ClassVar[bool] = True
    _takes_linear: ClassVar[bool] = True

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Fit to the rows of X, of which each has a y."""
        self.check_params()
        rows = self._checked(X, reset=True)
        if not self._takes_linear and (linear := [b.name for b in rows if b.linear]):
            raise ValueError(
                f"{self.title} gives every feature factors; blocks {linear} are to have none"
            )
        self._fit(rows, self._target(rows, y))
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(n_rows,)."""
        return self._predict(self._checked(X))

    def _checked(self, X: Any, *, reset: bool = False) -> Any:
        """Return X with the blocks or columns of `fit`, which this is if `reset`."""
        if not reset:
            check_is_fitted(self, "blocks_")
        rows = check_X(self, X, reset=reset)
        if self._fields_only and not isinstance(rows, Design):
            raise TypeError(
                f"{type(self).__name__} takes fields alone: X must be a fm.design.Design without "
                "numeric blocks, or a DataFrame of text and categories"
            )
        return rows

    def _target(self, X: Any, y: ArrayLike) -> NDArray[np.float64]:
        """Return y as `_fit` takes it."""
        return numbers(y, X)

    def _fit(self, X: Any, y: NDArray[np.float64]) -> None:
        raise NotImplementedError

    def _predict(self, X: Any) -> NDArray[np.float64]:
        raise NotImplementedError


class BinaryClassifier(ClassifierMixin):
    """Mixin of classifiers of two classes, `classes_`: they give the second's probability."""

    _labels: ClassVar[tuple[float, float]] = 0.0, 1.0
    """What the two classes are to `_fit`."""

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n_rows, 2), columns in the order of `classes_`."""
        p = self._probability(X)
        return np.column_stack([1 - p, p])

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(n_rows,) the more probable class."""
        return self.classes_[(self._probability(X) > 0.5).astype(np.intp)]

    def _probability(self, X: Any) -> NDArray[np.float64]:
        return self._predict(self._checked(X))

    def _target(self, X: Rows, y: ArrayLike) -> NDArray[np.float64]:
        """Set `classes_`, and return y as `_labels`; ValueError unless there are two."""
        self.classes_, codes = np.unique(numbers(y, X), return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(f"y must have two classes, got {len(self.classes_)}")
        return np.take(self._labels, codes)


def flat(rows: Rows) -> sparse.csr_array:
    """Return checked rows as float64 (n_rows, n_features)."""
    rows = rows.to_csr() if isinstance(rows, Design) else rows
    return sparse.csr_array(rows, dtype=np.float64)


def numbers(y: ArrayLike, X: Rows) -> NDArray[np.float64]:
    """Return y as float64 (n_rows,); ValueError unless it is finite and as long as X."""
    return as_numbers(check_target(y, X))


def n_interacting(X: Rows) -> int:
    """Return how many features, the first ones, are in pairs: all but those of linear blocks."""
    return X.n_interacting if isinstance(X, Design) else X.shape[1]


def group_sizes(X: Design) -> list[int]:
    """Return the columns of each group: of every block the levels, and its side features."""
    return [size for block in X for size in (block.n_levels, block.n_side_features) if size]


def n_seen_features(block: Block) -> int:
    """Count the levels that occur and the side features of those levels."""
    levels = np.unique(block.levels[block.levels >= 0])
    side = block.side_features
    return len(levels) + (0 if side is None else len(np.unique(side[levels].indices)))
