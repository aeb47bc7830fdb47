"""modern-fm, FMs by stochastic gradients in Rust (https://pypi.org/project/modern-fm).

    fm     y(x) = w0 + <w, x> + sum_{i<j} <v_i, v_j> x_i x_j
    ffm    ... <v_i,field(j), v_j,field(i)> x_i x_j     field-aware (Juan et al., RecSys 2016)
    fwfm   ... r_field(i),field(j) <v_i, v_j> x_i x_j   field-weighted (Pan et al., WWW 2018)

A block's levels are a field, and so are its side features. It steps row by row by AdaGrad on one
thread, so that a seed says everything. What it can't do: linear blocks, and `fwfm` of ratings.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from baselines.estimator import BinaryClassifier, Regressor, group_sizes, numbers
from baselines.external import Package
from fm.design import Design
from fm.validation import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, check_choice

NAMES = {"fm": "FM", "ffm": "FFM", "fwfm": "FwFM"}
"""What modern-fm calls each kind."""


@dataclass(eq=False, repr=False)
class ModernFM(Package, Regressor):
    """Regression by modern-fm; `fit` raises ImportError where it is not installed.

    Parameters
    ----------
    kind : "fm" or "ffm"; of classes also "fwfm".
    k, learning_rate, l2, n_iter : factors (of "ffm" for each field), step, penalty, epochs.
    random_state : seed of the first factors and of the order of rows.

    Attributes
    ----------
    mean_ : of the training targets, which are given to modern-fm without it: it begins at 0.
    """

    kind: Annotated[str, partial(check_choice, choices=tuple(NAMES))] = "fm"
    _: KW_ONLY
    k: PositiveInt = 8
    learning_rate: PositiveFloat = 0.05
    l2: NonNegativeFloat = 1e-5
    n_iter: PositiveInt = 20
    random_state: NonNegativeInt = 0

    package = "modern_fm"
    title = "modern-fm"
    _takes_linear = False
    _suffix: ClassVar = "Regressor"

    def _fit(self, X: Design, y: NDArray[np.float64]) -> None:
        model = getattr(self.module(), NAMES[self.kind] + self._suffix)(
            n_factors=self.k,
            learning_rate=self.learning_rate,
            l2_linear=self.l2,
            l2_factors=self.l2,
            max_iter=self.n_iter,
            random_state=self.random_state,
            n_jobs=1,
        )
        sizes = group_sizes(X)
        fields = np.repeat(np.arange(len(sizes)), sizes)
        self.model_ = model.fit(X.to_csr(), y, **{} if self.kind == "fm" else {"field_ids": fields})
        factors = self.k * (len(sizes) if self.kind == "ffm" else 1)
        pairs = len(sizes) * (len(sizes) - 1) // 2 if self.kind == "fwfm" else 0
        self.n_parameters_ = 1 + len(fields) * (1 + factors) + pairs

    def _predict(self, X: Design) -> NDArray[np.float64]:
        return self.mean_ + np.asarray(self.model_.predict(X.to_csr()), dtype=np.float64)

    def _target(self, X: Design, y: ArrayLike) -> NDArray[np.float64]:
        if self.kind == "fwfm":
            raise ValueError("modern-fm has kind=fwfm for two classes only")
        target = numbers(y, X)
        self.mean_ = float(target.mean())
        return target - self.mean_


class ModernFMClassifier(BinaryClassifier, ModernFM):
    """Logistic regression by modern-fm; see `ModernFM` for its parameters."""

    _suffix = "Classifier"

    def _predict(self, X: Design) -> NDArray[np.float64]:
        return np.asarray(self.model_.predict_proba(X.to_csr())[:, 1], dtype=np.float64)
