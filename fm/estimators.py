"""Factorization machines as scikit-learn estimators: real values, two classes, ordered classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, ndtr, ndtri
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import ClassifierTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from fm.arrays import FloatArray, IndexArray, RealArray
from fm.base import FactorizationMachine
from fm.chain import Draw
from fm.design import Design
from fm.model import Coefficients, Matrix
from fm.posterior import class_probabilities
from fm.validation import as_numbers, check_X, class_numbers, resolve_hyperparameters

OPEN_UNIT_INTERVAL = np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg
"""Bounds of the probabilities that have a finite logarithm and a finite inverse of Phi."""


def _by_gradient_descent(estimator: _ManySolvers) -> bool:
    return estimator.solver == "sgd"


class _ManySolvers(FactorizationMachine):
    def __init__(
        self,
        *,
        k: int = 8,
        solver: str = "gibbs",
        n_iter: int | None = None,
        learning_rate: float | None = None,
        l2: float | None = None,
        l2_w: float | None = None,
        batch_size: int | None = None,
        schedule: str | None = None,
        power_t: float | None = None,
        burn_in: int | None = None,
        thin: int | None = None,
        groups: ArrayLike | None = None,
        n_jobs: int | None = None,
        early_stopping: int | None = None,
        tol: float | None = None,
        init_std: float = 0.1,
        warm_start: bool = False,
        callback: Callable[[int, Self], bool | None] | None = None,
        dtype: str = "float64",
        verbose: bool = False,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        self.k = k
        self.solver = solver
        self.n_iter = n_iter
        self.learning_rate = learning_rate
        self.l2 = l2
        self.l2_w = l2_w
        self.batch_size = batch_size
        self.schedule = schedule
        self.power_t = power_t
        self.burn_in = burn_in
        self.thin = thin
        self.groups = groups
        self.n_jobs = n_jobs
        self.early_stopping = early_stopping
        self.tol = tol
        self.init_std = init_std
        self.warm_start = warm_start
        self.callback = callback
        self.dtype = dtype
        self.verbose = verbose
        self.random_state = random_state

    def _epoch(self, X, y, sample_weight, classes=None) -> Self:
        """One epoch of gradient descent, going on from what was fitted before."""
        self.check_params()
        settings = resolve_hyperparameters(self._params()) | {"n_iter": 1, "early_stopping": None}
        return self._fit(X, y, sample_weight, None, settings, hasattr(self, "state_"), classes)

    @property
    def refit_params_(self) -> dict[str, int | None]:
        """Hyperparameters with which to fit training and validation rows together."""
        return {"n_iter": self.n_iter_, "early_stopping": None}


class FMRegressor(RegressorMixin, _ManySolvers):
    r"""Factorization machine for real y.

    The prediction for a row x of n_features values is

        f(x) = w0 + sum_j w_j x_j + sum_{i<j} <v_i, v_j> x_i x_j

    with w (n_features,) and k factors v_j for each feature: the rows of V (n_features, k). A
    parameter that is None
    has its solver's default; a solver refuses one that it has no use for. "als" and "sgd" minimize

        ``sum over rows of (y - f(x))^2 + l2_w |w|^2 + l2 |V|^2``

    and "gibbs" samples the posterior under priors that it learns, so that there is no penalty to
    choose.

    Parameters
    ----------
    k : int, default=8
        Number of factors; 0 makes the model linear.
    solver : {"gibbs", "als", "sgd"}, default="gibbs"
        Gibbs sampling, alternating least squares, or stochastic gradient descent.
    n_iter : int, optional
        Sweeps (gibbs 200, als 20) or epochs (sgd: 30, or about 1000 steps where rows have many
        features).
    learning_rate : float, optional
        sgd: step in standardized units (0.1, or where penalties are learned, half the size that
        they let a coefficient be).
    l2, l2_w : float, optional
        als, sgd: penalties on V and w, in the objective above. By default they are learned on one
        in 16 rows, which the fit leaves out. `l2_w` is `l2` where only that is given.
    batch_size : int, optional
        sgd: rows per step, see `fm.sgd`.
    schedule : {"adagrad", "constant", "invscaling"}, optional
        sgd: how steps shrink ("adagrad").
    power_t : float, optional
        sgd, "invscaling": steps fall as epoch^-power_t (0.25).
    burn_in, thin : int, optional
        gibbs: sweeps before the first kept draw (2, at most half of `n_iter`), and from one kept
        draw to the next (1).
    groups : (n_features,) int, optional
        als, gibbs: the group of each column of a matrix; groups have priors of their own. Found by
        default.
    n_jobs : int, optional
        als, gibbs: threads (1); the result does not depend on their number.
    early_stopping : int, optional
        als, sgd: epochs without a better validation loss after which to stop (never); needs
        `fit(validation=)`.
    tol : float, optional
        als, sgd: how much lower a loss must be to count as better (0).
    init_std : float, default=0.1
        Standard deviation of the first V.
    warm_start : bool, default=False
        Let `fit` go on from the last one: n, then m epochs are n + m, bit for bit.
    callback : callable, optional
        `callback(epoch, estimator)` after each epoch or sweep; a true answer ends the fit.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the computation.
    verbose : bool, default=False
        Show a progress bar if standard error is a terminal.
    random_state : int or numpy.random.Generator, optional
        Source of randomness.

    Attributes
    ----------
    coefficients_ : fm.model.Coefficients
        w0, w and V; from gibbs those of the machine with S k factors that predicts the mean of S
        draws.
    machine_ : fm.model.Coefficients or fm.posterior.Draws
        What predicts.
    draws_ : fm.posterior.Draws
        The kept draws of the posterior (gibbs).
    history_, trace_ : dict of arrays
        Losses and seconds after each epoch of the last fit; noise precision and w0 after each sweep
        (gibbs).
    n_iter_, n_parameters_ : int
        Epochs or sweeps done; numbers in w0, w and V, in all draws together.

    References
    ----------
    S. Rendle, "Factorization Machines", ICDM 2010; "Factorization Machines with libFM", ACM TIST
    3(3), 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from fm import Block, Design, FMRegressor
    >>> X = Design((Block("user", [0, 0, 1, 1, 2], 3), Block("item", [0, 1, 0, 2, 1], 3)))
    >>> model = FMRegressor(k=2, solver="als", random_state=0).fit(X, [5, 3, 4, 1, 2])
    >>> model.predict(X).shape
    (5,)
    """

    _solvers = ("gibbs", "als", "sgd")
    _likelihood = "gaussian"
    _sgd_loss = "squared"
    _loss_name = "mse"

    @available_if(_by_gradient_descent)
    def partial_fit(
        self, X: Design | ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """One epoch over the rows of X, going on from what was fitted before (`solver="sgd"`)."""
        return self._epoch(X, y, sample_weight)

    def predict(
        self, X: Design | ArrayLike, return_std: bool = False
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """f(x) of each row, (n_rows,), averaged over draws if there are any.

        return_std : also the standard deviation of y given the data, noise included
        (`solver="gibbs"`).
        """
        mean = self._expect(X)
        if not return_std:
            return mean
        variance = self.draws_.mean(
            check_X(self, X), lambda f, draw: (f - mean) ** 2 + 1 / draw.alpha
        )
        return mean, np.sqrt(variance)

    def predict_quantiles(
        self, X: Design | ArrayLike, quantiles: ArrayLike = (0.05, 0.5, 0.95)
    ) -> FloatArray:
        """Quantiles of y given the data, noise included, (n_rows, n_quantiles) (`solver="gibbs"`)."""
        quantiles = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
        if not np.all((quantiles > 0) & (quantiles < 1)):
            raise ValueError(f"quantiles must lie between 0 and 1, got {quantiles}")
        return self.draws_.quantiles(check_X(self, X), quantiles)

    def _encode(self, y: RealArray) -> FloatArray:
        return as_numbers(y)

    def _expectation(self, f: RealArray, coefficients: Coefficients | Draw) -> FloatArray:
        return f

    def _loss(self, y: RealArray, expectation: RealArray) -> float:
        error = y - expectation
        return float(error @ error) / len(y)


class FMClassifier(ClassifierMixin, _ManySolvers):
    """Factorization machine for two classes.

    P(the second of `classes_`) is Phi(f(x)) averaged over draws (gibbs), or 1 / (1 + exp(-f(x)))
    (als, sgd), where f minimizes the sum over rows of 2 log(1 + exp(-y f(x))), y = +-1, plus
    ``l2_w |w|^2 + l2 |V|^2``. Parameters and attributes are those of `FMRegressor`.

    Examples
    --------
    >>> from fm import FMClassifier
    >>> X = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]] * 5
    >>> y = ["no", "no", "yes", "yes"] * 5
    >>> FMClassifier(k=2, n_iter=50, random_state=0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    _solvers = ("gibbs", "als", "sgd")
    _likelihood = "probit"
    _sgd_loss = "logistic"
    _loss_name = "log_loss"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    @available_if(_by_gradient_descent)
    def partial_fit(
        self,
        X: Design | ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """One epoch over the rows of X, going on from what was fitted before (`solver="sgd"`).

        classes : the two labels, needed in the first call if its y has not both.
        """
        return self._epoch(X, y, sample_weight, classes)

    def decision_function(self, X: Design | ArrayLike) -> FloatArray:
        """Phi^-1(P(second class)), positive where that class is the likelier one."""
        return ndtri(np.clip(self._expect(X), *OPEN_UNIT_INTERVAL))

    def predict_proba(self, X: Design | ArrayLike) -> FloatArray:
        """(n_rows, 2), columns in the order of `classes_`."""
        p = self._expect(X)
        return np.column_stack([1 - p, p])

    def predict(self, X: Design | ArrayLike) -> RealArray:
        """The likelier class of each row."""
        second = self._expect(X) > 0.5
        return self.classes_[second.astype(np.intp)]

    def _learn_classes(self, labels: ArrayLike) -> None:
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        if len(self.classes_) != 2:
            raise ValueError(
                f"Only binary classification is supported; y has {len(self.classes_)} class(es)"
            )

    def _encode(self, y: RealArray) -> FloatArray:
        return class_numbers(y, self.classes_).astype(np.float64)

    def _expectation(self, f: RealArray, coefficients: Coefficients | Draw) -> FloatArray:
        return ndtr(f) if isinstance(coefficients, Draw) else expit(f)

    def _loss(self, y: RealArray, expectation: RealArray) -> float:
        p = np.clip(expectation, *OPEN_UNIT_INTERVAL)
        return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


class FMOrdinal(RegressorMixin, FactorizationMachine):
    """Factorization machine for ordered classes, such as ratings, by ordered probit and Gibbs sampling.

    P(y = c) = Phi(cut_c - f(x)) - Phi(cut_{c-1} - f(x)), cut points sampled along with f.
    Parameters and attributes are those of `FMRegressor` with `solver="gibbs"`.

    Examples
    --------
    >>> from fm import FMOrdinal
    >>> X, y = [[0.0], [1.0], [2.0]] * 5, [1, 2, 3] * 5
    >>> FMOrdinal(k=0, n_iter=20, random_state=0).fit(X, y).predict_proba(X).shape
    (15, 3)
    """

    solver = "gibbs"
    _solvers = ("gibbs",)
    _likelihood = "ordered"
    _loss_name = "mse"

    def __init__(
        self,
        *,
        k: int = 8,
        n_iter: int | None = None,
        burn_in: int | None = None,
        thin: int | None = None,
        groups: ArrayLike | None = None,
        n_jobs: int | None = None,
        init_std: float = 0.1,
        warm_start: bool = False,
        callback: Callable[[int, Self], bool | None] | None = None,
        dtype: str = "float64",
        verbose: bool = False,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        self.k = k
        self.n_iter = n_iter
        self.burn_in = burn_in
        self.thin = thin
        self.groups = groups
        self.n_jobs = n_jobs
        self.init_std = init_std
        self.warm_start = warm_start
        self.callback = callback
        self.dtype = dtype
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags()
        return tags

    def predict(self, X: Design | ArrayLike) -> FloatArray:
        """The expectation of y, (n_rows,): classes weighted by their probabilities."""
        return self._value(self._expect(X))

    def predict_proba(self, X: Design | ArrayLike) -> FloatArray:
        """(n_rows, n_classes), columns in the order of `classes_`."""
        return self._expect(X)

    def _gibbs(
        self, X: Matrix, y: RealArray, *, sample_weight: RealArray | None, **settings
    ) -> tuple:
        empty = np.bincount(y, sample_weight, minlength=len(self.classes_)) == 0
        if sample_weight is not None and empty.any():
            raise ValueError(
                f"all rows of class {self.classes_[empty][0]:g} have sample_weight 0, which leaves its "
                "cut points undetermined: leave these rows out"
            )
        return super()._gibbs(X, y, sample_weight=sample_weight, **settings)

    def _learn_classes(self, labels: ArrayLike) -> None:
        self.classes_ = np.unique(as_numbers(labels))

    def _encode(self, y: RealArray) -> IndexArray:
        return class_numbers(as_numbers(y), self.classes_)

    def _expectation(self, f: RealArray, coefficients: Draw) -> FloatArray:
        return class_probabilities(f, coefficients)

    def _loss(self, y: RealArray, expectation: RealArray) -> float:
        return float(np.mean((self.classes_[y] - self._value(expectation)) ** 2))

    def _value(self, expectation: RealArray) -> FloatArray:
        return expectation @ self.classes_
