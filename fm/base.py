"""What the estimators share: hyperparameters, the frame around the solvers, the learning curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from fm.als import als
from fm.arrays import AnyArray, FloatArray, IndexArray, mapping
from fm.chain import GibbsState
from fm.design import Design
from fm.diagnostics import Curve, Monitor, RunningMean, in_a_row, r_hats
from fm.features import default_n_iter
from fm.gibbs import GibbsFit, gibbs
from fm.model import Coefficients, Draw, Draws, Machine, Matrix, noise_rows, predict
from fm.rows import design_or_csr
from fm.sgd import sgd
from fm.validation import (
    DType,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    check_draws,
    check_hyperparameters,
    check_noise_by,
    check_target,
    check_use,
    check_X,
    names_of_fields,
    resolve_hyperparameters,
)

Levels = IndexArray | None  # as of `fm.model.noise_rows`
XY = tuple[Matrix, AnyArray]  # X and encoded y, checked
Fit = tuple[int, Coefficients | Draws, Any, dict[str, FloatArray]]  # n_iter_, machine_, state_, ...


@dataclass(kw_only=True, eq=False, repr=False)
class FactorizationMachine(BaseEstimator):
    """Base of the estimators, with the hyperparameters that all of them have.

    An estimator adds

    solver, _solvers : the solver, and names of those there are.
    _likelihood, _point_loss : what Gibbs sampling, and the other solvers, are to fit.
    _learn_classes(labels), _encode(y) : y as a solver takes it.
    _expectation(f, machine, levels) : the expectation of the encoded y, where that is not f(x).
    _loss(y, expectation), _loss_name : the loss in `history_`, and its name.
    _value(expectation) : a number for each row, if the expectation is more than that.
    """

    k: NonNegativeInt = 8
    n_iter: PositiveInt | None = None
    burn_in: NonNegativeInt | None = None
    thin: PositiveInt | None = None
    n_chains: PositiveInt | None = None
    n_jobs: PositiveInt | None = None
    init_std: NonNegativeFloat = 0.1
    warm_start: bool = False
    callback: Callable[[int, Any], bool | None] | None = None
    dtype: DType = "float64"
    verbose: bool = False
    random_state: int | np.random.Generator | None = None

    solver = "gibbs"
    _solvers: ClassVar[tuple[str, ...]] = ("gibbs",)
    _likelihood: ClassVar[Literal["gaussian", "probit", "ordered"]] = "gaussian"
    _point_loss: ClassVar[Literal["squared", "logistic"]] = "squared"
    _loss_name: ClassVar[str] = "mse"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def check_params(self) -> None:
        """Raise ValueError or TypeError for a hyperparameter out of range, or without a use.

        `fit` ignores what the solver has no use for, unless it contradicts.
        """
        check_hyperparameters(self)
        check_use(self._params(), self._solvers)

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        validation: tuple[Any, Any] | None = None,
    ) -> Self:
        """Fit to the rows of X; with `warm_start`, go on for `n_iter` more epochs or sweeps.

        Parameters
        ----------
        X : Design, DataFrame, or array or sparse matrix (n_rows, n_features)
            A DataFrame's columns of text or categories become fields, columns of numbers numeric
            features, and columns of lists bags of labels, see `fm.tables`. A label that occurs in
            no training row, or a missing one, carries no information.
        y : (n_rows,)
            Numbers or labels; `FMRanker` needs none.
        sample_weight : (n_rows,), optional
            Not negative; a weight of 2 is a row that occurs twice.
        validation : (X, y), optional
            Rows whose loss goes to `history_` after every epoch; `early_stopping` watches it.

        Raises
        ------
        ValueError, TypeError
            What was given is not usable; the message names it.
        FloatingPointError
            Gradient descent diverged; the message names epoch and learning rate.
        """
        check_hyperparameters(self)
        warm = self.warm_start and hasattr(self, "_resumes")
        settings = resolve_hyperparameters(self._params())
        return self._fit(X, y, sample_weight, validation, settings, warm)

    @property
    def coefficients_(self) -> Coefficients:
        """w0, w and V; for draws, of the machine with S k factors that predicts their mean."""
        return self._machine().averaged()

    @property
    def draws_(self) -> Draws:
        """The draws from the posterior (`solver="gibbs"`)."""
        machine = self._machine()
        if not isinstance(machine, Draws):
            raise AttributeError("there are no draws from the posterior: fit with solver='gibbs'")
        return machine

    @property
    def n_parameters_(self) -> int:
        """How many numbers w0, w and V hold, in all draws together."""
        return sum(np.size(part) for part in self._machine()[:3])

    def _machine(self) -> Coefficients | Draws:
        """Return what predicts."""
        check_is_fitted(self, "machine_")
        return self.machine_

    def _params(self) -> dict[str, Any]:
        return {"solver": self.solver, **self.get_params(deep=False)}

    def _learn_classes(self, labels: Any, given_type: Any) -> None:
        """Learn nothing where y is a number."""

    def _value(self, expectation: FloatArray) -> FloatArray:
        return expectation

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        validation: tuple[Any, Any] | None,
        settings: dict[str, Any],
        warm: bool,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Fit by `settings`, from the start or, if `warm`, from where the last fit ended."""
        given_type = getattr(y, "dtype", None)
        given, X = X, check_X(self, X, reset=not warm)
        y = self._target(y, X)
        resumes = {"solver": self.solver, "k": self.k}
        if self.solver == "gibbs":  # its states have a latent y for each row
            own = {name: settings[name] for name in ("n_chains", "noise_by")}
            resumes |= {"n_rows": X.shape[0], **own}
        if warm and resumes != self._resumes:
            raise ValueError(
                f"warm_start goes on from {self._resumes}, not {resumes}: set warm_start=False"
            )
        if not warm:
            self._learn_classes(y if classes is None else classes, given_type)
        rows = X, self._encode(y)
        patience = settings.get("early_stopping")
        if patience is not None and validation is None:
            raise ValueError(f"early_stopping={patience} needs fit(..., validation=(X, y))")
        if settings["n_iter"] is None:
            settings["n_iter"] = default_n_iter(X)
        if self.solver != "sgd" and isinstance(given, Design) and given.numeric:
            settings["groups"] = given.block_numbers()
        weight = self._weight(X, y, sample_weight)
        check_noise_by(settings.get("noise_by", ()), X, weight, self._likelihood)
        held_out: XY | None = None
        if validation is not None:
            other = check_X(self, validation[0])
            held_out = other, self._encode(self._target(validation[1], other))
        self._solve(rows, weight, held_out, settings, warm)
        self._resumes: dict[str, Any] = resumes
        return self

    def _solve(
        self,
        rows: XY,
        weight: FloatArray | None,
        validation: XY | None,
        settings: dict[str, Any],
        warm: bool,
    ) -> None:
        """Run the solver on checked rows."""
        patience, tol = settings.pop("early_stopping", None), settings.pop("tol", 0.0)
        monitor = Monitor(
            self._curves(rows, validation, settings, warm),
            f"validation_{self._loss_name}",
            patience,
            tol,
            None if self.callback is None else self._call_back,
            settings["n_iter"] * settings.get("n_chains", 1) if self.verbose else None,
        )
        self.history_: dict[str, Any] = monitor.history  # for a callback to read
        solve = {"sgd": self._sgd, "als": self._als, "gibbs": self._gibbs}[self.solver]
        fit = solve(
            *rows,
            sample_weight=weight,
            k=self.k,
            init_std=self.init_std,
            start=getattr(self, "state_", None) if warm else None,
            rng=np.random.default_rng(self.random_state),
            callback=monitor,
            dtype=self.dtype,
            **settings,
        )
        self.n_iter_, self.machine_, self.state_, history = fit
        self.history_ = history | {name: np.array(x) for name, x in monitor.history.items()}
        if patience is not None:
            _, self.n_iter_, self.machine_ = monitor.best

    def _target(self, y: Any, X: Matrix) -> AnyArray:
        return check_target(y, X)

    def _weight(self, X: Matrix, y: AnyArray, weight: ArrayLike | None) -> FloatArray | None:
        """Return the rows' weights, finite and not negative, those of their classes included."""
        if weight is None:
            return None
        return _check_sample_weight(weight, X, dtype=np.float64, ensure_non_negative=True)

    def _sgd(self, X: Matrix, y: FloatArray, **settings: Any) -> Fit:
        fit = sgd(X, y, loss=self._point_loss, **settings)
        return fit.state.n_epochs, fit.coefficients, fit.state, {"seconds": fit.seconds}

    def _als(self, X: Matrix, y: FloatArray, **settings: Any) -> Fit:
        fit = als(design_or_csr(X), y, loss=self._point_loss, **settings)
        curves = {"seconds": fit.history["seconds"]}
        curves[f"train_{self._loss_name}"] = fit.history["train_loss"]
        return fit.n_sweeps, fit.coefficients, fit, curves

    def _gibbs(self, X: Matrix, y: AnyArray, **settings: Any) -> Fit:
        n_chains, n_jobs = settings.pop("n_chains"), settings.pop("n_jobs")
        starts, rng, monitor = (settings.pop(name) for name in ("start", "rng", "callback"))
        n_sweeps = (starts[0].n_sweeps if starts else 0) + settings["n_iter"]
        check_draws(n_sweeps, settings)
        side_by_side = n_chains > 1 and not monitor.observes
        rows, callback = design_or_csr(X), None if side_by_side else monitor

        def run(start: GibbsState | None, rng: np.random.Generator | None) -> GibbsFit:
            given = settings | {"start": start, "rng": rng, "callback": callback}
            jobs = 1 if side_by_side else n_jobs
            return gibbs(rows, y, likelihood=self._likelihood, n_jobs=jobs, **given)

        nothing = [None] * n_chains
        rngs = nothing if starts else [rng] if n_chains == 1 else rng.spawn(n_chains)
        fits: list[GibbsFit] = []
        with mapping(n_jobs if side_by_side else 1) as each:
            for fit in each(run, starts or nothing, rngs):
                fits.append(fit)
                if fit.state.n_sweeps < n_sweeps:  # the callback ended the fit
                    break
        check_draws(fits[-1].state.n_sweeps, settings)
        draws = Draws.joined([*([self.draws_] if starts else []), *(fit.draws for fit in fits)])
        self.trace_ = in_a_row([fit.trace for fit in fits])
        self.r_hat_ = r_hats([fit.trace for fit in fits])
        names = ("train_mse", "seconds") if self._likelihood == "gaussian" else ("seconds",)
        curves = {name: self.trace_[name] for name in names}
        return fits[0].state.n_sweeps, draws, [fit.state for fit in fits], curves

    def _curves(
        self, training: XY, validation: XY | None, settings: dict[str, Any], warm: bool
    ) -> dict[str, Curve]:
        def current(X: Matrix, y: AnyArray) -> Curve:
            response = self._response(X)
            return lambda _, machine: self._loss(y, response(predict(X, machine), machine))

        def average(X: Matrix, y: AnyArray) -> Curve:
            kept = settings["burn_in"], settings["thin"]
            mean = RunningMean(X, self._response(X), *kept, self.draws_ if warm else None)
            return lambda sweep, draw: self._loss(y, mean(sweep, draw))

        curves = {f"train_{self._loss_name}": current(*training)} if self.solver == "sgd" else {}
        if validation is not None:
            curve = average if self.solver == "gibbs" else current
            curves[f"validation_{self._loss_name}"] = curve(*validation)
        return curves

    def _call_back(self, epoch: int, coefficients: Coefficients | Draw) -> bool | None:
        """Ask the user's callback, with an estimator that predicts by the current coefficients."""
        assert self.callback is not None
        one = coefficients
        self.machine_ = Draws.of_one(one) if isinstance(one, Draw) else one
        return self.callback(epoch, self)

    def predict(self, X: Any) -> AnyArray:
        """Return f(x) of each row, (n_rows,)."""
        return self._expect(X)

    def _expect(self, X: Any) -> FloatArray:
        """Return the expectation of the encoded y in each row."""
        check_is_fitted(self)
        return self._expect_rows(check_X(self, X))

    def _expect_rows(self, rows: Matrix) -> FloatArray:
        return self.machine_.mean(rows, self._response(rows))

    def _response(self, rows: Matrix) -> Callable[[FloatArray, Machine], FloatArray]:
        """Return what makes an expectation of f(x) of these rows."""
        return partial(self._expectation, levels=self._noise_levels(rows))

    def _noise_levels(self, rows: Matrix) -> Levels:
        """Return the levels (n_rows, n_fields) by which noise differs, if it does."""
        names = names_of_fields(getattr(self, "noise_by", None)) if self.solver == "gibbs" else ()
        if not names or not isinstance(rows, Design):
            return None
        return noise_rows([rows.block(name) for name in names])

    def _encode(self, y: AnyArray) -> AnyArray:
        return y

    def _expectation(self, f: FloatArray, machine: Machine, levels: Levels) -> FloatArray:
        """Return the expectation of the encoded y, given f(x) and the levels its noise is of."""
        return f

    def _loss(self, y: AnyArray, expectation: FloatArray) -> float:
        raise NotImplementedError
