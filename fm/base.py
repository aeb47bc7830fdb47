"""What the estimators share: hyperparameters, the frame around the solvers, the learning curve."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fm.als import als
from fm.arrays import FloatArray, RealArray
from fm.batches import default_n_iter
from fm.chain import Draw
from fm.design import Design
from fm.gibbs import gibbs
from fm.model import Coefficients, Matrix, predict
from fm.monitor import Curve, Monitor, Progress
from fm.posterior import Draws, RunningMean
from fm.sgd import sgd
from fm.validation import (
    check_groups,
    check_hyperparameters,
    check_target,
    check_weight,
    check_X,
    resolve_hyperparameters,
)


class FactorizationMachine(BaseEstimator):
    """Base of the estimators, which add `__init__` and

    _solvers : names of the solvers they have.
    _likelihood, _sgd_loss : what `fm.gibbs.gibbs` and `fm.sgd.sgd` are told to fit.
    _loss_name : name of the loss in `history_`.
    _encode(y) : y as a solver wants it.
    _expectation(f, coefficients) : the expectation of the encoded y, given f(x).
    _loss(y, expectation) : the loss in `history_`.
    _value(expectation) : a number for each row, if the expectation is more than that.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def check_params(self) -> None:
        """ValueError or TypeError names the first hyperparameter that is out of range or has no use."""
        check_hyperparameters(self._params(), self._solvers)

    def fit(
        self,
        X: Design | ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation: tuple[Design | ArrayLike, ArrayLike] | None = None,
    ) -> Self:
        """Fit to the rows of X; with `warm_start`, go on for `n_iter` more epochs or sweeps.

        Parameters
        ----------
        X : Design, or array or sparse matrix (n_rows, n_features).
        y : (n_rows,)
        sample_weight : (n_rows,) not negative; a weight of 2 is a row that occurs twice.
        validation : (X, y) whose loss goes to `history_` after every epoch; `early_stopping` watches it.

        Raises
        ------
        ValueError, TypeError : what was given is not usable; the message names it.
        FloatingPointError : gradient descent diverged; the message names epoch and learning rate.
        """
        self.check_params()
        warm = self.warm_start and hasattr(self, "state_")
        return self._fit(
            X, y, sample_weight, validation, resolve_hyperparameters(self._params()), warm
        )

    @property
    def coefficients_(self) -> Coefficients:
        """w0, w and V; for draws, of the machine with S k factors that predicts their mean."""
        check_is_fitted(self, "machine_")
        return self.machine_.averaged() if isinstance(self.machine_, Draws) else self.machine_

    @property
    def draws_(self) -> Draws:
        """The draws from the posterior (`solver="gibbs"`)."""
        check_is_fitted(self, "machine_")
        if not hasattr(self.machine_, "alpha"):
            raise AttributeError("there are no draws from the posterior: fit with solver='gibbs'")
        return self.machine_

    @property
    def n_parameters_(self) -> int:
        """How many numbers w0, w and V hold, in all draws together."""
        check_is_fitted(self, "machine_")
        return sum(np.size(part) for part in self.machine_[:3])

    def _params(self) -> dict[str, object]:
        return {"solver": self.solver, **self.get_params(deep=False)}

    def _learn_classes(self, labels: ArrayLike) -> None:
        """Nothing to learn where y is a number."""

    def _value(self, expectation: RealArray) -> FloatArray:
        return expectation

    def _fit(
        self, X, y, sample_weight, validation, settings: dict[str, object], warm: bool, classes=None
    ) -> Self:
        X = check_X(self, X, reset=not warm)
        y = check_target(y, X)
        resumes = {"solver": self.solver, "k": self.k}
        if self.solver == "gibbs":  # its state has a latent y for each row
            resumes["n_rows"] = X.shape[0]
        if warm and resumes != self._resumes:
            raise ValueError(
                f"warm_start goes on from {self._resumes}, not {resumes}: set warm_start=False"
            )
        if not warm:
            self._learn_classes(y if classes is None else classes)
        y = self._encode(y)
        sample_weight = check_weight(sample_weight, X)
        if validation is not None:
            X_val = check_X(self, validation[0])
            validation = X_val, self._encode(check_target(validation[1], X_val))
        patience, tol = settings.pop("early_stopping", None), settings.pop("tol", 0.0)
        if patience is not None and validation is None:
            raise ValueError(f"early_stopping={patience} needs fit(..., validation=(X, y))")
        if settings["n_iter"] is None:
            settings["n_iter"] = default_n_iter(X)
        if "groups" in settings:
            settings["groups"] = check_groups(settings["groups"], X)
        monitor = Monitor(
            curves=self._curves((X, y), validation, settings, warm),
            watched=f"validation_{self._loss_name}",
            patience=patience,
            tol=tol,
            callback=None if self.callback is None else self._call_back,
            progress=Progress(settings["n_iter"]) if self.verbose else None,
        )
        self.history_ = monitor.history  # of the epochs so far, for a callback to read
        solve = {"sgd": self._sgd, "als": self._als, "gibbs": self._gibbs}[self.solver]
        with monitor:
            self.n_iter_, self.machine_, self.state_, self.history_ = solve(
                X,
                y,
                sample_weight=sample_weight,
                k=self.k,
                init_std=self.init_std,
                start=self.state_ if warm else None,
                rng=np.random.default_rng(self.random_state),
                callback=monitor,
                dtype=self.dtype,
                **settings,
            )
        self._resumes = resumes
        self.history_ |= {name: np.array(values) for name, values in monitor.history.items()}
        if patience is not None:
            _, self.n_iter_, self.machine_ = monitor.best
        return self

    def _sgd(self, X: Matrix, y: RealArray, **settings) -> tuple:
        fit = sgd(X, y, loss=self._sgd_loss, **settings)
        return fit.state.n_epochs, fit.coefficients, fit.state, {"seconds": fit.seconds}

    def _als(self, X: Matrix, y: RealArray, **settings) -> tuple:
        fit = als(_blocks_or_csr(X), y, loss=self._sgd_loss, **settings)
        curve = {
            f"train_{self._loss_name}": fit.history["train_loss"],
            "seconds": fit.history["seconds"],
        }
        return fit.n_sweeps, fit.coefficients, fit, curve

    def _gibbs(
        self, X: Matrix, y: RealArray, *, sample_weight: RealArray | None, **settings
    ) -> tuple:
        start, earlier = settings["start"], None
        if start is not None:
            earlier, settings["rng"] = self.machine_, None
        _check_draws((start.n_sweeps if start else 0) + settings["n_iter"], settings)
        fit = gibbs(
            _blocks_or_csr(X),
            y,
            sample_weight=sample_weight,
            likelihood=self._likelihood,
            **settings,
        )
        _check_draws(fit.state.n_sweeps, settings)
        draws = Draws.of(fit) if earlier is None else earlier.followed_by(Draws.of(fit))
        self.trace_ = fit.trace
        names = ("train_mse", "seconds") if self._likelihood == "gaussian" else ("seconds",)
        return fit.state.n_sweeps, draws, fit.state, {name: fit.trace[name] for name in names}

    def _curves(self, training, validation, settings, warm: bool) -> dict[str, Curve]:
        def current(X, y):
            return lambda _, c: self._loss(y, self._expectation(predict(X, c), c))

        def average(X, y):
            burn_in, thin = settings["burn_in"], settings["thin"]
            mean = RunningMean(
                X,
                self._expectation,
                keeps=lambda sweep: sweep > burn_in and (sweep - burn_in) % thin == 0,
                earlier=self.machine_ if warm else None,
            )
            return lambda sweep, draw: self._loss(y, mean(sweep, draw))

        curves = {f"train_{self._loss_name}": current(*training)} if self.solver == "sgd" else {}
        if validation is not None:
            curve = average if self.solver == "gibbs" else current
            curves[f"validation_{self._loss_name}"] = curve(*validation)
        return curves

    def _call_back(self, epoch: int, coefficients: Coefficients | Draw) -> bool | None:
        """The user's callback, with an estimator that predicts by the current coefficients."""
        self.machine_ = (
            Draws.of_one(coefficients) if isinstance(coefficients, Draw) else coefficients
        )
        return self.callback(epoch, self)

    def _expect(self, X: Design | ArrayLike) -> FloatArray:
        """The expectation of the encoded y in each row."""
        check_is_fitted(self, "machine_")
        X = check_X(self, X)
        if isinstance(self.machine_, Draws):
            return self.machine_.mean(X, self._expectation)
        return self._expectation(predict(X, self.machine_), self.machine_)


def _blocks_or_csr(X: Matrix) -> Design | sparse.csr_array:
    return X if isinstance(X, Design) else sparse.csr_array(X)


def _check_draws(n_sweeps: int, settings: dict[str, object]) -> None:
    burn_in, thin = settings["burn_in"], settings["thin"]
    if n_sweeps < burn_in + thin:
        raise ValueError(
            f"burn_in={burn_in} and thin={thin} leave no draw of {n_sweeps} sweeps to predict by"
        )
