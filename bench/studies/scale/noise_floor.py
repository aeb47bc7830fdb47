"""`python -m bench.studies.scale.noise_floor`: how many ratings of a user and of an item until a model is as good as can be;
writes `results/noise_floor.md`.

The noise floor is the error of the ratings' true means. Least squares with p parameters and n ratings of the same noise
has p / n more than that; of an FM each user and each item has 1 + k, so that with r ratings of each it should have
2 (1 + k) / r more, less where a prior knows what to expect, and more of a model that cannot express the truth.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from bench.errors import exit_status
from bench.identity import ROOT
from bench.progress import say
from bench.studies.scale.cell import WITHIN, Cell, K, epochs_of_fits, model_of, rows_of, watched
from bench.studies.speed.bars import Bar, medians, slopes, spread
from bench.studies.speed.page import Plot, Section, write
from bench.tables import MISSING, markdown_table

OF_EACH = (100, 200, 400, 800, 1600)
"""Ratings of a user, and of an item, on average: half of all pairs, the most that the simulation allows."""
TRAINED = 0.9
"""Of the ratings; the others are test."""
TRUE_K = 4
"""Factors that the ratings are drawn from; the models have more."""
SEEDS = range(3)
"""Of the ratings, the split and the model."""
MODELS = ("linear", "fm_als", "fm_sgd", "fm_gibbs", "fm_ordinal", "peer_myfm")
EXPECTED = "2 (1 + k) / r"
HELD = "fm_ordinal"
"""The likelihood that the ratings are drawn from."""

Found = dict[str, dict[int, list[Cell]]]
"""Model -> ratings of each -> a cell a seed."""
Above = dict[int, NDArray[np.float64]]
"""Ratings of each -> by how many per cent the error of the whole fit is above the noise floor, a seed each."""


def measure() -> Found:
    """A peer that is not installed is left out."""
    found: Found = {}
    for of_each in OF_EACH:
        n = 2 * of_each
        for seed in SEEDS:
            shape = [f"data.n_users={n}", f"data.n_items={n}", f"data.k={TRUE_K}"]
            seeds = [f"data.seed={seed}", f"split.seed={seed}", f"split.test={1 - TRAINED}"]
            rows = rows_of(n * of_each, *shape, *seeds)
            for name in MODELS:
                say(f"{of_each} ratings of each, seed {seed}: {name}")
                try:
                    model = model_of(name, n * of_each, f"seed={seed}")
                except ImportError:
                    continue
                found.setdefault(name, {}).setdefault(of_each, []).append(watched(model, rows))
    say()
    return found


def above(cells: dict[int, list[Cell]]) -> Above:
    return {of_each: np.array([cell.above for cell in of]) for of_each, of in cells.items()}


def expected() -> Above:
    """Of least squares with parameters of which none is too many."""
    return {
        of_each: np.array([100 * 2 * (1 + TRUE_K) / (TRAINED * of_each)]) for of_each in OF_EACH
    }


def section(found: Found) -> Section:
    excess = {EXPECTED: expected()} | {name: above(cells) for name, cells in found.items()}
    header = ["", *(f"{of_each:,} of each" for of_each in OF_EACH)]
    rows = [[name, *map(spread, of.values()), spread(slopes(of))] for name, of in excess.items()]
    soon = [[name, *map(_seconds, cells.values())] for name, cells in found.items()]
    soon = [row for row in soon if set(row[1:]) != {MISSING}]
    bound = 100 * (WITHIN - 1)
    text = f"""\
Per cent by which the test error of the whole fit is above that of the ratings' true means, the noise floor. Least
squares with p parameters and n ratings of equal noise has p / n more than that, and each user and each item of the FM
that was simulated has 1 + {TRUE_K}: the first line, of r training ratings of each. A prior that knows what to expect needs
fewer; a model that cannot express the truth, or whose penalty was chosen for other data, stays above:

{markdown_table([*header, "log-log slope"], rows)}

Seconds of fit until the error was within 1 % of the floor:

{markdown_table(header, soon) if soon else "No model came there."}"""
    bar = Bar(
        f"`{HELD}`, {OF_EACH[-1]:,} ratings of each: % above the noise floor",
        excess[HELD][OF_EACH[-1]],
        high=bound,
    )
    plot = Plot(
        "noise_floor", "How close to the best possible?", "ratings of each user and item", "test MSE, % above the noise floor",
        {name: medians(of) for name, of in excess.items()}, ("within 1 %", bound),
    )  # fmt: skip
    return Section("Ever more ratings of each", text, (bar,), (plot,))


def _seconds(cells: list[Cell]) -> str:
    ends = [cell.reached(cell.oracle) for cell in cells]
    return MISSING if None in ends else spread(ends)


def main() -> int:
    about = (
        f"Simulated ratings (`data=planted`) of as many users as items, who rated half of these, {1 - TRAINED:.0%} of them "
        f"for test; {len(SEEDS)} seeds of data, split and model; k = {K}, one thread; epochs or sweeps: {epochs_of_fits(MODELS)}. No hyperparameter is chosen for "
        "these data: they are those of `conf/model`, but for what `bench/scale/cell.py` says."
    )
    title = "How many ratings until an FM is as good as can be?"
    command = "python -m bench.studies.scale.noise_floor"
    print(
        f"Written: {write([section(measure())], 'noise_floor', title, about, command, ROOT / 'results')}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
