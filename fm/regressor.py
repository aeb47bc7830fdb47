"""Factorization machine for real values; hyperparameters of estimators with many solvers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar, cast, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from fm.arrays import AnyArray, FloatArray
from fm.base import FactorizationMachine
from fm.validation import (
    FieldNames,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    as_numbers,
    check_hyperparameters,
    check_X,
    resolve_hyperparameters,
)

Method = TypeVar("Method", bound=Callable[..., Any])


def for_gradient_descent(method: Method) -> Method:
    """Have a method only where `solver` is "sgd"."""
    return cast(Method, available_if(lambda estimator: estimator.solver == "sgd")(method))


@dataclass(kw_only=True, eq=False, repr=False)
class ManySolvers(FactorizationMachine):
    """Base of the estimators that have a choice of solvers."""

    solver: str = "gibbs"
    learning_rate: PositiveFloat | None = None
    l2: NonNegativeFloat | None = None
    l2_w: NonNegativeFloat | None = None
    batch_size: PositiveInt | None = None
    early_stopping: PositiveInt | None = None
    tol: NonNegativeFloat | None = None

    def _epoch(
        self, X: Any, y: ArrayLike, weight: ArrayLike | None, classes: ArrayLike | None = None
    ) -> Self:
        """Take one epoch of gradient descent, going on from what was fitted before."""
        check_hyperparameters(self)
        settings = resolve_hyperparameters(self._params()) | {"n_iter": 1, "early_stopping": None}
        return self._fit(X, y, weight, None, settings, hasattr(self, "_resumes"), classes)

    @property
    def refit_params_(self) -> dict[str, int | None]:
        """Hyperparameters with which to fit training and validation rows together."""
        return {"n_iter": self.n_iter_, "early_stopping": None}


@dataclass(kw_only=True, eq=False, repr=False)
class FMRegressor(RegressorMixin, ManySolvers):
    r"""Factorization machine for real y.

    The prediction for a row x of n_features values is

        f(x) = w0 + sum_j w_j x_j + sum_{i<j} <v_i, v_j> x_i x_j

    with w (n_features,) and k factors v_j for each feature: the rows of V (n_features, k). "als"
    and "sgd" minimize

        ``sum over rows of (y - f(x))^2 + l2_w |w|^2 + l2 |V|^2``

    and "gibbs" samples the posterior under priors that it learns, so that there is no penalty to
    choose. A parameter that is None has its solver's default, in parentheses below; one that the
    solver has no use for is ignored, unless it contradicts.

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
    burn_in, thin : int, optional
        gibbs: sweeps before the first kept draw (2, at most half of `n_iter`), and from one kept
        draw to the next (1).
    n_chains : int, optional
        gibbs: independent chains (1), whose draws all count. They run side by side in `n_jobs`
        threads, or where a callback, a validation set or `verbose` watches one after the other, as
        in `history_` and `trace_`.
    n_jobs : int, optional
        als, gibbs: threads (1); the result does not depend on their number.
    early_stopping : int, optional
        als, sgd: epochs without a better validation loss after which to stop (never); needs
        `fit(validation=)`.
    tol : float, optional
        als, sgd: how much lower a loss must be to count as better (0).
    noise_by : str or sequence of str, optional
        gibbs: fields of X, by name, whose levels have a noise precision each (default: one for all
        rows), so that rows of erratic users, say, or of films on which tastes differ count for
        less. A row has the product of those of its fields. How much levels differ is learned. X is
        a `Design` or a DataFrame.
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
    machine_ : fm.model.Coefficients or fm.model.Draws
        What predicts.
    draws_ : fm.model.Draws
        The kept draws of the posterior (gibbs).
    history_, trace_ : dict of arrays
        Losses and seconds after each epoch of the last fit; noise precision and w0 after each sweep
        (gibbs).
    r_hat_ : dict of float
        R-hat of the second half of what was traced (gibbs), see `fm.diagnostics.r_hat`: above 1.01
        the chains, or the halves of one, disagree.
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

    noise_by: FieldNames | None = None

    _solvers = ("gibbs", "als", "sgd")

    @for_gradient_descent
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Take one epoch over the rows of X, going on from earlier ones (`solver="sgd"`).

        X may be a chunk of data larger than memory. Of tables, labels that the first chunk does not
        have carry no information, unless its columns are of categories that have them.

        Examples
        --------
        >>> import pandas as pd
        >>> chunks = [pd.DataFrame({"user": [u], "y": [y]}) for u, y in [("a", 5), ("b", 1)]]
        >>> users = pd.CategoricalDtype(["a", "b"])
        >>> model = FMRegressor(k=0, solver="sgd")
        >>> for chunk in chunks:  # as `pyarrow.parquet.ParquetFile(path).iter_batches()` has them
        ...     model = model.partial_fit(chunk[["user"]].astype(users), chunk["y"])
        >>> a, b = model.predict(pd.DataFrame({"user": ["a", "b"]}))
        >>> bool(a > b)
        True
        """
        return self._epoch(X, y, sample_weight)

    @overload
    def predict(self, X: Any, return_std: Literal[False] = ...) -> FloatArray: ...
    @overload
    def predict(self, X: Any, return_std: Literal[True]) -> tuple[FloatArray, FloatArray]: ...
    def predict(
        self, X: Any, return_std: bool = False
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Return f(x) of each row, (n_rows,), averaged over draws if there are any.

        With `return_std` (`solver="gibbs"`) also the standard deviation of y given the data, noise
        included.
        """
        mean = self._expect(X)
        if not return_std:
            return mean
        rows = check_X(self, X)
        levels = self._noise_levels(rows)
        variance = self.draws_.mean(
            rows, lambda f, draw: (f - mean) ** 2 + 1 / draw.precision(levels)
        )
        return mean, np.sqrt(variance)

    def predict_quantiles(self, X: Any, quantiles: ArrayLike = (0.05, 0.5, 0.95)) -> FloatArray:
        """Return quantiles of y given the data, noise included (`solver="gibbs"`).

        Parameters
        ----------
        X : as in `fit`
        quantiles : (n_quantiles,)
            Between 0 and 1.

        Returns
        -------
        (n_rows, n_quantiles)
        """
        levels = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
        if not np.all((levels > 0) & (levels < 1)):
            raise ValueError(f"quantiles must lie between 0 and 1, got {levels}")
        rows = check_X(self, X)
        return self.draws_.quantiles(rows, levels, self._noise_levels(rows))

    def _encode(self, y: AnyArray) -> FloatArray:
        return as_numbers(y)

    def _loss(self, y: AnyArray, expectation: FloatArray) -> float:
        error = y - expectation
        return float(error @ error) / len(y)
