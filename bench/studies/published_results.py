"""How far an FM goes on data sets that neural models are measured on: tracked runs and papers.

A measurement is one run of the harness, which makes no run again that is finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import ttest_1samp

from bench.report.figures.style import Drawing
from bench.studies.published_runs import Benchmark, Published, Row, measure_curve, measure_run
from bench.studies.study import Bar, Part, Section, Study, Values, line_plot, mean_std, spread
from bench.tables import MISSING, markdown_table, number, seconds

ORDER = ("douban", "ml1m", "ml100k", "ml100k_splits", "ml100k_temporal", "frappe")
NOT_MEASURED = "not measured"
CONTEXTS = "experiment=contexts"
N_FIELDS = (3, 10, 20, 40)
CONTEXT_MODELS = [
    *("base_rate", "logistic", "quadratic_logistic", "vw_pairs"),
    *("fm_sgd", "fm_als", "fm_gibbs", "peer_sklearn_boosting"),
]
RMSE = "test/rmse_clipped"
LOSS, POSSIBLE = "test/log_loss", "test/oracle_log_loss"


def sections(benchmark: Benchmark, values: Values) -> list[Section]:
    """Return a table for each kind of information: published values, then measured ones."""
    kinds = dict.fromkeys(p.information for p in benchmark.published)
    kinds |= dict.fromkeys(row.information for row in benchmark.rows)
    text = [
        benchmark.about,
        f"Runs: `python -m bench -m {benchmark.command}` and the words of the row.",
    ]
    for kind in kinds:
        published = [p for p in benchmark.published if p.information == kind]
        rows = [row for row in benchmark.rows if row.information == kind]
        text += [f"### From {kind}", table(benchmark, published, rows, values)]
    bars = [bar for row in benchmark.rows for bar in _bars(benchmark, row, values)]
    return [Section(benchmark.title, "\n\n".join(text), bars, _curves(benchmark, values))]


def _measured(
    benchmark: Benchmark, row: Row, values: Values, kind: str = ""
) -> list[Mapping[str, Any]]:
    """Return what was measured of each run of a row, or with `kind` "curve " its curves."""
    named = [values.get(f"{benchmark.name}: {row.name}, {kind}{run}") for run in row.runs]
    return [of for of in named if isinstance(of, Mapping)]


def table(
    benchmark: Benchmark, published: Sequence[Published], rows: Sequence[Row], values: Values
) -> str:
    """Return published values, then what was not measured, then ours, the best last."""
    first = next(iter(benchmark.metrics))
    best = min((p.values[first] for p in published if first in p.values), default=None)
    lines = [
        [
            f"[{p.name}]({p.link})",
            *(number(p.values.get(metric)) for metric in benchmark.metrics),
            *[MISSING] * 6,
            f"published; {p.protocol}",
            MISSING,
        ]
        for p in published
    ]
    empty = [NOT_MEASURED, *[MISSING] * (len(benchmark.metrics) + 5)]
    measured = []
    for row in rows:
        of = _measured(benchmark, row, values)
        label, words = _label(row, row.features), f"`{row.every_run}`"
        if of:
            line = [label, *_cells(benchmark, of, best), row.over(len(of)), words]
            measured.append((_mean(of, first), line))
        else:
            why = str(values.get(f"{benchmark.name}: {row.name}, {row.runs[0]}", MISSING))
            lines.append([label, *empty, why.partition("\n")[0], words])
    lines += [line for _, line in sorted(measured, reverse=True)]
    if not rows:
        lines.append(["any FM here", *empty, MISSING, MISSING])
    header = ["", *benchmark.metrics.values(), "− best published", "n", "k", "sweeps"]
    return markdown_table([*header, "fit s", "CPU s", "over", "words of its command"], lines)


def _cells(benchmark: Benchmark, of: Sequence[Mapping], best: float | None) -> list[str]:
    """Return what was measured of a row."""
    first = next(iter(benchmark.metrics))
    one = of[0]
    burn_in = f", from {int(one['burn_in']) + 1} on" if one["burn_in"] else ""
    return [
        *(mean_std([run["values"][metric] for run in of]) for metric in benchmark.metrics),
        MISSING if best is None else f"{_mean(of, first) - best:+.4f}",
        str(len(of)),
        one["k"] or MISSING,
        MISSING if one["sweeps"] in (None, "None") else one["sweeps"] + burn_in,
        *(seconds(float(np.mean([run[time] for run in of]))) for time in ("seconds", "cpu")),
    ]


def _label(row: Row, features: Sequence[str] = ()) -> str:
    note = f" ({row.note})" if row.note else ""
    return ", ".join([f"`{row.model}`", *features]) + note


def _mean(of: Sequence[Mapping], metric: str) -> float:
    return float(np.mean([run["values"][metric] for run in of]))


def _bars(benchmark: Benchmark, row: Row, values: Values) -> Iterator[Bar]:
    """Yield the bars of a row, for the mean over its runs."""
    of = _measured(benchmark, row, values)
    over = row.over(len(of))
    for metric, bound in row.bars.items() if of else ():
        heading = benchmark.metrics[metric]
        what = f"{benchmark.title}, {row.information}: {heading} of {_label(row)}, {over}"
        side = "low" if metric in benchmark.higher else "high"
        measured = np.array([run["values"][metric] for run in of])
        yield Bar(what, measured, **{side: bound}, statistic="mean")


def _curves(benchmark: Benchmark, values: Values) -> list[Drawing]:
    """Return the figure of the first learning curve of each row, over published values."""
    lines: dict[str, Any] = {}
    information = set()
    for row in benchmark.rows:
        for curve in _measured(benchmark, row, values, "curve ")[:1]:
            lines[row.name] = curve["seconds"], curve["rmse"]
            information.add(row.information)
    if not lines:
        return []
    ends = np.concatenate([x for x, _ in lines.values()])
    for p in (p for p in benchmark.published if p.information in information):
        lines[p.name] = [ends.min(), ends.max()], [p.values[RMSE]] * 2
    title = f"{benchmark.title}: error on the test rows over CPU seconds of a fit"
    name = f"published_results_{benchmark.name}"
    return [line_plot(name, title, "CPU seconds", "RMSE", lines, yscale="linear")]


def records(values: Values) -> list[Section]:
    """Return in how many seconds the published value is reached, for each learning curve."""
    lines = []
    for benchmark in BENCHMARKS:
        for row in benchmark.rows:
            curves = _measured(benchmark, row, values, "curve ")
            same = [p for p in benchmark.published if p.information == row.information]
            if curves and same:
                best = min(same, key=lambda p: p.values[RMSE])
                lines.append(_record(benchmark, row, curves, best))
    if not lines:
        return []
    header = ["", "model", "published", "CPU s to reach it", "RMSE at the end", "n", "p"]
    text = f"""\
The lowest published value from the same information, and the CPU seconds after which the running
mean of draws is at or below it on the test rows: median (lowest–highest) over seeds. *p*: of a mean
over seeds that is not below the published value (one-sided t-test of the errors at the end of the
chain). Test rows are looked at to draw these curves alone; the number of sweeps was fixed before.

{markdown_table(header, lines, left=3)}

Other programs show no sweeps: they are fitted anew with an eighth, a quarter, half and all of them,
and the seconds are of the first fit that reaches the value. Other work on the machine adds up to a
half to CPU seconds. To add a row, give it `curve: true` in `bench/studies/published/DATA.yaml`."""
    return [Section("Records: how fast is the published value reached?", text)]


def _record(
    benchmark: Benchmark, row: Row, curves: Sequence[Mapping[str, Any]], best: Published
) -> list[str]:
    target = best.values[RMSE]
    reached = [
        next((s for s, e in zip(c["seconds"], c["rmse"], strict=True) if e <= target), np.inf)
        for c in curves
    ]
    ends = [curve["rmse"][-1] for curve in curves]
    p = ttest_1samp(ends, target, alternative="less").pvalue if len(ends) > 1 else np.nan
    return [
        benchmark.title,
        _label(row, row.features),
        f"{best.name}: {target:.4f}",
        "never" if np.isinf(np.median(reached)) else spread(reached),
        mean_std(ends),
        str(len(ends)),
        MISSING if np.isnan(p) else f"{p:.2g}",
    ]


def contexts(values: Values) -> list[Section]:
    """Return how far each model is above the lowest possible log loss, by number of fields."""
    cells = {
        (model, n): of
        for model in CONTEXT_MODELS
        for n in N_FIELDS
        if isinstance(of := values.get(_context(model, n)), Mapping)
    }
    possible = {n: of["values"][POSSIBLE] for (_, n), of in cells.items()}
    lines = [
        ["lowest possible log loss", *(number(possible.get(n)) for n in N_FIELDS)],
        *([f"`{m}`", *(_above(cells.get((m, n))) for n in N_FIELDS)] for m in CONTEXT_MODELS),
    ]
    text = f"""\
8,000 simulated clicks, drawn from a known FM, of which a quarter is test; each model as configured
in `conf/model`, nothing chosen, one draw. Log loss above that of the true probabilities on the same
test rows, and CPU seconds of a fit: `python -m bench {CONTEXTS}`.

{markdown_table(["", *(f"{n} fields" for n in N_FIELDS)], lines)}"""
    return [Section("Few contexts and many: how close to the lowest possible?", text)]


def _context(model: str, n_fields: int) -> str:
    return f"contexts: {model}, data.n_fields={n_fields}"


def _above(of: Mapping[str, Any] | None) -> str:
    if of is None:
        return MISSING
    return f"+{of['values'][LOSS] - of['values'][POSSIBLE]:.4f} ({seconds(of['cpu'])} s)"


BENCHMARKS = [Benchmark.read(name) for name in ORDER]
CONTEXT_RUNS: dict[str, partial] = {
    _context(model, n): partial(measure_run, [CONTEXTS, f"model={model}", f"data.n_fields={n}"])
    for model in CONTEXT_MODELS
    for n in N_FIELDS
}
CURVES = {
    name: measure
    for b in BENCHMARKS
    for name, measure in b.measures().items()
    if measure.func is measure_curve
}
STUDY = Study(
    "published_results",
    "Beside what is published",
    "an FM on the data sets of the last ten years' papers (hours)",
    "Only values from the same information are compared. Ours: fitted on all rows that are not "
    "test, tested once, nothing chosen by test rows; mean ± standard deviation (ddof = 1) over n "
    "runs. *Implicit* features are who rated what in training, so that they are ratings alone. "
    "*Fit s* are wall seconds of a fit on a machine shared with other work, *CPU s* what it took "
    "of one core. *Chains*: the mean over independent chains, `model.n_chains=` in one fit. "
    "`fm_mean` is the mean of two FMs: of ratings as numbers, with a noise precision for each user "
    "and item, and as ordered classes. The record (JSON) names the code of each run. What is "
    "missing was not measured; no value is copied from elsewhere.",
    (
        *(Part(b.title, b.measures(), partial(sections, b)) for b in BENCHMARKS),
        Part("Records", CURVES, records),
        Part("Contexts", CONTEXT_RUNS, contexts),
    ),
    any_code=True,
)
