"""`results/scale.md`: what was measured, the bars, and what follows for a thousand million ratings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.report.figures import Point, pareto
from bench.studies.scale import by_k
from bench.studies.scale.cell import LOOKED_AT, MODELS, OURS, Cell, K, epochs_of_fits, n_epochs
from bench.studies.scale.race import TURNS, TWO_THREADS, Race
from bench.studies.scale.record import Cells, Races, Record
from bench.studies.speed import page
from bench.studies.speed.bars import Bar, slopes, spread
from bench.studies.speed.page import Plot, Section
from bench.tables import MISSING, markdown_table, seconds

GIB = 2**30
SPEED_BARS = {
    ("fm_gibbs", "peer_myfm"): ("sweep / myFM's", 0.5),
    ("fm_sgd", "vw_rank"): ("epoch / a pass of VW's --rank", 0.1),
}
BILLION = 1_000_000_000
Curves = dict[str, dict[int, float]]
"""Model -> ratings -> what was measured."""


@dataclass(frozen=True)
class Pareto:
    """Error against time of every model."""

    name: str
    title: str
    models: Mapping[str, Point]

    def draw(self, path: Path) -> None:
        pareto(self.models, path)


def sections(record: Record) -> list[Section]:
    cells = record.cells
    found = [side_by_side(cells), errors(cells), billion(cells)]
    if record.races:
        found.insert(0, by_turns(record.races))
    return found if record.by_k is None else [*found, by_k.section(record.by_k)]


def write(record: Record, command: str, directory: Path) -> Path:
    about = (
        "Simulated ratings (`data=planted`) of the shapes of MovieLens 100K, 1M, 10M and 25M, each model and size once, in "
        f"a process of its own, on one thread unless said; k = {K}. Numbers are of double precision, but for `fm_sgd`, "
        "which is held against VW and has numbers of single precision, as VW has."
    )
    title = "From a hundred thousand ratings to 25 million"
    return page.write(sections(record), "scale", title, about, command, directory, record.where)


def by_turns(races: Races) -> Section:
    """What the bars on speed are about."""
    rows, bars = [], []
    for (ours, theirs), found in races.items():
        if isinstance(found, str):
            rows.append([ours, theirs, MISSING, MISSING, found])
            continue
        times = (spread([cell.epoch for cell in side]) for side in (found.ours, found.theirs))
        rows.append([ours, theirs, *times, spread(found.ratios)])
        bars += _race_bars(ours, theirs, found)
    text = f"""\
Ours and theirs in one process, a fit of each by turns, {TURNS} turns, at 10,000,000 ratings: seconds of an epoch, sweep or
pass, each turn's median, and the ratio of each turn. With *{TWO_THREADS}* it is our own model, with `n_jobs=2`: batches of
levels are shared out to threads, random numbers are drawn before, sums are added up in one order, so that draws are
the same.

{markdown_table(["ours", "theirs", "ours, s", "theirs, s", "ours / theirs"], rows)}"""
    return Section("By turns", text, tuple(bars))


def _race_bars(ours: str, theirs: str, race: Race) -> list[Bar]:
    if theirs == TWO_THREADS:
        return [
            Bar(f"`{ours}`, 10,000,000 ratings: speed-up by two threads", race.ratios, low=1.6),
            Bar(
                "greatest difference of a prediction between one and two threads",
                np.array([race.apart]),
                high=1e-8,
            ),
        ]
    what, high = SPEED_BARS[ours, theirs]
    return [Bar(f"`{ours}`, 10,000,000 ratings: {what}", race.ratios, high=high)]


def side_by_side(cells: Cells) -> Section:
    failed = [
        f"- {name}, {rows:,} ratings: {cell}"
        for (name, rows), cell in cells.items()
        if isinstance(cell, str)
    ]
    epoch = _curves(cells, lambda _, cell: cell.epoch)
    fit = _curves(cells, lambda _, cell: cell.fit)
    share = _curves(cells, lambda key, cell: cell.fit / n_epochs(*key))
    memory = _curves(cells, lambda _, cell: cell.memory and cell.memory / 2**20)
    weighable = {name: {n: mib for n, mib in of.items() if mib >= 1} for name, of in memory.items()}
    predict = _curves(cells, lambda _, cell: cell.predict)
    text = f"""\
Seconds of an epoch, sweep or pass, set-up excluded (the median; of VW, what passes beyond the second take):

{_table(cells, epoch, growing=epoch)}

Seconds of the whole fit, set-up and the writing of a program's files included. On up to a million ratings that is
{epochs_of_fits(MODELS)}; VW 10 passes; on 10 million half of that (VW 4 passes), on 25 million a quarter. The slope is of
seconds an epoch, of a model without epochs of the fit:

{_table(cells, fit, growing=share)}

MiB of memory that the fit needs at its peak beyond the data (of VW, its process); slopes are of sizes at which that is a
MiB or more:

{_table(cells, memory, growing=weighable, show="{:,.0f}".format)}

Seconds of predicting the test rows that are looked at, a tenth of the ratings and at most {LOOKED_AT:,}:

{_table(cells, predict)}
"""
    if failed:
        text += "\n" + "\n".join(["Not measured, and at no larger size either:", "", *failed])
    plots = (
        Plot("scale_epoch", f"One epoch, sweep or pass, k = {K}", "ratings", "seconds", _lines(epoch)),
        Plot("scale_fit", f"A fit, set-up included, k = {K}", "ratings", "seconds an epoch, or in all where there are none", _lines(share)),
        Plot("scale_memory", f"Memory of a fit at its peak, k = {K}", "ratings", "MiB beyond the data", _lines(weighable)),
    )  # fmt: skip
    return Section("Beside each other", text, tuple(_bars(cells)), plots)


def errors(cells: Cells) -> Section:
    """How close to the best possible, and how soon."""
    lowest = {
        size: min(min(c.mse) for c in found.values())
        for size in _sizes(cells)
        if (found := _at(cells, size))
    }
    above = _curves(cells, lambda _, cell: cell.above)
    floor = _curves(cells, lambda _, cell: cell.reached(cell.oracle))
    best = _curves(cells, lambda key, cell: cell.reached(lowest[key[1]]))
    within = "No model came within 1 % of it, at any size."
    if floor:
        within = f"Seconds of fit until the error was within 1 % of it:\n\n{_table(cells, floor)}"
    text = f"""\
By how many per cent the test error of the whole fit is above that of the ratings' true means, the noise floor:

{_table(cells, above, show="{:.1f}".format)}

{within}

A user of these data has about 110 to 150 ratings whatever their number, so that errors stay above the floor by what
her coefficients cannot be known: more ratings of more users do not close that gap. How many of each user do:
[noise_floor.md](noise_floor.md).

Seconds of fit until the error was within 1 % of the best that any model here reached on as many ratings:

{_table(cells, best)}

Errors are looked at outside the time, on at most {LOOKED_AT:,} test rows, after each epoch; of models that cannot be
watched (linear, mf, nmf, VW, libFM, scikit-learn, Surprise, and the ordered probit of myFM) after the whole fit. No
hyperparameter is chosen for these data: they are those of `conf/model`, but for what `bench/scale/cell.py` says."""
    size = max((size for size in _sizes(cells) if set(_at(cells, size)) - set(OURS)), default=0)
    points = {name: Point(cell.fit, cell.mse[-1]) for name, cell in _at(cells, size).items()}
    plot = Pareto("scale_pareto", f"What does accuracy cost, at {size:,} ratings?", points)
    return Section(
        "How close to the best possible, and how soon", text, (), (plot,) if points else ()
    )


def billion(cells: Cells) -> Section:
    """A calculation from the largest size measured."""
    lines = []
    for name in ("fm_sgd", "fm_als", "fm_gibbs"):
        size = max(
            (rows for n, rows in cells if n == name and isinstance(cells[n, rows], Cell)),
            default=None,
        )
        if size is None:
            continue
        cell = cells[name, size]
        factor = BILLION / size
        memory = None if cell.memory is None else f"{cell.memory * factor / GIB:,.0f}"
        epochs = MODELS[name]["n_iter"]
        lines.append([
            name, f"{cell.epoch * factor:,.0f}", memory or MISSING, f"{24 * BILLION / GIB:,.0f}", str(epochs),
            f"{cell.epoch * factor * epochs / 3600:,.1f}", f"{cell.epoch * factor * epochs / 3600 / (32 * 0.7):,.2f}",
        ])  # fmt: skip
    text = f"""\
A calculation, not a promise. It assumes that time and memory go on growing in proportion to ratings from the largest
size above (the slopes there say how nearly), with about 150 ratings a user and 6.5 million users; and that 32 cores
are 0.7 as fast a core as one, which the two threads above make plausible and nobody has measured. The data are
24 bytes a rating, two ids and a value.

{markdown_table(["", "s an epoch, one core", "GiB of the fit", "GiB of the data", "epochs", "hours, one core", "hours, 32 cores"], lines)}

- **One machine is enough.** 10^9 ratings and their sums fit into the memory of a server of 256 GiB. What has to change
  in `fm`: nothing in the mathematics; its rows would be read from a memory map, and gradient descent needs
  threads, which it does not have.
- **More than one machine** pays for the block updates only: given the other blocks, levels are independent, so that
  each machine holds the rows of its users, and once more those of its items, and between two blocks all send each
  other what they drew, levels x (k + 1) numbers: 0.9 GB a sweep for users here, little beside the products.
- **The engine we would put under it** is Spark's ALS, in its own block partition, where a matrix factorization by least
  squares is enough: it is this very scheme, kept by others, with recovery from failures. For an FM with more than ids,
  and for the sampler, the same scheme on Ray actors with this library inside each: an actor keeps its rows, calls
  `fm.block_kernel`, and hands its theta on. For gradient descent on many features, PyTorch's TorchRec: its embedding
  tables are split over machines by design. Which of the three is a question of the model, not of speed; none was
  measured here."""
    return Section("What would 10^9 ratings take?", text)


def _bars(cells: Cells) -> list[Bar]:
    bars = []
    for rows, high in ((10_000_000, 3), (25_000_000, 16)):
        weighed = {
            n: c.memory for n, c in _at(cells, rows).items() if n in OURS and c.memory is not None
        }
        if weighed:
            most = max(weighed, key=weighed.get)
            what = f"peak memory, {rows:,} ratings, GiB (the most: `{most}`)"
            bars.append(Bar(what, np.array([weighed[most] / GIB]), high=high))
    return bars


def _names(cells: Cells) -> list[str]:
    return list(dict.fromkeys(name for name, _ in cells))


def _sizes(cells: Cells) -> list[int]:
    return sorted({rows for _, rows in cells})


def _at(cells: Cells, size: int) -> dict[str, Cell]:
    return {n: c for (n, rows), c in cells.items() if rows == size and isinstance(c, Cell)}


def _curves(cells: Cells, of: Callable[[tuple[str, int], Cell], float | None]) -> Curves:
    """What has been measured, of the models of which something has."""
    curves: Curves = {}
    for key, cell in sorted(cells.items(), key=lambda item: item[0][1]):
        value = of(key, cell) if isinstance(cell, Cell) else None
        if value is not None:
            curves.setdefault(key[0], {})[key[1]] = value
    return {name: curves[name] for name in _names(cells) if name in curves}


def _table(
    cells: Cells,
    curves: Curves,
    *,
    growing: Curves | None = None,
    show: Callable[[float], str] = seconds,
) -> str:
    sizes = _sizes(cells)
    rows = [
        [name, *(show(curve[size]) if size in curve else MISSING for size in sizes)]
        for name, curve in curves.items()
    ]
    header = ["", *(f"{size:,}" for size in sizes)]
    if growing is not None:
        header.append("log-log slope")
        rows = [[*row, _slope(growing[row[0]])] for row in rows]
    return markdown_table(header, rows)


def _lines(curves: Curves) -> dict[str, tuple[NDArray, NDArray]]:
    return {
        name: (np.array(list(curve)), np.array(list(curve.values())))
        for name, curve in curves.items()
    }


def _slope(curve: Mapping[int, float]) -> str:
    return MISSING if len(curve) < 2 else f"{slopes(curve):.2f}"
