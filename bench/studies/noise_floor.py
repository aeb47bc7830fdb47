"""How many ratings of a user and of an item until a model is as good as can be.

The noise floor is the error of the ratings' true means. Least squares with p parameters and n
ratings of the same noise has p / n more than that; of an FM each user and each item has 1 + k, so
that with r ratings of each it should have 2 (1 + k) / r more, less where a prior knows what to
expect, and more of a model that cannot express the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from bench.studies.fits import WITHIN, Fit, configured, watched
from bench.studies.scale import K, epochs_of_fits, settings, simulated
from bench.studies.study import (
    Bar,
    Context,
    Part,
    Section,
    Study,
    Values,
    line_plot,
    medians,
    slopes,
    spread,
)
from bench.tables import markdown_table

OF_EACH = (100, 200, 400, 800, 1600)
"""Ratings of a user, and of an item: half of all pairs, the most that can be simulated."""
TRAINED = 0.9
"""Of the ratings; the others are test."""
TRUE_K = 4
"""Factors that the ratings are drawn from; the models have more."""
SEEDS = range(3)
"""Of the ratings, the split and the model."""
MODELS = ("linear", "fm_als", "fm_sgd", "fm_gibbs", "fm_ordinal", "peer_myfm")
BEST = "fm_ordinal"
"""The likelihood that the ratings are drawn from."""
TITLE = "Ever more ratings of each"


def measure(of_each: int, _: Context) -> Mapping[str, Sequence[Fit]]:
    """Return a fit a seed of each model; a peer that is not installed is left out."""
    fits: dict[str, list[Fit]] = {}
    n = 2 * of_each
    for seed in SEEDS:
        shape = [f"data.n_users={n}", f"data.n_items={n}", f"data.k={TRUE_K}"]
        seeds = [f"data.seed={seed}", f"split.seed={seed}", f"split.test={1 - TRAINED}"]
        rows = simulated(n * of_each, *shape, *seeds)
        for name in MODELS:
            try:
                model = configured(name, f"seed={seed}", **settings(name, n * of_each))
            except ImportError:
                continue
            fits.setdefault(name, []).append(watched(model, rows))
    return fits


def section(values: Values) -> list[Section]:
    """Write the section."""
    fits: dict[str, dict[int, list[Fit]]] = {}
    for key, by_model in values.items():
        for name, of in by_model.items():
            fits.setdefault(name, {})[int(key.split(" ")[0])] = [Fit(**fit) for fit in of]
    sizes = list(next(iter(fits.values())))
    excess = {
        "2 (1 + k) / r": {r: np.array([100 * 2 * (1 + TRUE_K) / (TRAINED * r)]) for r in sizes}
    }
    for name, of in fits.items():
        excess[name] = {r: np.array([fit.above for fit in seeds]) for r, seeds in of.items()}
    header = ["", *(f"{r:,} of each" for r in sizes), "log-log slope"]
    rows = [[name, *map(spread, of.values()), spread(slopes(of))] for name, of in excess.items()]
    text = f"""\
Per cent by which the test error of the whole fit is above that of the ratings' true means, the
noise floor. Least squares with p parameters and n ratings of equal noise has p / n more than
that, and each user and each item of the FM that was simulated has 1 + {TRUE_K}: the first line,
of r training ratings of each. A prior that knows what to expect needs fewer; a model that cannot
express the truth, or whose penalty was chosen for other data, stays above:

{markdown_table(header, rows)}"""
    bound = 100 * (WITHIN - 1)
    what = f"`{BEST}`, {sizes[-1]:,} ratings of each: % above the noise floor"
    bar = Bar(what, excess[BEST][sizes[-1]], high=bound)
    plot = line_plot(
        "noise_floor",
        "How close to the best possible?",
        "ratings of each user and item",
        "test MSE, % above the noise floor",
        {name: medians(of) for name, of in excess.items()},
        ("within 1 %", bound),
    )
    return [Section(TITLE, text, (bar,), (plot,))]


STUDY = Study(
    "noise_floor",
    "How many ratings until an FM is as good as can be?",
    "how the error of an FM comes down to that of the true means",
    "Simulated ratings (`data=planted`) of as many users as items, who rated half of these, "
    f"{1 - TRAINED:.0%} of them for test; {len(SEEDS)} seeds of data, split and model; k = {K}, "
    f"one thread; epochs or sweeps: {epochs_of_fits(MODELS)}. No hyperparameter is chosen for "
    "these data: they are those of `conf/model`, but for what `bench/studies/scale_models.yaml` "
    "says.",
    (Part(TITLE, {f"{r} of each": partial(measure, r) for r in OF_EACH}, section),),
)
