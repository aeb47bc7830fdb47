"""What else was tried: each idea beside the same model without it, on validation rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from bench.intervals import paired_gap
from bench.measure import Measured
from bench.studies.fits import Rows, configured, rows_of
from bench.studies.study import Context, Part, Section, Values
from bench.tables import MISSING, markdown_table, signed
from fm.design import Design

TITLE = "What else was tried?"
SHARED = "[ids,day,side,implicit,implicit_items]"
"""What myFM can be given too: sessions have no factors, which it has no counterpart of."""
BASE = f"{SHARED[:-1]},sessions]"
PRIOR_RATINGS = 10.0
"""Ratings that a user's noise is believed to be everybody's for."""


Prediction = Callable[[BaseEstimator, Rows], NDArray[np.float64]]


def plain(model: BaseEstimator, rows: Rows) -> NDArray[np.float64]:
    """Fit and predict."""
    return model.fit(rows.X, rows.y).predict(rows.held_out)


def noise_per_user(model: BaseEstimator, rows: Rows) -> NDArray[np.float64]:
    """Fit again, each rating weighted by the precision that the first fit's errors give its user.

    It is the mean of Gamma(a + n / 2, a s + SSE / 2) with 2 a = `PRIOR_RATINGS`, s the mean
    squared error of all.
    """
    squares = (rows.y - model.fit(rows.X, rows.y).predict(rows.X)) ** 2
    user = rows.X.block("user").levels
    a = PRIOR_RATINGS / 2
    precision = (a + np.bincount(user) / 2) / (a * squares.mean() + np.bincount(user, squares) / 2)
    weight = precision[user]
    return model.fit(rows.X, rows.y, sample_weight=weight / weight.mean()).predict(rows.held_out)


def sessions_with_factors(model: BaseEstimator, rows: Rows) -> NDArray[np.float64]:
    """Fit with factors where there are linear weights alone."""
    X, held_out = (
        Design(tuple(replace(block, linear=False) for block in of))
        for of in (rows.X, rows.held_out)
    )
    return plain(model, replace(rows, X=X, held_out=held_out))


IDEAS: dict[str, tuple[str, Prediction]] = {
    "a rating's place in the user's history": (f"{BASE[:-1]},place]", plain),
    "the film's age at the rating": (f"{BASE[:-1]},item_age]", plain),
    "hour and weekday": (f"{BASE[:-1]},cyclic]", plain),
    "sessions with factors (user-day interactions)": (BASE, sessions_with_factors),
    "noise of its own for each user": (BASE, noise_per_user),
}
CHAINS = "mean of the chains instead of one"
LATER = "sessions, later ratings"
SWEEPS = 200


@dataclass(frozen=True)
class Change:
    """Change in MSE with its 95 % interval over rows; std over seeds without and with."""

    gap: Sequence[float]
    std: Sequence[float]


def measure(context: Context) -> Mapping[str, Change]:
    """Return what each idea changes; and what sessions change about later ratings."""
    model = configured("fm_gibbs", n_iter=SWEEPS)
    where = ("data=ml100k", "split=u1", "split.validation=0.2")

    def predictions(features: str, predict: Prediction) -> Predicted:
        rows = rows_of(*where, f"features.names={features}", parts=("train", "validation"))
        return _predictions(model, predict, rows, context.repeats)

    base = predictions(BASE, plain)
    changes = {idea: change(base, predictions(*asked)) for idea, asked in IDEAS.items()}
    changes[CHAINS] = change(base, (base[0].mean(axis=0, keepdims=True), base[1]))
    later = (
        rows_of("data=ml100k", "split=temporal", f"features.names={features}")
        for features in (SHARED, BASE)
    )
    return changes | {
        LATER: change(*(_predictions(model, plain, rows, context.repeats) for rows in later))
    }


Predicted = tuple[NDArray[np.float64], Rows]
"""(n_seeds, n_rows) predictions, and of what."""


def _predictions(model: BaseEstimator, predict: Prediction, rows: Rows, repeats: int) -> Predicted:
    with Measured(threads=1):
        found = [predict(model.set_params(random_state=seed), rows) for seed in range(repeats)]
    return np.array(found), rows


def change(before: Predicted, after: Predicted) -> Change:
    """Return the change in MSE from one to the other, errors averaged over seeds."""
    errors = [rows.squared_errors(prediction) for prediction, rows in (before, after)]
    stds = [e.mean(axis=1).std(ddof=1) if len(e) > 1 else np.nan for e in errors]
    return Change(paired_gap(*(e.mean(axis=0) for e in reversed(errors))), tuple(stds))


def section(values: Values) -> list[Section]:
    """Write the section."""
    changes = {idea: Change(**of) for idea, of in values["ideas"].items()}
    later = changes.pop(LATER)
    rows = [[idea, *_cells(change)] for idea, change in changes.items()]
    header = ["idea", "change in MSE [95 %]", "std over seeds, without", "with", "helps"]
    text = f"""\
{markdown_table(header, rows, left=1)}

`fm_gibbs`, all features, k = 10, {SWEEPS} sweeps; errors are averaged over seeds; a fifth of the
training rows of u1 is held out, test rows play no part. An idea *helps* when its interval lies
below zero and it gains more than twice the standard deviation over seeds. Of the other ideas,
full covariances (Normal-Wishart) are the prior of every block here, and interaction masks are
what makes sessions linear.

Sessions, where all test ratings are later than all training ratings (`split=temporal`):
{signed(*later.gap)} in MSE, standard deviation over seeds {later.std[0]:.4f} without and
{later.std[1]:.4f} with."""
    return [Section(TITLE, text)]


def _cells(change: Change) -> Sequence[str]:
    gap, _, high = change.gap
    stds = [f"{std:.4f}" if np.isfinite(std) else MISSING for std in change.std]
    helps = high < 0 and -gap > 2 * np.nanmax(change.std)
    return [signed(*change.gap), *stds, "yes" if helps else "no"]


PART = Part(TITLE, {"ideas": measure}, section)
