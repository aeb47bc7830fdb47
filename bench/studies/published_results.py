"""How far an FM goes on data sets that neural models are measured on: tracked runs and papers.

The runs are sweeps of the harness: those that are finished are not made again.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import yaml

from bench.identity import ROOT
from bench.report.model_selection import Configuration, comparisons
from bench.report.paired_gaps import Predictions
from bench.studies.published_values import (
    BENCHMARKS,
    BOTH_WAYS,
    DOUBAN,
    FIELDS,
    FRAPPE,
    IDS,
    ML1M,
    ML100K,
    Benchmark,
    Published,
)
from bench.studies.study import Bar, Context, Part, Section, Study, Values, mean_std
from bench.tables import MISSING, markdown_table, number, seconds
from bench.tracking import RunReader

SWEEP = "experiment=contexts"
NOT_MEASURED = "not measured"
AVERAGED = "mean of"
DRAWN = ("fm_gibbs", "fm_ordinal")
"""Models whose predictions are means over a chain of draws, so that chains can be averaged."""
BARS = (
    (DOUBAN, "fm_gibbs", BOTH_WAYS, "test/rmse_clipped", "Douban RMSE, `fm_gibbs`", 0.7190),
    (DOUBAN, "fm_ordinal", BOTH_WAYS, "test/rmse_clipped", "Douban RMSE, `fm_ordinal`", 0.7190),
    (ML1M, "fm_ordinal", BOTH_WAYS, "test/rmse_clipped", "ML-1M RMSE, ratings alone", 0.8150),
    (ML100K, "fm_ordinal", BOTH_WAYS, "test/rmse_clipped", "u1 RMSE, ratings alone", 0.8830),
    (FRAPPE, "fm_gibbs", IDS, "test/log_loss", "Frappe log loss", 0.140),
    (FRAPPE, "fm_gibbs", IDS, "test/auc", "Frappe AUC", 0.984),
)
"""Data set, model, features, metric, what it is called, and the value to be reached."""


def measure(benchmark: Benchmark, _: Context) -> list[dict[str, Any]]:
    """Make the runs of a benchmark, and return a row for each tested configuration."""
    if benchmark.variable and not os.environ.get(benchmark.variable):
        raise FileNotFoundError(f"{benchmark.variable} names no folder of this data set")
    reader, found = _tracked(benchmark.commands, benchmark.name)
    rows = []
    for configuration in found:
        rows.append(_row(configuration, list(benchmark.metrics)))
        if configuration.model in DRAWN:
            rows += _mean_of_chains(configuration, list(benchmark.metrics), reader)
    return rows


def measure_contexts(_: Context) -> list[dict[str, Any]]:
    """Return the log loss, and the lowest possible, of each model with few fields and with many."""
    found = _tracked([SWEEP], "contexts_simulated")[1]
    metrics = ["test/log_loss", "test/oracle_log_loss"]
    n_fields = [int(c.records[0].params["data.n_fields"]) for c in found]
    return [
        _row(configuration, metrics) | {"n_fields": n}
        for configuration, n in zip(found, n_fields, strict=True)
    ]


def _tracked(commands: Sequence[str], experiment: str) -> tuple[RunReader, list[Configuration]]:
    """Run commands; return the tested configurations that are tracked in their experiment."""
    for command in commands:
        words = [sys.executable, "-m", "bench", *shlex.split(command)]
        subprocess.run(words, check=True, cwd=ROOT)
    reader = RunReader(directory=str(ROOT / "results"))
    compared = comparisons(reader.records(reader.experiment(experiment)))
    chosen = [row.chosen for comparison in compared for row in comparison.shown]
    return reader, [configuration for configuration in chosen if configuration.tested]


def _row(configuration: Configuration, metrics: Sequence[str]) -> dict[str, Any]:
    tested = configuration.tested
    params = configuration.params
    burn_in = params.get("model.burn_in", "None")
    return {
        "model": configuration.model,
        "features": ", ".join(yaml.safe_load(params["features.names"])),
        "k": params.get("model.k"),
        "sweeps": params.get("model.n_iter"),
        "burn_in": None if burn_in == "None" else burn_in,
        "over": configuration.over(),
        "values": {m: [r.metrics[m] for r in tested] for m in metrics},
        "seconds": [r.metrics["time/fit_seconds"] for r in tested],
        "cpu": [r.metrics["time/fit_cpu_seconds"] for r in tested],
        "code": sorted({r.tags["code.source"][:12] for r in tested}),
    }


def _mean_of_chains(
    configuration: Configuration, metrics: Sequence[str], reader: RunReader
) -> list[dict[str, Any]]:
    """Return the row of the mean over seeds' predictions, where all have the same test rows."""
    tested, predictions = configuration.tested, Predictions(reader)
    frames = [predictions.of(record) for record in tested]
    if len(frames) < 2 or not all(f.index.equals(frames[0].index) for f in frames):
        return []
    mean = np.mean([frame["prediction"] for frame in frames], axis=0)
    scale = reader.data(tested[0].run_id).scale
    evaluated = configuration.task.evaluate(frames[0]["target"], mean, scale)
    row = _row(configuration, metrics)
    return [
        row
        | {
            "over": f"{AVERAGED} {len(frames)} chains",
            "values": {m: [evaluated[m.removeprefix("test/")]] for m in metrics},
            "seconds": [sum(row["seconds"])],
            "cpu": [sum(row["cpu"])],
        }
    ]


def sections(benchmark: Benchmark, values: Values) -> list[Section]:
    """Return a table for each kind of information: published values, then measured ones."""
    rows = values[benchmark.name]
    measured = {(row["model"], row["features"]) for row in rows}
    missing = [
        {"model": model, "features": features}
        for model, features in benchmark.asked
        if (model, features) not in measured
    ]
    by_kind: dict[str, tuple[list, list]] = {p.information: ([], []) for p in benchmark.published}
    for value in benchmark.published:
        by_kind[value.information][0].append(value)
    for row in (*rows, *missing):
        kind = benchmark.information.get(row["features"], FIELDS)
        by_kind.setdefault(kind, ([], []))[1].append(row)
    text = [benchmark.about, _commands(benchmark.commands)]
    for kind, (published, ours) in by_kind.items():
        text += [f"### From {kind}", table(benchmark, published, ours)]
    return [Section(benchmark.title, "\n\n".join(text), list(_bars(benchmark, rows)))]


def table(
    benchmark: Benchmark, published: Sequence[Published], rows: Sequence[Mapping[str, Any]]
) -> str:
    """Return published values, then ours of the same information, the best last."""
    first = next(iter(benchmark.metrics))
    best = min((p.values[first] for p in published if first in p.values), default=None)
    lines = [
        [
            f"[{p.name}]({p.link})",
            *(number(p.values.get(metric)) for metric in benchmark.metrics),
            *[MISSING] * 6,
            "; ".join(["published", *filter(None, [p.protocol])]),
        ]
        for p in published
    ]
    lines += [
        [f"`{row['model']}`, {row['features']}", NOT_MEASURED, *[MISSING] * 6, MISSING]
        + [MISSING] * (len(benchmark.metrics) - 1)
        for row in rows
        if "values" not in row
    ]
    measured = [row for row in rows if "values" in row]
    for row in sorted(measured, key=lambda row: -np.mean(row["values"][first])):
        mean = float(np.mean(row["values"][first]))
        lines.append(
            [
                f"`{row['model']}`, {row['features']}",
                *(mean_std(row["values"][metric]) for metric in benchmark.metrics),
                MISSING if best is None else f"{mean - best:+.4f}",
                str(len(row["values"][first])),
                row["k"] or MISSING,
                _sweeps(row),
                seconds(float(np.mean(row["seconds"]))),
                seconds(float(np.mean(row["cpu"]))),
                row["over"],
            ]
        )
    if not rows:
        lines.append([NOT_MEASURED, *[MISSING] * (len(benchmark.metrics) + 7)])
    header = ["", *benchmark.metrics.values(), "− best published", "n", "k", "sweeps"]
    return markdown_table([*header, "fit s", "CPU s", "over"], lines)


def contexts(values: Values) -> list[Section]:
    """Return how far each model is above the lowest possible log loss, by number of fields."""
    rows = values["contexts"]
    fields = sorted({row["n_fields"] for row in rows})
    cells = {(row["model"], row["n_fields"]): row for row in rows}
    lines = [
        [f"`{model}`", *(_above(cells.get((model, n))) for n in fields)]
        for model in dict.fromkeys(row["model"] for row in rows)
    ]
    possible = {row["n_fields"]: np.mean(row["values"]["test/oracle_log_loss"]) for row in rows}
    lines.insert(0, ["lowest possible log loss", *(f"{possible[n]:.4f}" for n in fields)])
    text = f"""\
8,000 simulated clicks, drawn from a known FM, of which a quarter is test; each model as configured
in `conf/model`, nothing chosen, one draw. Log loss above that of the true probabilities on the same
test rows, and CPU seconds of a fit.

{markdown_table(["", *(f"{n} fields" for n in fields)], lines)}

{_commands([SWEEP])}"""
    return [Section("Few contexts and many: how close to the lowest possible?", text)]


def _above(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return MISSING
    losses, possible = (np.array(of) for of in row["values"].values())
    return f"+{np.mean(losses - possible):.4f} ({seconds(float(np.mean(row['cpu'])))} s)"


def _sweeps(row: Mapping[str, Any]) -> str:
    """Return `300`, or `300, from 101 on` where the first draws are left out."""
    burn_in = row.get("burn_in")
    return (row["sweeps"] or MISSING) + (f", from {int(burn_in) + 1} on" if burn_in else "")


def _bars(benchmark: Benchmark, rows: Sequence[Mapping[str, Any]]) -> Iterator[Bar]:
    """Yield the bars of a benchmark, one for each run that is held against them."""
    for of, model, features, metric, what, bound in BARS:
        for row in rows:
            same = of is benchmark and (row["model"], row["features"]) == (model, features)
            if same:
                side = "low" if metric in benchmark.higher else "high"
                of_chains = f", {row['over']}" * row["over"].startswith(AVERAGED)
                yield Bar(what + of_chains, np.array(row["values"][metric]), **{side: bound})


def _commands(commands: Sequence[str]) -> str:
    return "\n".join(["Runs:", "", *(f"- `python -m bench {command}`" for command in commands)])


STUDY = Study(
    "published_results",
    "Beside what is published",
    "an FM on the data sets of the last ten years' papers (hours)",
    "Only values from the same information are compared. Ours: fitted on all rows that are not "
    "test, tested once, nothing chosen by test rows; mean ± standard deviation (ddof = 1) over n "
    "runs. *Implicit* features are who rated what in training, so that they are ratings alone. "
    "*Fit s* are wall seconds of a fit on a machine shared with other work, *CPU s* what it took "
    "of one core. *Mean of chains*: the seeds' predictions averaged, their times added. What is "
    "missing was not measured; no value is copied from elsewhere.",
    (
        *(Part(b.title, {b.name: partial(measure, b)}, partial(sections, b)) for b in BENCHMARKS),
        Part("Contexts", {"contexts": measure_contexts}, contexts),
    ),
)
