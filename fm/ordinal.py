"""Factorization machine for ordered classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import ClassifierTags

from fm.arrays import AnyArray, FloatArray, IndexArray
from fm.base import FactorizationMachine, Fit
from fm.model import Machine, Matrix
from fm.posterior import Draw, class_probabilities
from fm.validation import FieldName, as_numbers, check_target, class_numbers


@dataclass(kw_only=True, eq=False, repr=False)
class FMOrdinal(RegressorMixin, FactorizationMachine):
    """Factorization machine for ordered classes, such as ratings, by ordered probit and Gibbs.

    P(y = c) = Phi(cut_c - f(x)) - Phi(cut_{c-1} - f(x)), cut points sampled along with f.
    Parameters and attributes are those of `FMRegressor` with `solver="gibbs"`, and those below.

    Parameters
    ----------
    classes : (n_classes,) array, optional
        The labels, ascending, where they are not numbers and y is no ordered categorical.
    noise_by : str, optional
        A field of X whose levels have a noise precision each, as of `FMRegressor`: users of high
        precision have probabilities closer to 0 and 1.

    Attributes
    ----------
    classes_ : (n_classes,)
        The labels that occur, ascending.

    Examples
    --------
    >>> from fm import FMOrdinal
    >>> X, y = [[0.0], [1.0], [2.0]] * 5, ["low", "medium", "high"] * 5
    >>> model = FMOrdinal(k=0, n_iter=20, classes=["low", "medium", "high"], random_state=0)
    >>> model.fit(X, y).predict_proba(X).shape
    (15, 3)
    """

    classes: ArrayLike | None = None
    noise_by: FieldName | None = None

    _likelihood = "ordered"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags()
        return tags

    def predict(self, X: Any) -> AnyArray:
        """Return the expectation of y, or where classes are not numbers the median class."""
        p = self._expect(X)
        if self._has_numbers():
            return self._value(p)
        return self.classes_[np.argmax(p.cumsum(axis=1) >= 0.5, axis=1)]

    def predict_proba(self, X: Any) -> FloatArray:
        """Return probabilities (n_rows, n_classes), columns in the order of `classes_`."""
        return self._expect(X)

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return R^2 of the expected y; classes that are not numbers count as 0, 1, 2, ..."""
        p = self._expect(X)
        y = self._values()[self._encode(check_target(y, p))]
        return float(r2_score(y, self._value(p), sample_weight=sample_weight))

    def _has_numbers(self) -> bool:
        return self.classes_.dtype.kind == "f"

    def _values(self) -> FloatArray:
        """Return the number that each class stands for."""
        return self.classes_ if self._has_numbers() else np.arange(len(self.classes_), dtype=float)

    def _gibbs(self, X: Matrix, y: AnyArray, **settings: Any) -> Fit:
        weight = settings["sample_weight"]
        empty = np.bincount(y, weight, minlength=len(self.classes_)) == 0
        if weight is not None and empty.any():
            raise ValueError(
                f"all rows of class {_short(self.classes_[empty][0])} have sample_weight 0, which "
                "leaves its cut points undetermined: leave these rows out"
            )
        return super()._gibbs(X, y, **settings)

    def _learn_classes(self, labels: Any, given_type: Any) -> None:
        order = self.classes
        if order is None and getattr(given_type, "ordered", False):
            order = given_type.categories
        if order is None:
            self.classes_ = np.unique(_as_ordered_numbers(labels))
            return
        classes = np.asarray(order)
        classes = as_numbers(classes) if classes.dtype.kind in "biuf" else classes.astype(np.str_)
        self.classes_ = classes
        self.classes_ = classes[np.unique(self._encode(np.asarray(labels)))]

    def _encode(self, y: AnyArray) -> AnyArray:
        y = as_numbers(y) if self._has_numbers() else y.astype(np.str_)
        return class_numbers(y, self.classes_)

    def _expectation(
        self, f: FloatArray, machine: Machine, noise_levels: IndexArray | None = None
    ) -> FloatArray:
        assert isinstance(machine, Draw)
        return class_probabilities(f, machine, noise_levels)

    def _loss(self, y: AnyArray, expectation: FloatArray) -> float:
        return float(np.mean((self._values()[y] - self._value(expectation)) ** 2))

    def _value(self, expectation: FloatArray) -> FloatArray:
        return expectation @ self._values()


def _as_ordered_numbers(labels: Any) -> FloatArray:
    try:
        return as_numbers(np.asarray(labels))
    except ValueError as error:
        raise ValueError(
            f"{error}. Labels that are not numbers have no order: give it by classes=[...], or y "
            "as an ordered categorical"
        ) from None


def _short(label: object) -> str:
    return f"{label:g}" if isinstance(label, float) else repr(str(label))
