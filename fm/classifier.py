"""Factorization machines for classes, and for ordered classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, ndtr, ndtri
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.metrics import r2_score
from sklearn.utils import ClassifierTags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from fm.arrays import AnyArray, FloatArray
from fm.base import XY, FactorizationMachine, Fit, Levels
from fm.model import Coefficients, Draw, Draws, Machine, Matrix
from fm.regressor import ManySolvers, for_gradient_descent
from fm.validation import FieldNames, as_numbers, check_target, class_numbers

OPEN_UNIT_INTERVAL = np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg
"""Bounds of the probabilities that have a finite logarithm and a finite inverse of Phi."""


@dataclass(kw_only=True, eq=False, repr=False)
class FMClassifier(ClassifierMixin, ManySolvers):
    """Factorization machine for classes.

    P(the second of two `classes_`) is Phi(f(x)) averaged over draws (gibbs), or
    1 / (1 + exp(-f(x))) (als, sgd), where f minimizes the sum over rows of
    2 log(1 + exp(-y f(x))), y = +-1, plus ``l2_w |w|^2 + l2 |V|^2``. More than two classes have a
    machine each, of that class against the rest, whose probabilities are divided by their sum.

    Parameters and attributes are those of `FMRegressor`, and those below.

    Parameters
    ----------
    class_weight : dict or "balanced", optional
        Weight of each class, by which the weights of its rows are multiplied; "balanced" for
        n_rows / (n_classes * rows of the class).

    Attributes
    ----------
    classes_ : (n_classes,)
        The labels, ascending.
    estimators_ : list of FMClassifier
        Of more than two classes, the machine of each, with attributes of its own.
    history_ : dict of arrays
        As `FMRegressor.history_`; of more than two classes the mean of the machines' losses, each
        of its class against the rest, and the sum of their seconds, over the epochs that all did.

    Examples
    --------
    >>> from fm import FMClassifier
    >>> X = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]] * 5
    >>> y = ["no", "no", "yes", "yes"] * 5
    >>> FMClassifier(k=2, n_iter=50, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    class_weight: dict[Any, float] | str | None = None

    _solvers = ("gibbs", "als", "sgd")
    _likelihood = "probit"
    _point_loss = "logistic"
    _loss_name = "log_loss"

    @for_gradient_descent
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take one epoch over the rows of X, going on from earlier ones (`solver="sgd"`).

        Parameters
        ----------
        X, y, sample_weight : as in `fit`
        classes : array, optional
            All labels, needed in the first call if its y has not all.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows at once: give partial_fit a dict of weights"
            )
        return self._epoch(X, y, sample_weight, classes)

    def decision_function(self, X: Any) -> FloatArray:
        """Return Phi^-1 of the probability of the second class, or of more than two of each."""
        return ndtri(np.clip(self._expect(X), *OPEN_UNIT_INTERVAL))

    def predict_proba(self, X: Any) -> FloatArray:
        """Return probabilities (n_rows, n_classes), columns in the order of `classes_`."""
        p = self._expect(X)
        return np.column_stack([1 - p, p]) if p.ndim == 1 else p

    def predict(self, X: Any) -> AnyArray:
        """Return the likeliest class of each row."""
        p = self._expect(X)
        return self.classes_[(p > 0.5).astype(np.intp) if p.ndim == 1 else p.argmax(axis=1)]

    @property
    def n_parameters_(self) -> int:
        """How many numbers w0, w and V hold, in all draws and machines together."""
        machines = getattr(self, "estimators_", None)
        if machines is None:
            return super().n_parameters_
        return sum(machine.n_parameters_ for machine in machines)

    def _machine(self) -> Coefficients | Draws:
        if hasattr(self, "estimators_"):
            raise AttributeError(
                f"{len(self.classes_)} classes have a machine each: take one of estimators_"
            )
        return super()._machine()

    def _learn_classes(self, labels: Any, given_type: Any) -> None:
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise ValueError(
                f"classification needs two classes or more; y has {len(self.classes_)} class"
            )
        for name in ("machine_", "state_", "estimators_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        if len(self.classes_) > 2:
            self.estimators_ = [self._against_rest() for _ in self.classes_]

    def _against_rest(self) -> Self:
        """Return an estimator that is ready to be fitted to one class against the others."""
        machine = clone(self)
        machine.random_state = self.random_state
        names = ("blocks_", "table_", "n_features_in_", "feature_names_in_")
        vars(machine).update({name: vars(self)[name] for name in names if name in vars(self)})
        machine.classes_ = np.array([False, True])
        return machine

    def _weight(self, X: Matrix, y: AnyArray, weight: ArrayLike | None) -> FloatArray | None:
        weight = super()._weight(X, y, weight)
        if self.class_weight is None:
            return weight
        of_class = compute_sample_weight(self.class_weight, y)
        return of_class if weight is None else weight * of_class

    def _solve(
        self,
        rows: XY,
        weight: FloatArray | None,
        validation: XY | None,
        settings: dict[str, Any],
        warm: bool,
    ) -> None:
        if len(self.classes_) == 2:
            super()._solve(rows, weight, validation, settings, warm)
            return
        for c, machine in enumerate(self.estimators_):
            own, held_out = (
                (X, (y == c).astype(np.float64)) for X, y in (rows, validation or rows)
            )
            machine._solve(
                own, weight, None if validation is None else held_out, dict(settings), warm
            )
        self.n_iter_ = max(machine.n_iter_ for machine in self.estimators_)
        histories = [machine.history_ for machine in self.estimators_]
        n = min(len(history["seconds"]) for history in histories)
        self.history_ = {
            name: np.mean([history[name][:n] for history in histories], axis=0)
            for name in histories[0]
        }
        self.history_["seconds"] *= len(histories)

    def _expect_rows(self, rows: Matrix) -> FloatArray:
        if not hasattr(self, "estimators_"):
            return super()._expect_rows(rows)
        p = np.column_stack([machine._expect_rows(rows) for machine in self.estimators_])
        p = np.clip(p, *OPEN_UNIT_INTERVAL)
        return p / p.sum(axis=1, keepdims=True)

    def _encode(self, y: AnyArray) -> FloatArray:
        return class_numbers(y, self.classes_).astype(np.float64)

    def _expectation(self, f: FloatArray, machine: Machine, levels: Levels) -> FloatArray:
        return ndtr(f) if isinstance(machine, Draw) else expit(f)

    def _loss(self, y: AnyArray, expectation: FloatArray) -> float:
        p = np.clip(expectation, *OPEN_UNIT_INTERVAL)
        return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


@dataclass(kw_only=True, eq=False, repr=False)
class FMOrdinal(RegressorMixin, FactorizationMachine):
    """Factorization machine for ordered classes, such as ratings, by ordered probit and Gibbs.

    P(y = c) = Phi(cut_c - f(x)) - Phi(cut_{c-1} - f(x)), cut points sampled along with f; with
    `noise_by` Phi is of the difference over the noise's standard deviation.
    Parameters and attributes are those of `FMRegressor` with `solver="gibbs"`, and those below.

    Parameters
    ----------
    classes : (n_classes,) array, optional
        The labels, ascending, where they are not numbers and y is no ordered categorical.
    noise_by : str or sequence of str, optional
        Fields of X whose levels have a noise precision each, as of `FMRegressor`: users of high
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
    noise_by: FieldNames | None = None

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
                f"all rows of class {self.classes_[empty][0]} have sample_weight 0, which leaves "
                "its cut points undetermined: leave these rows out"
            )
        return super()._gibbs(X, y, **settings)

    def _learn_classes(self, labels: Any, given_type: Any) -> None:
        order = self.classes
        if order is None and getattr(given_type, "ordered", False):
            order = given_type.categories
        if order is None:
            try:
                self.classes_ = np.unique(as_numbers(labels))
            except ValueError as error:
                raise ValueError(
                    f"{error}. Labels that are not numbers have no order: give it by "
                    "classes=[...], or y as an ordered categorical"
                ) from None
            return
        classes = np.asarray(order)
        classes = as_numbers(classes) if classes.dtype.kind in "biuf" else classes.astype(np.str_)
        self.classes_ = classes
        self.classes_ = classes[np.unique(self._encode(np.asarray(labels)))]

    def _encode(self, y: AnyArray) -> AnyArray:
        y = as_numbers(y) if self._has_numbers() else y.astype(np.str_)
        return class_numbers(y, self.classes_)

    def _expectation(self, f: FloatArray, machine: Machine, levels: Levels) -> FloatArray:
        assert isinstance(machine, Draw)
        distance = machine.cut_points - f[:, None]
        if levels is not None:
            distance *= np.sqrt(machine.precision(levels))[:, None]
        return np.diff(ndtr(distance), prepend=0, append=1)

    def _loss(self, y: AnyArray, expectation: FloatArray) -> float:
        return float(np.mean((self._values()[y] - self._value(expectation)) ** 2))

    def _value(self, expectation: FloatArray) -> FloatArray:
        return expectation @ self._values()
