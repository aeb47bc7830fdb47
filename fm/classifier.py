"""Factorization machine for classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, ndtr, ndtri
from sklearn.base import ClassifierMixin, clone
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from fm.arrays import AnyArray, FloatArray, IndexArray
from fm.base import Rows
from fm.model import Coefficients, Machine, Matrix
from fm.posterior import Draw, Draws
from fm.regressor import ManySolvers, for_gradient_descent
from fm.validation import class_numbers

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

    def _weight(self, y: AnyArray, weight: FloatArray | None) -> FloatArray | None:
        if self.class_weight is None:
            return weight
        of_class = compute_sample_weight(self.class_weight, y)
        return of_class if weight is None else weight * of_class

    def _solve(
        self,
        rows: Rows,
        weight: FloatArray | None,
        validation: Rows | None,
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

    def _expectation(
        self, f: FloatArray, machine: Machine, noise_levels: IndexArray | None = None
    ) -> FloatArray:
        return ndtr(f) if isinstance(machine, Draw) else expit(f)

    def _loss(self, y: AnyArray, expectation: FloatArray) -> float:
        p = np.clip(expectation, *OPEN_UNIT_INTERVAL)
        return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))
