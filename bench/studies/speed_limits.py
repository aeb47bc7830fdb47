"""How far the time of a sweep is from what the machine can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.studies import machine
from bench.studies.fits import configured, rows_of, sweep_seconds
from bench.studies.study import Context, Part, Section, Values, spread
from bench.tables import markdown_table
from fm.design import Design

SWEEPS = 50


def work_of_a_sweep(X: Design, k: int) -> tuple[float, float]:
    """Return the least that a sweep over one-hot blocks has to do, in flops and in bytes.

    Flops are, per row and block, a Gram matrix of k + 1 regressors and the target, and per level
    one Cholesky factorization of order k + 1 with the target beside it. Bytes are, per row and
    block, the row's number and its other level (4 bytes each), its target, and k + 2 numbers
    three times: looked up, written as regressors, read for the product.
    """
    visits, levels = len(X) * len(X.blocks), sum(b.n_levels for b in X)
    flops = visits * 2 * (k + 1) * (k + 2) + levels * (k + 2) ** 3 / 3
    return flops, visits * (2 * 4 + 8 + 3 * 8 * (k + 2))


def measure(context: Context) -> Mapping[str, Any]:
    """Return times, work and speed of a sweep's arithmetic and memory traffic."""
    rows = rows_of("data=ml100k")
    models = {s: configured(f"fm_{s}", n_iter=SWEEPS) for s in ("gibbs", "als")}
    models["als"].set_params(early_stopping=None)
    sweep: dict[str, list[float]] = {solver: [] for solver in models}
    for _ in range(context.repeats + 1):  # the first is to warm up
        for solver, model in models.items():
            sweep[solver].append(sweep_seconds(model, rows))
    flops, n_bytes = work_of_a_sweep(rows.X, models["gibbs"].k)
    return {
        "sweep": {solver: of[1:] for solver, of in sweep.items()},
        "work": {"arithmetic": flops, "moving": n_bytes},
        "speed": {"arithmetic": machine.flops(), "moving": machine.bandwidth(machine.IN_CACHE)},
    }


def section(values: Values) -> list[Section]:
    """Write the section."""
    found = values["limits"]
    sweep = {solver: np.array(of) for solver, of in found["sweep"].items()}
    work, speed = found["work"], found["speed"]
    least = {name: work[name] / speed[name] for name in work}
    labels = {
        "arithmetic": "arithmetic, {:.1f} Mflop at {:.1f} Gflop/s",
        "moving": "moving, {:.1f} MB at {:.1f} GB/s",
    }
    rows = [
        [
            labels[name].format(work[name] / 1e6, speed[name] / 1e9),
            f"{1e3 * t:.3g}",
            *(spread(of / t) for of in sweep.values()),
        ]
        for name, t in least.items()
    ]
    rows.append(["a sweep", "", *(f"{spread(1e3 * of)} ms" for of in sweep.values())])
    header = ["", "least ms", *(f"`{s}`: times as long" for s in sweep)]
    text = f"""\
A sweep over ua.base, k = 10, beside the least time in which this machine could do its arithmetic
(at the speed of a product of large matrices) and move its numbers (at the speed of a copy in
cache).

{markdown_table(header, rows)}

Counted are, per row and block, one Gram matrix of the regressors and the target, per level one
Cholesky factorization, and each row's regressors looked up, written and read once. The nearer of
the two limits is
{max(least, key=least.__getitem__)}.

Which parts of a sweep take how long, by k: [scale.md](scale.md)."""
    return [Section("A sweep and the machine's limits", text)]


PART = Part("A sweep and the machine's limits", {"limits": measure}, section)
