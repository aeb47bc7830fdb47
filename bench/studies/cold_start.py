"""What side features say of users and items without a training rating.

A tenth of the users (then of the items) is held out with all ratings. From ids alone such a level
is its prior's mean; side features move that mean. Nothing is chosen here, so no validation rows
are set apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench.intervals import grouped_gap
from bench.run import run
from bench.studies.fits import job
from bench.studies.study import Context, Part, Section, Study, Values, mean_std
from bench.tables import MISSING, markdown_table, signed

SEEDS = range(5)
"""Of who is held out, and of the sampler."""
DATA = ("data=ml100k",)
MODELS = {
    "fm_gibbs": ("model=fm_gibbs", "model.k=10", "model.n_iter=100"),
    "fm_ordinal": ("model=fm_ordinal", "model.k=10", "model.n_iter=100"),
}
FEATURES = {"ids (prior mean)": "[ids]", "ids, side": "[ids,side]"}
AVERAGE = "mean of all training ratings"


def measure(who: str, _: Context) -> Mapping[str, Any]:
    """Return the MSE of each seed by model and features; and the gain of side features."""
    errors: dict[str, dict[str, list]] = {name: {} for name in MODELS}
    average, groups = [], []
    for seed in SEEDS:
        split = (f"split=new_{who}s", "split.validation=0", f"seed={seed}", f"data_seed={seed}")
        for name, model in MODELS.items():
            for label, features in FEATURES.items():
                asked = job(*DATA, *split, *model, f"features.names={features}")
                result = run(asked)
                ratings = asked.dataset.rows
                truth = ratings["rating"].to_numpy()[result.rows]
                clipped = np.clip(result.prediction, *asked.dataset.scale)
                errors[name].setdefault(label, []).append((clipped - truth) ** 2)
        groups.append(ratings[who].to_numpy()[result.rows])
        train = asked.split(asked.dataset).development
        average.append(float(np.mean((truth - ratings["rating"].to_numpy()[train].mean()) ** 2)))
    gain = {
        name: grouped_gap(np.concatenate(ids), np.concatenate(side), np.concatenate(groups))
        for name, (ids, side) in ((name, of.values()) for name, of in errors.items())
    }
    mse = {
        name: {label: [e.mean() for e in es] for label, es in of.items()}
        for name, of in errors.items()
    }
    held_out = [len(set(groups[0])), float(np.mean([len(g) for g in groups]))]
    return {"average": average, "mse": mse, "gain": gain, "held_out": held_out}


def section(who: str, values: Values) -> list[Section]:
    """Write a row a model and choice of features; gains are over the same model by ids."""
    (found,) = values.values()
    rows = [[AVERAGE, "", *_errors(found["average"]), MISSING]]
    for name, of in found["mse"].items():
        for label, mse in of.items():
            gain = MISSING if label == next(iter(FEATURES)) else signed(*found["gain"][name])
            rows.append([f"`{name}`", label, *_errors(mse), gain])
    levels, ratings = found["held_out"]
    header = ["model", "features", "MSE", "RMSE", "gain in MSE [95 %]"]
    text = f"A seed holds out {levels} {who}s, on average with {ratings:,.0f} ratings."
    return [Section(f"New {who}s", f"{text}\n\n{markdown_table(header, rows, left=2)}")]


def _errors(mse: Sequence[float]) -> list[str]:
    return [mean_std(mse), mean_std(np.sqrt(mse))]


def _part(who: str) -> Part:
    measures: Mapping[str, Callable] = {f"new {who}s": partial(measure, who)}
    return Part(f"New {who}s", measures, partial(section, who))


STUDY = Study(
    "cold_start",
    "What do side features say of the unknown?",
    "side features for new users and new items",
    "MovieLens-100K; a tenth of the users (of the items) is held out with all ratings, drawn "
    f"anew for each of {len(SEEDS)} seeds. From ids alone a new user is an average one, and so "
    "is a new item; `side` is age, gender, occupation and zip area of users, genres and year of"
    " items. k = 10, 100 sweeps, nothing chosen. Errors are of predictions clipped to 1..5, "
    f"mean ± standard deviation over the seeds (n = {len(SEEDS)}, ddof = 1). The gain is over "
    "the same model from ids alone, over the test rows of all seeds, with a 95 % paired "
    "bootstrap interval that resamples whole users (items), since the ratings of one unknown "
    "user are not independent. Implicit features (`implicit`, `implicit_items`) say nothing of "
    "a user or an item without training ratings, and are left out.",
    tuple(map(_part, ("user", "item"))),
)
