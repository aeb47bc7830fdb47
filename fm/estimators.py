"""The factorization machine as scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from fm import hyperparameters
from fm.design import Design
from fm.inputs import check_target, check_weight, check_X
from fm.model import Coefficients, predict
from fm.monitor import Monitor, Progress
from fm.sgd import sgd


class _FactorizationMachine(BaseEstimator):
    """What regression and classification share: hyperparameters, solvers, learning curve."""

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
        early_stopping: int | None = None,
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
        self.early_stopping = early_stopping
        self.init_std = init_std
        self.warm_start = warm_start
        self.callback = callback
        self.dtype = dtype
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def check_params(self) -> None:
        """ValueError or TypeError names the first hyperparameter that is out of range or has no use."""
        hyperparameters.check(self.get_params(deep=False), self._solvers)

    def fit(
        self,
        X: Design | ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation: tuple[Design | ArrayLike, ArrayLike] | None = None,
    ) -> Self:
        """Fit to the rows of X; with `warm_start`, go on for `n_iter` more epochs or sweeps.

        validation : (X, y) whose loss is written to `history_` after every epoch; `early_stopping` needs it.
        """
        self.check_params()
        warm = self.warm_start and hasattr(self, "state_")
        X = check_X(self, X, reset=not warm)
        y = self._encode(check_target(y, X), reset=not warm)
        settings = hyperparameters.resolve(self.get_params(deep=False))
        return self._solve(X, y, check_weight(sample_weight, X), validation, settings, warm)

    @available_if(lambda self: self.solver == "sgd")
    def partial_fit(
        self, X: Design | ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """One epoch over the rows of X, going on from what was fitted before (`solver="sgd"`)."""
        self.check_params()
        warm = hasattr(self, "state_")
        X = check_X(self, X, reset=not warm)
        y = self._encode(check_target(y, X), reset=not warm)
        settings = hyperparameters.resolve(self.get_params(deep=False)) | {
            "n_iter": 1,
            "early_stopping": None,
        }
        return self._solve(X, y, check_weight(sample_weight, X), None, settings, warm)

    def _solve(self, X, y, sample_weight, validation, settings, warm) -> Self:
        if self.solver != "sgd":
            raise NotImplementedError(f"solver={self.solver!r} is not there yet")
        patience = settings.pop("early_stopping")
        if patience is not None and validation is None:
            raise ValueError(f"early_stopping={patience} needs fit(..., validation=(X, y))")
        losses = {f"train_{self._loss_name}": partial(self._loss, X, y)}
        watched = None
        if validation is not None:
            X_val = check_X(self, validation[0])
            watched = f"validation_{self._loss_name}"
            losses[watched] = partial(self._loss, X_val, self._encode(check_target(validation[1], X_val)))
        monitor = Monitor(
            losses,
            watched,
            patience,
            callback=self._after_epoch,
            progress=Progress(settings["n_iter"]) if self.verbose else None,
        )
        fit = sgd(
            X,
            y,
            k=self.k,
            rng=np.random.default_rng(self.random_state),
            loss=self._sgd_loss,
            sample_weight=sample_weight,
            init_std=self.init_std,
            start=self.state_ if warm else None,
            callback=monitor,
            dtype=self.dtype,
            **settings,
        )
        self.state_ = fit.state
        self.n_iter_, self.coefficients_ = fit.state.n_epochs, fit.coefficients
        if patience is not None:
            _, self.n_iter_, self.coefficients_ = monitor.best
        self.refit_params_ = {"n_iter": self.n_iter_, "early_stopping": None}
        self.history_ = {name: np.array(values) for name, values in monitor.history.items()}
        self.history_["seconds"] = fit.seconds
        return self

    def _after_epoch(self, epoch: int, coefficients: Coefficients) -> bool | None:
        if self.callback is not None:
            self.coefficients_ = coefficients
            return self.callback(epoch, self)

    @property
    def n_parameters_(self) -> int:
        """How many fitted numbers prediction uses."""
        check_is_fitted(self)
        return 1 + self.coefficients_.w.size + self.coefficients_.V.size

    def _predict(self, X: Design | ArrayLike) -> NDArray[np.float64]:
        """f(x) for each row."""
        check_is_fitted(self)
        return predict(check_X(self, X), self.coefficients_)


class FMRegressor(RegressorMixin, _FactorizationMachine):
    """Factorization machine for real y."""

    _solvers = ("gibbs", "als", "sgd")
    _sgd_loss = "squared"
    _loss_name = "mse"

    def predict(self, X: Design | ArrayLike) -> NDArray[np.float64]:
        """(n_rows,)"""
        return self._predict(X)

    def _encode(self, y: NDArray, *, reset: bool = False) -> NDArray[np.float64]:
        return y.astype(np.float64)

    @staticmethod
    def _loss(X, y: NDArray, coefficients: Coefficients) -> float:
        return float(np.mean((predict(X, coefficients) - y) ** 2))


class FMClassifier(ClassifierMixin, _FactorizationMachine):
    """Factorization machine for two classes."""

    _solvers = ("gibbs", "sgd")
    _sgd_loss = "logistic"
    _loss_name = "log_loss"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def decision_function(self, X: Design | ArrayLike) -> NDArray[np.float64]:
        """f(x), positive where the second class is the likelier one."""
        return self._predict(X)

    def predict_proba(self, X: Design | ArrayLike) -> NDArray[np.float64]:
        """(n_rows, 2), columns in the order of `classes_`."""
        p = expit(self._predict(X))
        return np.column_stack([1 - p, p])

    def predict(self, X: Design | ArrayLike) -> NDArray:
        """The likelier class of each row."""
        return self.classes_[(self._predict(X) > 0).astype(np.intp)]

    def _encode(self, y: NDArray, *, reset: bool = False) -> NDArray[np.float64]:
        check_classification_targets(y)
        if reset:
            self.classes_ = np.unique(y)
            if len(self.classes_) != 2:
                raise ValueError(
                    f"Only binary classification is supported: y has {len(self.classes_)} class(es)"
                )
        outside = ~np.isin(y, self.classes_)
        if outside.any():
            raise ValueError(f"label {y[outside][0]!r} is outside the classes of fit, {self.classes_}")
        return np.searchsorted(self.classes_, y).astype(np.float64)

    @staticmethod
    def _loss(X, y: NDArray, coefficients: Coefficients) -> float:
        f = predict(X, coefficients)
        return float(np.mean(np.logaddexp(0, f) - y * f))
