"""Predictions a second for two ids, beside what the machine lets through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.seeds import derive_rng
from bench.studies.speed import machine
from bench.studies.speed.bars import Bar, spread
from bench.studies.speed.page import Section
from bench.studies.speed.setting import configured, setting
from bench.tables import markdown_table
from fm.design import Block, Design
from fm.model import CHUNK, level_tables

ROWS = 4_000_000
BYTES_PER_ROW = 2 * 8 + 8
"""Two levels in, one prediction out: what has to come from memory or go there."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Seconds of `rows` predictions, one a repeat; the least that the two limits allow."""

    rows: int
    seconds: NDArray[np.float64]
    memory_seconds: float
    gather_seconds: float


def measure(repeats: int, rows: int = ROWS) -> Prediction:
    data = setting()
    model = configured("fm_als", n_iter=2, early_stopping=None).fit(*data.development)
    rng = derive_rng(0, "speed", "predict")
    X = Design(
        tuple(Block(b.name, rng.integers(b.n_levels, size=rows), b.n_levels) for b in data.X)
    )
    tables = level_tables(X, model.coefficients_)
    model.predict(X)
    return Prediction(
        rows,
        np.array([machine.seconds(lambda: model.predict(X)) for _ in range(repeats)]),
        rows * BYTES_PER_ROW / machine.bandwidth(machine.IN_MEMORY),
        machine.gather_seconds(tables, [b.levels for b in X], CHUNK // tables[0].shape[1]),
    )


def section(measured: Prediction) -> Section:
    limits = {"memory": measured.memory_seconds, "look-up": measured.gather_seconds}
    binding = max(limits, key=limits.get)
    speed = measured.rows / measured.seconds / 1e6
    rows = [
        ["`predict`", spread(speed), "1"],
        *(
            [
                f"{name} alone",
                f"{measured.rows / least / 1e6:.4g}",
                spread(measured.seconds / least),
            ]
            for name, least in limits.items()
        ),
    ]
    text = f"""\
{measured.rows:,} rows of two random ids, k = 10, the levels of MovieLens-100K.

{markdown_table(["", "million rows/s", "times as long"], rows)}

*Memory alone* is {BYTES_PER_ROW} bytes a row at the speed of a copy in memory; *look-up alone* takes a row of each
of the two tables of factors, which lie in cache, and does nothing with it. The limit that binds is {binding}."""
    return Section(
        "Predictions",
        text,
        (Bar("predict, two ids, k = 10: million rows/s", speed, low=10),),
    )
