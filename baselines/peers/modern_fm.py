"""modern-fm, FMs by stochastic gradients in Rust (https://pypi.org/project/modern-fm).

    fm     y(x) = w0 + <w, x> + sum_{i<j} <v_i, v_j> x_i x_j
    ffm    ... <v_i,field(j), v_j,field(i)> x_i x_j     field-aware (Juan et al., RecSys 2016)
    fwfm   ... r_field(i),field(j) <v_i, v_j> x_i x_j   field-weighted (Pan et al., WWW 2018)

A block's levels are a field, and so are its side features. It steps row by row by AdaGrad on one
thread, so that a seed says everything. What it can't do: linear blocks, and `fwfm` of ratings.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from baselines.inputs import BinaryClassifier, as_csr, check_design, check_target
from baselines.peers.installed import Package
from baselines.peers.myfm import group_shapes
from fm.design import Design
from fm.validation import check_choice, check_integer, check_number


class ModernFM(Package, RegressorMixin, BaseEstimator):
    """Regression by modern-fm.

    Parameters
    ----------
    kind : "fm" or "ffm"; of classes also "fwfm".
    k, learning_rate, l2, n_iter : factors (of "ffm" for each field), step, penalty, epochs.
    random_state : seed of the first factors and of the order of rows.

    Attributes
    ----------
    mean_ : of the training targets, which are given to modern-fm without it: it begins at 0.
    model_ : modern-fm's fitted model.
    n_parameters_ : numbers that it keeps.
    """

    package = "modern_fm"
    title = "modern-fm"
    _kinds: tuple[str, ...] = ("fm", "ffm")
    _suffix = "Regressor"

    def __init__(
        self,
        kind: str = "fm",
        *,
        k: int = 8,
        learning_rate: float = 0.05,
        l2: float = 1e-5,
        n_iter: int = 20,
        random_state: int = 0,
    ) -> None:
        self.kind = kind
        self.k = k
        self.learning_rate = learning_rate
        self.l2 = l2
        self.n_iter = n_iter
        self.random_state = random_state

    def check_params(self) -> None:
        check_choice("kind", self.kind, self._kinds)
        check_integer("k", self.k, low=1)
        check_number("learning_rate", self.learning_rate, above=0)
        check_number("l2", self.l2, low=0)
        check_integer("n_iter", self.n_iter, low=1)
        check_integer("random_state", self.random_state, low=0)

    def fit(self, X: Design, y: ArrayLike) -> Self:
        """Fit to the rows.

        Raises
        ------
        TypeError, ValueError : X is no Design or has linear blocks, y is not finite or of another
            length.
        ImportError : modern-fm is not installed.
        """
        self.check_params()
        sizes = group_shapes(check_design(X))
        linear = [block.name for block in X if block.linear]
        if linear:
            raise ValueError(
                f"modern-fm gives every feature factors; blocks {linear} are to have none"
            )
        names = {"fm": "FM", "ffm": "FFM", "fwfm": "FwFM"}
        model = getattr(self.module(), names[self.kind] + self._suffix)(
            n_factors=self.k,
            learning_rate=self.learning_rate,
            l2_linear=self.l2,
            l2_factors=self.l2,
            max_iter=self.n_iter,
            random_state=self.random_state,
            n_jobs=1,
        )
        fields = np.repeat(np.arange(len(sizes)), sizes)
        given = {} if self.kind == "fm" else {"field_ids": fields}
        target = check_target(X, y)
        self.mean_ = float(target.mean()) if self._suffix == "Regressor" else 0.0
        self.model_ = model.fit(as_csr(X), target - self.mean_, **given)
        factors = self.k * (len(sizes) if self.kind == "ffm" else 1)
        pairs = len(sizes) * (len(sizes) - 1) // 2 if self.kind == "fwfm" else 0
        self.n_parameters_ = 1 + len(fields) * (1 + factors) + pairs
        return self

    def predict(self, X: Design) -> NDArray[np.float64]:
        """(n_rows,)."""
        return self.mean_ + np.asarray(self.model_.predict(as_csr(X)), dtype=np.float64)


class ModernFMClassifier(BinaryClassifier, ModernFM):
    """Logistic regression by modern-fm; see `ModernFM` for its parameters."""

    _kinds = ("fm", "ffm", "fwfm")
    _suffix = "Classifier"

    def fit(self, X: Design, y: ArrayLike) -> Self:
        """Fit to two classes; errors as of `ModernFM`."""
        return super().fit(X, self._codes(check_design(X), y))

    def _probability(self, X: Design) -> NDArray[np.float64]:
        return np.asarray(self.model_.predict_proba(as_csr(X))[:, 1], dtype=np.float64)
