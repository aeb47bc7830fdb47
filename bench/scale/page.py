"""`results/scale.md`: what was measured, the bars, and what follows for a thousand million ratings."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.scale import by_k
from bench.scale.cell import LOOKED_AT, MODELS, OURS, Cell, K
from bench.scale.race import TURNS, TWO_THREADS, Race
from bench.scale.record import Cells, Races, Record
from bench.speed import page
from bench.speed.bars import Bar, spread
from bench.speed.page import Plot, Section
from bench.tables import MISSING, markdown_table, seconds

WITHIN = 1.01
"""Of an error, that counts as having reached it."""
GIB = 2**30
SPEED_BARS = {
    ("fm_gibbs", "peer_myfm"): ("sweep / myFM's", 0.5),
    ("fm_sgd", "vw_rank"): ("epoch / a pass of VW's --rank", 0.1),
}
BILLION = 1_000_000_000


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
    sizes = _sizes(cells)
    times = _table(cells, lambda cell: None if cell.epoch is None else seconds(cell.epoch))
    whole = _table(cells, lambda cell: seconds(cell.fit))
    memory = _table(cells, lambda cell: None if cell.memory is None else f"{cell.memory / 2**20:,.0f}")
    predicting = _table(cells, lambda cell: None if cell.predict is None else seconds(cell.predict))
    slopes = {name: _slope(cells, name) for name in _names(cells)}
    times = [[*row, slopes[name]] for row, name in zip(times, _names(cells), strict=True)]
    header = [f"{rows:,}" for rows in sizes]
    failed = [
        f"- {name}, {rows:,} ratings: {cell}" for (name, rows), cell in cells.items() if isinstance(cell, str)
    ]
    text = f"""\
Seconds of an epoch, sweep or pass, set-up excluded (the median; of VW, what passes beyond the second take):

{markdown_table(["", *header, "log-log slope"], times)}

Seconds of the whole fit, set-up and the writing of a program's files included. On up to a million ratings that is
{_epochs_of_fits()}; VW 10 passes; on 10 million half of that (VW 4 passes), on 25 million a quarter:

{markdown_table(["", *header], whole)}

MiB of memory that the fit needs at its peak beyond the data (of VW, its process):

{markdown_table(["", *header], memory)}

Seconds of predicting the test rows that are looked at, a tenth of the ratings and at most {LOOKED_AT:,}:

{markdown_table(["", *header], predicting)}
"""
    if failed:
        text += "\n" + "\n".join(["Not measured, and at no larger size either:", "", *failed])
    lines = {
        name: (np.array(list(found)), np.array(list(found.values())))
        for name in ("fm_sgd", "fm_als", "fm_gibbs", "peer_myfm", "vw_rank")
        if (found := _epochs(cells, name))
    }
    plot = Plot("scale_epoch", f"One epoch, sweep or pass, k = {K}", "ratings", "seconds", lines)
    return Section("Beside each other", text, tuple(_bars(cells)), (plot,) if lines else ())


def errors(cells: Cells) -> Section:
    """How close to the best possible, and how soon."""
    rows = []
    lowest = {
        size: min((min(c.mse) for c in _at(cells, size).values()), default=math.nan) for size in _sizes(cells)
    }
    for name in _names(cells):
        row = [name]
        for size in _sizes(cells):
            cell = cells.get((name, size))
            if not isinstance(cell, Cell):
                row += [MISSING, MISSING, MISSING]
                continue
            row += [f"{100 * (min(cell.mse) / cell.oracle - 1):.1f}"]
            row += [_reached(cell, bound) for bound in (WITHIN * cell.oracle, WITHIN * lowest[size])]
        rows.append(row)
    header = [
        f"{what}, {size:,}" for size in _sizes(cells) for what in ("% above", "s to floor", "s to best")
    ]
    text = f"""\
Of each size: by how many per cent the lowest test error of the fit is *above* that of the ratings' true means, the
noise floor; seconds of fit until the error was within 1 % of that *floor*; and within 1 % of the *best* error
that any model here reached on as many ratings. Errors are looked at outside the time, on at most 100,000 test rows,
after each epoch; of models that cannot be watched (linear, mf, nmf, VW, libFM, scikit-learn, Surprise,
and the ordered probit of myFM) after the whole fit.

{markdown_table(["", *header], rows)}

A user of these data has about 110 to 150 ratings whatever their number, so that errors stay above the floor by what
her coefficients cannot be known: more ratings of more users do not close that gap."""
    return Section("How close to the best possible, and how soon", text)


def billion(cells: Cells) -> Section:
    """A calculation from the largest size measured."""
    lines = []
    for name in ("fm_sgd", "fm_als", "fm_gibbs"):
        size = max(
            (rows for n, rows in cells if n == name and isinstance(cells[n, rows], Cell)), default=None
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
  `fm.conditional`, and hands its theta on. For gradient descent on many features, PyTorch's TorchRec: its embedding
  tables are split over machines by design. Which of the three is a question of the model, not of speed; none was
  measured here."""
    return Section("What would 10^9 ratings take?", text)


def _bars(cells: Cells) -> list[Bar]:
    bars = []
    for rows, high in ((10_000_000, 3), (25_000_000, 16)):
        weighed = {n: c.memory for n, c in _at(cells, rows).items() if n in OURS and c.memory is not None}
        if weighed:
            most = max(weighed, key=weighed.get)
            what = f"peak memory, {rows:,} ratings, GiB (the most: `{most}`)"
            bars.append(Bar(what, np.array([weighed[most] / GIB]), high=high))
    return bars


def _epochs_of_fits() -> str:
    return ", ".join(f"{name} {given['n_iter']}" for name, given in MODELS.items() if "n_iter" in given)


def _names(cells: Cells) -> list[str]:
    return list(dict.fromkeys(name for name, _ in cells))


def _sizes(cells: Cells) -> list[int]:
    return sorted({rows for _, rows in cells})


def _at(cells: Cells, size: int) -> dict[str, Cell]:
    return {n: c for (n, rows), c in cells.items() if rows == size and isinstance(c, Cell)}


def _table(cells: Cells, show: Callable[[Cell], str | None]) -> list[list[str]]:
    def cell_of(name: str, size: int) -> str:
        cell = cells.get((name, size))
        return (show(cell) if isinstance(cell, Cell) else None) or MISSING

    return [[name, *(cell_of(name, size) for size in _sizes(cells))] for name in _names(cells)]


def _epochs(cells: Cells, name: str) -> dict[int, float]:
    return {
        rows: c.epoch
        for (n, rows), c in sorted(cells.items(), key=lambda item: item[0][1])
        if n == name and isinstance(c, Cell) and c.epoch is not None
    }


def _slope(cells: Cells, name: str) -> str:
    found = _epochs(cells, name)
    if len(found) < 2:
        return MISSING
    return f"{np.polyfit(np.log(list(found)), np.log(list(found.values())), 1)[0]:.2f}"


def _reached(cell: Cell, bound: float) -> str:
    return next((seconds(s) for s, mse in zip(cell.seconds, cell.mse, strict=True) if mse <= bound), "never")
