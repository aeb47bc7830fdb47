"""Alternating least squares for factorization machines: exact updates, no learning rate.

Minimizes, for the model of `fm.model`,

    sum_rows weight loss(y, f(x)) + l2_w |w|^2 + l2 |V|^2            (w0 is never penalized)

with loss (y - f)^2, by turns over theta = (w, v) of the columns, the mean of their conditional
(`fm.block_kernel`, `fm.row_kernel`) with noise precision 1 and prior precision
diag(l2_w, l2, ..., l2), and over w0. Each step is exact, so the objective never rises. Rendle et
al., "Fast Context-aware Recommendations with Factorization Machines" (SIGIR 2011), take the
coordinates one at a time.

For classes y in {0, 1} the loss is 2 log(1 + exp(f)) - 2 y f. Its second derivative is at most 1/2,
so that with p = 1 / (1 + exp(-f0)) at the f0 of the last sweep

    loss(y, f) <= (z - f)^2 / 4 + const,    z = f0 + 4 (y - p)

(Boehning & Lindsay, AISM 1988). A sweep minimizes this bound, and again the objective never rises.

Features of a block's levels enter as the levels' prior mean S B (`fm.priors`), under the same
penalty on theta - S B and on B; what interactions of a level with its own features would add is
part of its bias.

Penalties that are not given are learned after each sweep on one in 16 rows, set aside
(`fm.penalties`), in units of y and of the columns.

Where a penalty is 0 a level with few rows leaves its system singular. Its step is then proximal:
the same plus a small multiple of |change|^2, under which the objective still never rises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy import sparse
from scipy.special import expit, logit

from fm.arrays import AnyArray, FloatArray, IndexArray, Map, RealArray, before_order, mapping
from fm.block_kernel import FACTORS, LinearBlock, Residual, update_linear
from fm.design import Design
from fm.diagnostics import Callback, Trace, warn_while_falling
from fm.features import FAR, centered, centers_of, uncentered
from fm.model import Coefficients, predict
from fm.penalties import adjusted, scale_factors, split
from fm.priors import Ridge, flat
from fm.rows import digest, rows_of

PROXIMAL = 1e-9
"""Weight of the proximal term, as a share of the mean column's sum of squares."""

FIRST_PENALTIES = 5.0, 20.0
"""Of w and V where they are learned."""

BOUND = 0.25
"""Half the largest second derivative of the loss of classes."""

FALLING = 0.01
"""Share of the objective that the last sweep took off, above which a fit has not converged."""


@dataclass(frozen=True)
class ALSFit:
    """Result of `als`, which `als(..., start=)` goes on from, bit for bit.

    coefficients : those of the last sweep.
    n_sweeps : sweeps done, those of `start` included.
    history : `objective`, `train_loss` (mean squared error or log loss) and `seconds` (cumulative),
        each (sweeps of this call,).
    state : all else that the next sweep depends on, by name.
    """

    coefficients: Coefficients
    n_sweeps: int
    history: dict[str, AnyArray]
    state: dict[str, Any]


class _Rows(NamedTuple):
    X: Design | sparse.csr_array
    y: FloatArray
    weight: FloatArray | None

    def take(self, chosen: IndexArray) -> _Rows:
        weight = None if self.weight is None else self.weight[chosen]
        return _Rows(self.X[chosen], self.y[chosen], weight)


def als(
    X: Design | sparse.csr_array,
    y: FloatArray,
    *,
    k: int,
    n_iter: int,
    l2: float | None,
    l2_w: float | None,
    rng: np.random.Generator,
    loss: Literal["squared", "logistic"] = "squared",
    sample_weight: FloatArray | None = None,
    groups: ArrayLike | None = None,
    init_std: float = 0.1,
    start: ALSFit | None = None,
    callback: Callback | None = None,
    dtype: DTypeLike = np.float64,
    n_jobs: int = 1,
) -> ALSFit:
    """Take `n_iter` >= 1 sweeps over all columns from V ~ N(0, init_std^2), or from `start`.

    X : Design, or CSR matrix (n_rows, n_features); dense callers convert. Checked by the caller:
        finite, y (n_rows,), at least one row, sample_weight (n_rows,) >= 0 and not all 0.
    l2, l2_w : None to learn it.
    groups : (n_features,) group numbers of a matrix's columns; ALS uses them only to find sets of
        columns that can be updated at once. None: by fields that are discovered.
    n_jobs : threads; the result is the same whatever their number.
    dtype : of the regressors; sums over levels and their solution are in float64.
    Warns when the last sweep still lowered the objective by more than `FALLING`.
    """
    trace = Trace(callback, "objective", "train_loss", "watched")
    classes, learns = loss == "logistic", l2 is None or l2_w is None
    mean = np.average(y, weights=sample_weight)
    unit = 1.0 if classes else np.sqrt(np.average((y - mean) ** 2, weights=sample_weight)) or 1.0
    in_units = l2 is None and l2_w is None
    centers = centers_of(X, sample_weight, FAR) if start is None and in_units else None
    if start is not None:
        centers = start.state["centers"]
    rows = _Rows(X if centers is None else centered(X, centers), y, sample_weight)
    aside: _Rows | None = None
    if learns:
        fitted, others = split(len(y))
        rows, aside = rows.take(fitted), rows.take(others) if len(others) else None
    X, y, weight = rows
    machine = _Machine(X, weight, groups, k, dtype, in_units)
    n = len(y) if weight is None else weight.sum()
    f = None
    if start is None:
        w0 = (
            logit(np.clip(mean, 1 / (2 + n), 1 - 1 / (2 + n)))
            if classes
            else np.average(y, weights=weight)
        )
        first, learned = 0, FIRST_PENALTIES
        machine.initialize(init_std * (np.sqrt(unit) if in_units else 1.0), rng)
    else:
        first, learned, w0 = start.n_sweeps, start.state["penalties"], start.state["w0"]
        f = machine.resume(**start.state)
    target, alpha = y, 1.0
    if classes:
        f = predict(X, machine.coefficients(w0)) if f is None else f
        target, alpha = f + (y - expit(f)) / BOUND, BOUND
    with mapping(n_jobs) as each:
        for n_sweeps in range(first + 1, first + n_iter + 1):
            penalty = np.array(
                [learned[0] if l2_w is None else l2_w]
                + [learned[1] * unit if l2 is None else l2] * k,
                np.float64,
            )
            residual, penalized = machine.sweep(target, w0, penalty, alpha, each)
            total, squares = residual.sums()
            w0 += total / n
            value = squares - total**2 / n
            if classes:
                f = target - residual.vector() + total / n
                value = 2 * np.sum((np.logaddexp(0, f) - y * f) * (1 if weight is None else weight))
                target = f + (y - expit(f)) / BOUND
            coefficients = machine.coefficients(w0)
            watched = objective = value + penalized
            if aside is not None:
                learned, watched = _learn(learned, coefficients, aside, classes)
            train_loss = value / n / (2 if classes else 1)
            values = {"objective": objective, "train_loss": train_loss, "watched": watched}
            given = coefficients
            if centers is not None:
                given = Coefficients(*uncentered(w0, given.w, given.V, centers), given.V)
            if trace.add(n_sweeps, given, **values):
                break
        else:
            warn_while_falling(trace.values["watched"], n_sweeps, of="sweeps", falling=FALLING)
    history = trace.arrays()
    del history["watched"]
    own = {"w0": w0, "f": f, "penalties": learned, "centers": centers}
    return ALSFit(given, n_sweeps, history, machine.state() | own)


class _Machine:
    """What the sweeps change, and the rows by which they do."""

    def __init__(
        self,
        X: Design | sparse.csr_array,
        weight: FloatArray | None,
        groups: ArrayLike | None,
        k: int,
        dtype: DTypeLike,
        in_units: bool,
    ) -> None:
        rows = rows_of(X, weight, groups, k=min(k, FACTORS), dtype=dtype, rescale=in_units)
        blocks = X.blocks if isinstance(X, Design) else ()
        self._X, self._kernel, self._units = X, rows.kernel, rows.units
        self._order = rows.order
        self._linear = [LinearBlock(block, weight) for block in blocks if block.linear]
        n_sets = len(self._kernel.columns)
        self._ridges: list[Ridge | None] = [None] * n_sets
        if isinstance(X, Design):
            features = [block.side_features for block in X]
            self._ridges = [None if S is None else Ridge(S) for S in features]
        self._sides = [
            np.zeros((ridge.S.shape[1] if ridge else 0, k + 1 if s < n_sets else 1))
            for s, ridge in enumerate(self._ridges)
        ]
        self._theta = np.zeros((sum(map(len, self._kernel.columns)), k + 1))
        nonzeros = len(X) * len(X.blocks) if isinstance(X, Design) else np.dot(X.data, X.data)
        self._mean_square = nonzeros / X.shape[1]

    def initialize(self, std: float, rng: np.random.Generator) -> None:
        """Draw V ~ N(0, std^2), 0 for columns without rows."""
        V = self._theta[:, 1:]
        V[:] = std * rng.standard_normal(V.shape)
        for columns, counts in zip(self._kernel.columns, self._kernel.counts, strict=True):
            self._theta[columns[counts == 0]] = 0

    def state(self) -> dict[str, Any]:
        """Return all that the next sweep depends on, columns in the order of X."""
        return {
            "theta": before_order(self._theta, self._order),
            "units": before_order(self._units, self._order),
            "linear": [block.theta for block in self._linear],
            "sides": self._sides,
            "sums": {name: getattr(self._kernel, name) for name in self._kernel.state},
            "rows": digest(self._X),
        }

    def resume(
        self,
        *,
        theta: FloatArray,
        units: FloatArray,
        linear: list[FloatArray],
        sides: list[FloatArray],
        sums: dict[str, AnyArray],
        rows: int,
        f: FloatArray | None,
        **_: Any,
    ) -> FloatArray | None:
        """Go on from a state; return its predictions f if it has fitted the same rows."""
        self._theta = theta[self._order] * (self._units / units[self._order])[:, None]
        self._sides = list(sides)
        for block, w in zip(self._linear, linear, strict=True):
            block.theta = w
        if rows != digest(self._X):
            return None
        for name, kept in sums.items():
            setattr(self._kernel, name, kept.copy())
        return f

    def sweep(
        self, target: FloatArray, w0: float, penalty: FloatArray, alpha: float, each: Map
    ) -> tuple[Residual, float]:
        """Return what a sweep leaves of the target, and the penalties of its coefficients."""
        proximal = PROXIMAL * self._mean_square * (penalty.min() == 0)
        precision = penalty + proximal
        matrices = {c: np.diag(precision[:c]) for c in (1, len(precision))}
        priors = []
        for own, ridge, B in zip(self._thetas(), self._ridges, self._sides, strict=True):
            c = own.shape[1]
            mean = np.zeros(c)
            if ridge or proximal:
                center = penalty[:c] * (ridge.S @ B) if ridge else 0.0
                mean = (center + proximal * own) / precision[:c]
            priors.append((mean, matrices[c]))
        n_sets = len(self._kernel.columns)
        if self._linear:
            target = target - sum(block.effect() for block in self._linear)
        residual = self._kernel.sweep(target, w0, self._theta, priors[:n_sets], alpha, None, each)
        residual = update_linear(self._linear, residual, priors[n_sets:], alpha, None)
        penalized = 0.0
        for s, (own, ridge) in enumerate(zip(self._thetas(), self._ridges, strict=True)):
            if ridge:
                self._sides[s] = ridge.fit(own, 1.0)
                own = np.concatenate([own - ridge.S @ self._sides[s], self._sides[s]])
            penalized += np.sum(own**2 @ penalty[: own.shape[1]])
        return residual, penalized

    def coefficients(self, w0: float) -> Coefficients:
        """Return them in the columns of X, in arrays of their own."""
        rest: list[RealArray] = []
        theta: RealArray = before_order(self._theta / self._units[:, None], self._order)
        if isinstance(self._X, Design):
            n = len(self._X.interacting)
            ends = np.cumsum([block.n_levels for block in self._X.interacting])
            own = [*np.split(theta, ends[:-1]), *(block.theta for block in self._linear)]
            parts = [
                own_b if b.side_features is None else flat(own_b, B, b.side_features)
                for b, own_b, B in zip(self._X, own, self._sides, strict=True)
            ]
            theta, rest = np.concatenate(parts[:n]), parts[n:]
        w = np.concatenate([part[:, 0] for part in (theta, *rest)])
        return Coefficients(float(w0), w, theta[:, 1:].copy())

    def _thetas(self) -> list[FloatArray]:
        """Return (columns, k + 1) of each set of columns, and (levels, 1) of each linear block."""
        sets = [self._theta[columns] for columns in self._kernel.columns]
        return sets + [block.theta for block in self._linear]


def _learn(
    penalties: tuple[float, float], coefficients: Coefficients, aside: _Rows, classes: bool
) -> tuple[tuple[float, float], float]:
    """Return the penalties that the rows `aside` ask for, and their mean loss."""
    X, y, weight = aside
    w0, w, V, _ = coefficients
    linear = predict(X, Coefficients(0.0, w, V[:, :0]))
    pairs = predict(X, coefficients) - w0 - linear
    factors = scale_factors(linear, pairs, y, weight, intercept=w0, classes=classes)
    f = w0 + linear + pairs
    losses = 2 * (np.logaddexp(0, f) - y * f) if classes else (y - f) ** 2
    return adjusted(penalties, factors), float(np.average(losses, weights=weight))
