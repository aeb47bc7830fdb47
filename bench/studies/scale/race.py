"""Two models by turns, in a process of their own: what is compared meets the same changes of the machine's speed.

python -m bench.studies.scale.race OURS THEIRS ROWS        prints JSON
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from bench.studies.scale.cell import Cell, model_of, rows_of, warm_up, watched

TURNS = 3
EPOCHS = 4
"""Of each fit; VW has the passes of a cell."""
TWO_THREADS = "two threads"
"""As theirs: our own model again, with `n_jobs=2`."""


@dataclass(frozen=True)
class Race:
    """ours, theirs : what each turn measured."""

    ours: list[Cell]
    theirs: list[Cell]

    @property
    def ratios(self) -> NDArray[np.float64]:
        """Seconds of an epoch, sweep or pass, set-up excluded: ours / theirs of each turn."""
        return np.array([a.epoch / b.epoch for a, b in zip(self.ours, self.theirs, strict=True)])

    @property
    def apart(self) -> float:
        """Greatest difference of a prediction in the last turn."""
        return float(
            np.abs(np.subtract(self.ours[-1].predictions, self.theirs[-1].predictions)).max()
        )


def race(ours: str, theirs: str, n_rows: int) -> Race:
    """ImportError where one is not installed."""
    second = (ours, {"n_jobs": 2}) if theirs == TWO_THREADS else (theirs, {})
    models = [_entrant(name, n_rows, given) for name, given in ((ours, {}), second)]
    rows = rows_of(n_rows)
    for model in models:
        warm_up(model, rows)
    turns = [[watched(model, rows) for model in models] for _ in range(TURNS)]
    return Race(*map(list, zip(*turns, strict=True)))


def _entrant(name: str, n_rows: int, given: dict[str, object]) -> BaseEstimator:
    few = {} if name.startswith("vw_") else {"n_iter": EPOCHS}
    return model_of(name, n_rows, **few, **given)


if __name__ == "__main__":
    print(json.dumps(asdict(race(*sys.argv[1:3], int(sys.argv[3])))))
